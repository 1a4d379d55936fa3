"""The libraries as contenders: one training step, or one evaluation, of one network in each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from measure import repeated, seconds_of
from networks import Network

import tinytrain as tt

OURS, EAGER, CHANNELS_LAST, COMPILED = "tinytrain", "eager", "channels-last", "compiled"

Step = Callable[[], object]


def training_step(library: Any, model: Any, images: Any, targets: Any) -> Step:
    """Return a training step in either library: forward, cross-entropy, backward, SGD with momentum."""
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    cross_entropy = library.nn.functional.cross_entropy

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(images), targets).backward()
        optimizer.step()

    model.train()
    return step


def mixed_step(library: Any, model: Any, images: Any, targets: Any, *, precision: str) -> Step:
    """Return a training step as a person writes it in either library, with autocast and a scaled loss.

    Args:
        library: tinytrain or torch.
        model, images, targets: on one device.
        precision: `bf16`, or `fp16`, which has its loss scaled; others are those of `training_step`.
    """
    if precision not in ("bf16", "fp16"):
        return training_step(library, model, images, targets)
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    cross_entropy = library.nn.functional.cross_entropy
    device = images.device.type
    scaler = library.amp.GradScaler(device, enabled=precision == "fp16")
    dtype = library.bfloat16 if precision == "bf16" else library.float16

    def step() -> None:
        optimizer.zero_grad()
        with library.autocast(device, dtype):
            loss = cross_entropy(model(images), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    model.train()
    return step


def evaluation(library: Any, model: Any, images: Any, _targets: Any) -> Step:
    """Return an evaluation in either library, up to the finished logits."""
    model.eval()

    def step() -> Any:
        with library.no_grad():
            return model(images).numpy()

    return step


def steps_of(
    kind: Callable[..., Step], network: Network, *, batch: int | None = None, torch: bool = True, check: bool = True
) -> dict[str, Step]:
    """Return a step in each library and layout, with weights of their own that begin equal.

    Args:
        kind: `training_step` or `evaluation`.
        network: what is trained or evaluated.
        batch: images, None: as many as the network is trained with.
        torch: whether PyTorch is there.
        check: whether to compare results and gradients first, on at most 8 images.
    """
    x, y = network.data(batch)
    ours = network.model(with_statistics=kind is evaluation)
    steps = {}
    if torch:
        import torch as library
        from twins import check_twins, twin_of

        if check:
            fresh = network.model()
            errors = check_twins(fresh, twin_of(fresh, network.name), *network.data(8))
            shown = ", ".join(f"{key} {error:.1g}" for key, error in errors.items())
            print(f"{network.name}: errors beside PyTorch's: {shown}", file=sys.stderr)
        for layout in (EAGER, CHANNELS_LAST):
            twin, images = twin_of(ours, network.name), library.from_numpy(x)
            if layout == CHANNELS_LAST:
                twin = twin.to(memory_format=library.channels_last)
                images = images.to(memory_format=library.channels_last)
            steps[layout] = kind(library, twin, images, library.from_numpy(y))
    return {OURS: kind(tt, ours, tt.from_numpy(x), tt.from_numpy(y)), **steps}


def compiled_step(kind: Callable[..., Step], network: Network, layout: str, batch: int | None = None) -> Step | None:
    """Return a step of the network compiled by PyTorch, compiled; None, told on stderr, where that fails.

    Args:
        kind: `training_step` or `evaluation`.
        network: what is trained or evaluated.
        layout: `EAGER` or `CHANNELS_LAST`, in which images and weights lie.
        batch: images, None: as many as the network is trained with.
    """
    import torch
    from twins import twin_of

    x, y = network.data(batch)
    model = network.model(with_statistics=kind is evaluation)
    twin, images = twin_of(model, network.name), torch.from_numpy(x)
    if layout == CHANNELS_LAST:
        twin, images = twin.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    torch._dynamo.reset()  # else the code of earlier networks counts towards a limit of recompilations
    step = kind(torch, torch.compile(twin), images, torch.from_numpy(y))
    try:
        seconds = seconds_of(step)
    except Exception as error:  # of the compiler, which raises many kinds; the comparison goes on without it
        print(f"{network.name}: torch.compile failed: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    print(f"{network.name}: compiled in {seconds:.0f} s", file=sys.stderr)
    return step


def add_compiled(steps: dict[str, Step], kind: Callable[..., Step], network: Network, batch: int | None = None) -> None:
    """Add the compiled step, in the layout that is faster without compiling."""
    times = {}
    for layout in (EAGER, CHANNELS_LAST):
        steps[layout]()
        times[layout] = min(seconds_of(steps[layout]) for _ in range(2))
    found = compiled_step(kind, network, min(times, key=times.__getitem__), batch)
    if found is not None:
        steps[COMPILED] = found


def measurements(steps: dict[str, Step]) -> dict[str, Callable[[], float]]:
    """Return a measurement of each step for `measure.medians`."""
    return {name: repeated(step) for name, step in steps.items()}


def compare_with_best(found: dict[str, float]) -> dict[str, object]:
    """Return the columns of a table: milliseconds of each contender, and PyTorch's best as a multiple of ours."""
    order = [name for name in (OURS, EAGER, CHANNELS_LAST, COMPILED) if name in found]
    row: dict[str, object] = {f"{name} ms": 1e3 * found[name] for name in order}
    theirs = [found[name] for name in order if name != OURS]
    if theirs:
        row.setdefault(f"{COMPILED} ms", None)
        row["times PyTorch's best"] = min(theirs) / found[OURS]
    return row
