"""Every op that tinytrain promises, and every other that it has, over PyTorch's own sample inputs.

One op quickly: `pytest tests/parity/test_opinfo.py -k conv2d`. A sample may only disagree where the table in
`docs/differences.md` lists it with one of the fair reasons; a sample listed there that agrees fails too.
"""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytrain as tt

from .oracle import (
    FAIR_REASONS,
    SPARSE,
    Twins,
    Unsupported,
    as_accurate,
    describe_call,
    difference,
    in_float64,
    our_tensor,
    ours_by_name,
    ours_for,
    seed_both,
    tensors_in,
    torch,
)
from .required import is_required

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_device_type import toleranceOverride
    from torch.testing._internal.common_methods_invocations import op_db

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
]

DIFFERENCES = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
# Ops that may select any of equal elements, with the position of `dim` among their arguments.
ANY_OF_EQUALS = {"topk": 1, "kthvalue": 1, "median": 0, "nanmedian": 0, "mode": 0, "sort": 0, "argsort": 0}
# Reads PyTorch's storage beyond a tensor's own elements; ours knows the memory of its base only.
NOT_COMPARED = {"as_strided_partial_views"}
MAIN_TYPES = (torch.float32, torch.int64, torch.bool)  # the first that an op takes
OTHER_TYPES = (torch.float64, torch.int64, torch.bool)
UNINITIALISED = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
RANDOM = {  # drawn by another generator on a GPU, as in PyTorch: shapes and types are compared
    *("bernoulli", "exponential", "multinomial", "normal", "normal_in_place", "uniform", "rand_like", "randn_like"),
    *("randint_like", "cauchy", "geometric", "log_normal", "nn.functional.rrelu", "nn.functional.dropout"),
    *("nn.functional.dropout2d", "nn.functional.dropout3d", "nn.functional.alpha_dropout"),
    "nn.functional.feature_alpha_dropout",
}


def is_tested(op: Any) -> bool:
    """Return whether an entry of the op table takes types that tinytrain has, and is promised or at least there."""
    return (
        op.formatted_name not in NOT_COMPARED
        and bool(op.dtypes.intersection(MAIN_TYPES))
        and (is_required(op.name, op.variant_test_name) or ours_for(op) is not None)
    )


OPS = [op for op in op_db if is_tested(op)]
over_ops = pytest.mark.parametrize("op", OPS, ids=lambda op: op.formatted_name)


@dataclass
class Outcome:
    """What came of one sample: `problem` is None where both libraries agree."""

    index: int
    call: str
    problem: str | None
    reason: str | None = None


@over_ops
def test_results_and_gradients(op, device, parity_report):
    forward, gradient = [], []
    for index, sample in samples(op, main_type(op), requires_grad=True):
        outcome = compare(index, sample, lambda twins, sample: run(op.op, wanted(op), sample, twins, op), device)
        forward.append(outcome[0])
        gradient.extend(outcome[1:])
    assert forward, "the op table makes no samples"
    judge(op, "forward", forward, parity_report)
    judge(op, "gradient", gradient, parity_report)


@over_ops
def test_errors(op, device, parity_report):
    if op.error_inputs_func is None:
        pytest.skip("the op table has no error inputs for it")
    outcomes = []
    for index, error_input in enumerate(list(op.error_inputs("cpu"))):
        sample = error_input.sample_input
        outcomes += compare(index, sample, lambda twins, sample: run_error(op, sample, twins), device)
    judge(op, "error", outcomes, parity_report)


@over_ops
def test_other_types(op, device, parity_report):
    outcomes = []
    for dtype in OTHER_TYPES:
        if dtype in op.dtypes and dtype is not main_type(op):
            for _, sample in samples(op, dtype, requires_grad=False):
                check = lambda twins, sample: run(op.op, wanted(op), sample, twins, op)[:1]  # noqa: E731
                outcomes += compare(len(outcomes), sample, check, device)
    judge(op, "types", outcomes, parity_report)


@over_ops
def test_methods_in_place_forms_and_aliases(op, device, parity_report):
    pairs = list(variants(op))
    outcomes = []
    for theirs, name, in_place in pairs:
        ours = getattr(tt.Tensor, name, None) if in_place is not None else ours_by_name(name)
        if ours is None:
            outcomes.append(Outcome(len(outcomes), name, f"tinytrain has no {name}"))
            continue
        for _, sample in samples(op, main_type(op), requires_grad=True):
            check = lambda twins, sample: run(theirs, ours, sample, twins, op, bool(in_place))  # noqa: B023, E731
            for outcome in compare(len(outcomes), sample, check, device):
                outcomes.append(Outcome(len(outcomes), f"{name}: {outcome.call}", outcome.problem, outcome.reason))
    judge(op, "variants", outcomes, parity_report)


def main_type(op: Any) -> Any:
    return next(dtype for dtype in MAIN_TYPES if dtype in op.dtypes)


def wanted(op: Any) -> Callable[..., Any]:
    found = ours_for(op)
    if found is None:
        pytest.fail(f"tinytrain has no {op.name}, which tests/parity/required.py promises", pytrace=False)
    return found


def samples(op: Any, dtype: Any, requires_grad: bool) -> Iterator[tuple[int, Any]]:
    """Yield (index, sample) of the op table's sample inputs, the same ones in every run."""
    seed_both(0)
    made = list(
        op.sample_inputs("cpu", dtype, requires_grad=requires_grad and op.supports_autograd and dtype.is_floating_point)
    )
    yield from enumerate(made)


def variants(op: Any) -> Iterator[tuple[Callable[..., Any], str, bool | None]]:
    """Yield (PyTorch's function, our name, whether it works in place; None for an alias)."""
    method, in_place = op.method_variant, op.inplace_variant
    if method is not None and getattr(method, "__name__", "<lambda>") not in ("<lambda>", op.name):
        yield method, method.__name__, False
    elif method is not None and hasattr(torch.Tensor, op.name):
        yield getattr(torch.Tensor, op.name), op.name, False
    if in_place is not None and hasattr(torch.Tensor, getattr(in_place, "__name__", "")):
        yield in_place, in_place.__name__, True
    for alias in op.aliases:
        if not alias.name.startswith(("special.", "_")) and alias.op is not None:
            yield alias.op, alias.name, None


def compare(
    index: int, sample: Any, check: Callable[[Twins, Any], list[str | None]], device: str = "cpu"
) -> list[Outcome]:
    """Return an outcome for each thing that `check` compares; one where it cannot be made in tinytrain."""
    try:
        call = describe_call(sample)
        return [Outcome(index, call, problem) for problem in check(Twins(device), sample)]
    except Unsupported as error:
        return [Outcome(index, call, f"tinytrain has no {error}", str(error))]


def run(
    their_function: Callable[..., Any],
    our_function: Callable[..., Any],
    sample: Any,
    twins: Twins,
    op: Any,
    in_place: bool = False,
) -> list[str | None]:
    """Return what differs in the results and, where there are any, in the gradients."""
    if sample.kwargs.get("sparse"):
        raise Unsupported(SPARSE)  # asks for a gradient in a sparse layout
    arguments = (sample.input, tuple(sample.args), dict(sample.kwargs))
    (our_input, our_args, our_kwargs), their_arguments = twins.ours(arguments), twins.theirs(arguments)
    their_input, their_args, their_kwargs = their_arguments
    seed_both()
    try:
        theirs = their_function(their_input.clone() if in_place else their_input, *their_args, **their_kwargs)
    except Exception as error:
        return [expect_error(our_function, error, our_input, our_args, our_kwargs, in_place)]
    if in_place and theirs.shape != sample.input.shape:
        return []  # PyTorch resizes the operand of a few in-place forms, against its own rule
    seed_both()
    try:
        ours = our_function(our_input.clone() if in_place else our_input, *our_args, **our_kwargs)
    except Exception as error:
        return [told(error)]
    tolerance = tolerance_of(op, next((each.dtype for each in tensors_in(theirs)), None))
    without_values = op.name in UNINITIALISED or (twins.device != "cpu" and op.name in RANDOM)
    problem = difference(ours, theirs, tolerance, values=not without_values)
    if problem and op.name in ANY_OF_EQUALS and not sample.kwargs.get("stable"):
        problem = selection_difference(ours, theirs, our_input, sample, ANY_OF_EQUALS[op.name])
    if without_values:
        return [problem]
    problem = problem or changed_inputs(twins, tolerance)
    if problem:
        return [problem]

    def exact_gradients(chosen: list[int], cotangents: list[Any]) -> list[Any]:
        leaves: dict[int, Any] = {}
        input, args, kwargs = in_float64(arguments, leaves)
        outputs = list(tensors_in(their_function(input.clone() if in_place else input, *args, **kwargs)))
        wanted = [each for each in leaves.values() if each.requires_grad]
        return torch.autograd.grad([outputs[i] for i in chosen], wanted, [each.double() for each in cotangents])

    return [None, *gradient_difference(ours, theirs, twins, tolerance, exact_gradients)]


def selection_difference(ours: Any, theirs: Any, input: Any, sample: Any, position: int) -> str | None:
    """Return what differs between two selections of elements by index, apart from the choice among equals."""
    dim = sample.kwargs.get("dim", sample.args[position] if len(sample.args) > position else -1)
    if isinstance(theirs, tuple) and (problem := difference(ours[0], theirs[0])):
        return problem
    chosen, wanted = (pair[1] if isinstance(pair, tuple) else pair for pair in (ours, theirs))
    if problem := difference(chosen, wanted, values=False):
        return problem
    elements = [
        np.take_along_axis(input.cpu().array, index if index.ndim == input.ndim else np.expand_dims(index, dim), dim)
        for index in (chosen.cpu().array, wanted.numpy())
    ]
    return None if np.array_equal(*elements, equal_nan=True) else "the indices select other elements than torch's"


def changed_inputs(twins: Twins, tolerance: tuple[float, float] | None) -> str | None:
    """Return what differs between the inputs after the op: both libraries must have changed the same ones."""
    for theirs, ours in twins.pairs.values():
        problem = difference(ours, theirs, tolerance)
        if problem:
            return f"an input after the op: {problem}"
    return None


def gradient_difference(
    ours: Any,
    theirs: Any,
    twins: Twins,
    tolerance: tuple[float, float] | None,
    exact_gradients: Callable[[list[int], list[Any]], list[Any]],
) -> list[str | None]:
    """Return what differs in the gradients of the inputs for random cotangents; empty where nothing has gradients.

    A gradient outside the tolerance is held to PyTorch's own distance from the float64 gradient.
    """
    our_outputs, their_outputs = list(tensors_in(ours)), list(tensors_in(theirs))
    for a, b in zip(our_outputs, their_outputs, strict=True):
        if a.requires_grad != b.requires_grad:
            return [f"requires_grad of the result: ours {a.requires_grad}, torch's {b.requires_grad}"]
    chosen = [i for i, each in enumerate(their_outputs) if each.requires_grad]
    leaves = [(b, a) for b, a in twins.pairs.values() if b.requires_grad]
    if not chosen or not leaves:
        return []
    cotangents = [torch.randn(their_outputs[i].shape, dtype=their_outputs[i].dtype) for i in chosen]
    try:
        their_grads = torch.autograd.grad(
            [their_outputs[i] for i in chosen], [b for b, _ in leaves], cotangents, allow_unused=True
        )
    except NotImplementedError:  # PyTorch has no derivative of the in-place forms of a few ops
        return []
    try:
        our_grads = tt.autograd.grad(
            [our_outputs[i] for i in chosen],
            [a for _, a in leaves],
            [our_tensor(each, twins.device) for each in cotangents],
            allow_unused=True,
        )
    except Exception as error:
        return [told(error)]
    for number, (a, b, (leaf, _)) in enumerate(zip(our_grads, their_grads, leaves, strict=True)):
        b = torch.zeros_like(leaf) if b is None else b
        problem = difference(a, b, tolerance) if a is not None else "none" if bool((b != 0).any()) else None
        if problem and a is not None and as_accurate(a, b, exact_gradients(chosen, cotangents)[number]):
            problem = None
        if problem:
            return [f"gradient of tensor {number} {list(leaf.shape)}: {problem}"]
    return [None]


def run_error(op: Any, sample: Any, twins: Twins) -> list[str | None]:
    """Return what is wrong with the error that ours raises where PyTorch raises one; nothing where it raises none."""
    function = wanted(op)
    arguments = (sample.input, tuple(sample.args), dict(sample.kwargs))
    their_input, their_args, their_kwargs = twins.theirs(arguments)
    try:
        op.op(their_input, *their_args, **their_kwargs)
    except Exception as error:
        our_input, our_args, our_kwargs = twins.ours(arguments)
        return [expect_error(function, error, our_input, our_args, our_kwargs, in_place=False)]
    return []


def expect_error(
    function: Callable[..., Any], theirs: Exception, input: Any, args: Any, kwargs: Any, in_place: bool
) -> str | None:
    """Return what is wrong with the error that ours raises: it must be one that handlers of torch's would catch."""
    told_by_torch = f"torch raises {type(theirs).__name__}: {str(theirs).splitlines()[0][:200] if str(theirs) else ''}"
    try:
        result = function(input.clone() if in_place else input, *args, **kwargs)
        list(tensors_in(result))
    except Exception as error:
        stub = isinstance(error, NotImplementedError) and not isinstance(theirs, NotImplementedError)
        if isinstance(error, catchable_type(theirs)) and not stub:
            return None
        return f"{told_by_torch}\n      ours raises {told(error)}"
    return f"{told_by_torch}\n      ours returns a result"


def catchable_type(error: Exception) -> type[BaseException]:
    """Return the type that ours must be caught by: the nearest of Python's own among the bases of PyTorch's.

    Where PyTorch stumbles over an operand of the wrong type (AttributeError), a TypeError is right.
    """
    nearest = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return TypeError if nearest is AttributeError else nearest


def tolerance_of(op: Any, dtype: Any) -> tuple[float, float] | None:
    """Return the largest (rtol, atol) that PyTorch's own tests of an op use for a dtype; None for the default."""
    found = []
    for decorator in op.decorators:
        for each in getattr(decorator, "decorators", [decorator]):
            if isinstance(each, toleranceOverride) and dtype in each.d:
                found.append(each.d[dtype])
    return (max(each.rtol for each in found), max(each.atol for each in found)) if found else None


def told(error: Exception) -> str:
    """Return an error with the last places it passed through."""
    places = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(places))
    return f"{type(error).__name__}: {str(error)[:400]}  ({where})"


def judge(op: Any, part: str, outcomes: list[Outcome], parity_report: Callable[..., None]) -> None:
    """Enter outcomes into the report and fail where one disagrees and is not listed, or is listed and agrees."""
    if not outcomes:
        return
    name = op.formatted_name
    parity_report(name, part, sum(each.problem is None for each in outcomes), len(outcomes))
    listed = listed_differences().get((name, part), {})
    wrong = [each for each in outcomes if each.problem and each.index not in listed]
    wrong_reasons = [
        each for each in outcomes if each.index in listed and each.reason not in (None, listed[each.index])
    ]
    stale = sorted(listed.keys() - {each.index for each in outcomes if each.problem})
    lines = [f"  sample {each.index}: {name}({each.call})\n      {each.problem}" for each in wrong + wrong_reasons]
    if lines:
        head = f"{name}: {len(lines)} of {len(outcomes)} samples disagree with torch ({part})"
        pytest.fail("\n".join([head, *lines[:12], *(["  ..."] if len(lines) > 12 else [])]), pytrace=False)
    if stale:
        pytest.fail(f"{name}: samples {stale} are listed in {DIFFERENCES.name} ({part}) but agree", pytrace=False)


def listed_differences() -> dict[tuple[str, str], dict[int, str]]:
    """Return the reasons in `docs/differences.md` by (op, part) and sample.

    A row reads ``| `op` | part | 3, 5-8 | reason |``; rows of other tables have no op in backquotes first.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    for line in DIFFERENCES.read_text(encoding="utf-8").splitlines() if DIFFERENCES.exists() else []:
        row = re.fullmatch(r"\| `([\w.]+)` \| (\w+) \| ([\d, -]+) \| ([^|]+) \|", line.strip())
        if row is None:
            continue
        assert row[4] in FAIR_REASONS, f"{DIFFERENCES}: {row[4]!r} is not one of {FAIR_REASONS}"
        for span in row[3].split(","):
            first, _, last = span.strip().partition("-")
            for index in range(int(first), int(last or first) + 1):
                found.setdefault((row[1], row[2]), {})[index] = row[4]
    return found
