"""Evaluation beside PyTorch's and ONNX Runtime's: `python benchmarks/inference.py [NETWORK ...] [--json FILE]`.

Forward passes of one image and of 64 in evaluation mode, without gradients, float32, on two cores, up to the logits as
a NumPy array. PyTorch runs as in train_step.py; its best counts. ONNX Runtime gets PyTorch's network as exported by
`torch.onnx` (with the packages onnxruntime, onnx and onnxscript installed) and stands beside, in its own column. All
results are compared first. The last two columns are the shares of the machine's limits that tinytrain uses
(roofline.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import sys
import warnings

import numpy as np
from contenders import (
    OURS,
    Step,
    add_compiled,
    compare_with_best,
    evaluation,
    measurements,
    steps_of,
)
from measure import THREADS, Rows, arguments_of, medians, print_rows, share_cores
from networks import Network, chosen
from roofline import evaluation_work, measure_limits

ONNX = "ONNX Runtime"
BATCHES = (1, 64)
TOLERANCE = 1e-3  # of ONNX Runtime's logits, as a part of ours
NEEDED = ("onnxruntime", "onnx", "onnxscript")


def onnx_step(network: Network, batch: int) -> Step:
    """Return an evaluation by ONNX Runtime.

    Raises:
        SystemExit: its logits are not ours.
    """
    import onnxruntime
    import torch
    from twins import twin_of

    import tinytrain as tt

    x, _ = network.data(batch)
    ours = network.model(with_statistics=True).eval()
    twin = twin_of(ours, network.name).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # the exporter tells its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(twin, (torch.from_numpy(x),), dynamo=True, verbose=False)
    model = io.BytesIO()
    program.save(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(model.getvalue(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def step() -> np.ndarray:
        return session.run(None, {name: x})[0]

    with tt.no_grad():
        expected = ours(tt.from_numpy(x)).numpy()
    error = np.linalg.norm(step() - expected) / np.linalg.norm(expected)
    if not error <= TOLERANCE:
        sys.exit(f"error: {network.name}: ONNX Runtime's logits differ by {error:.2g} of ours")
    return step


def main() -> None:
    parser = arguments_of(__doc__, rounds=7)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-onnx", action="store_true", help="leave ONNX Runtime out")
    parser.add_argument("--batch", type=int, action="append", help="images; may be given several times (1 and 64)")
    options = parser.parse_args()
    networks = chosen(options.networks)
    torch = share_cores()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    with_onnx = torch and not options.no_onnx and not missing
    if missing and not options.no_onnx:
        print(f"no ONNX Runtime beside: {', '.join(missing)} not installed", file=sys.stderr)
    limits = measure_limits(torch)
    print(f"limits: {limits.flops / 1e9:.0f} GFLOP/s, {limits.bandwidth / 1e9:.1f} GB/s")
    rows: Rows = []
    for network in networks:
        for number, batch in enumerate(options.batch or BATCHES):
            steps = steps_of(evaluation, network, batch=batch, torch=torch, check=number == 0)
            if torch and not options.no_compile:
                add_compiled(steps, evaluation, network, batch)
            if with_onnx:
                steps[ONNX] = onnx_step(network, batch)
            found = medians(measurements(steps), rounds=options.rounds, warmup=2)
            row: dict[str, object] = {"network": network.name, "batch": batch, **compare_with_best(found)}
            if ONNX in found:
                row |= {f"{ONNX} ms": 1e3 * found[ONNX], f"times {ONNX}'s": found[ONNX] / found[OURS]}
            rows.append(row | limits.shares(evaluation_work(network, batch), found[OURS]))
    print_rows(rows, options.json)


if __name__ == "__main__":
    main()
