"""`tinytrain export`: a trained network for other programs, with test vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinytrain.cli.output import (
    JsonOption,
    MappingOption,
    SourceArgument,
    SourceConfigOption,
    check_output,
    print_json,
)
from tinytrain.errors import UsageError

SUFFIXES = {"onnx": ".onnx", "safetensors": ".safetensors"}


def export(
    source: SourceArgument,
    to: Annotated[Literal["onnx", "safetensors"], typer.Option(help="Format of the file.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file.  [default: model.onnx or .safetensors in the run]")
    ] = None,
    config: SourceConfigOption = None,
    mapping: MappingOption = None,
    batch_norm: Annotated[
        Literal["fold", "keep"], typer.Option(help="Fold normalisation into the convolutions (onnx).")
    ] = "fold",
    preprocess: Annotated[
        bool, typer.Option("--preprocess", help="Let the graph scale and normalise pixels from 0 to 255 (onnx).")
    ] = False,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An image for the test vectors, instead of one of the data.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a network as ONNX, or its weights as plain safetensors, and prove that they are the same.

    Beside it come NAME.golden.png and NAME.golden.safetensors: an image, and the input and logits that it leads to.
    """
    if to == "safetensors" and (preprocess or batch_norm == "keep"):
        raise UsageError(f"--{'preprocess' if preprocess else 'batch-norm'} is for --to onnx; weights have no graph")
    if output is None:
        output = (source if source.is_dir() else source.parent) / f"model{SUFFIXES[to]}"
    if output.suffix != SUFFIXES[to]:
        raise UsageError(f"--to {to} writes a file that ends in {SUFFIXES[to]}", place=output)
    check_output(output)

    from tinytrain.config import load_config
    from tinytrain.config.mapping import read_mapping
    from tinytrain.config.prediction import load_classifier

    classifier = load_classifier(
        source,
        config=None if config is None else load_config(config),
        mapping=None if mapping is None else read_mapping(mapping),
    )
    if output.exists() and output.samefile(source / "best.safetensors" if source.is_dir() else source):
        raise UsageError("the export would take the place of what it is made from", place=output)

    from tinytrain.config.exporting import export_onnx, export_safetensors

    if to == "onnx":
        found = export_onnx(classifier, output, batch_norm=batch_norm, preprocess=preprocess, image=image)
    else:
        found = export_safetensors(classifier, output, image=image)
    agreement = found.agreement
    if json:
        checked = None if agreement is None else {**vars(agreement)}
        document = {"output": str(output), "format": to, "golden": [str(path) for path in found.golden]}
        print_json({**document, "folded": found.folded, "outside": found.outside or [], "checked": checked})
        return
    typer.echo(f"{output}: {output.stat().st_size:,} bytes, {len(classifier.class_names)} classes")
    if found.folded:
        typer.echo(f"{found.folded} normalisations folded into the layers before them")
    if found.outside:
        typer.echo(f"to be done before: {', '.join(found.outside)}")
    if agreement is not None:
        typer.echo(f"{agreement.runtime} agrees on {agreement.images} images: {agreement.difference:.1e} apart at most")
    elif to == "onnx":
        typer.echo("not compared: onnxruntime is not installed (pip install 'tinytrain[onnx]')")
    typer.echo(f"test vectors: {', '.join(path.name for path in found.golden)}")
