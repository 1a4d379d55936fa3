"""cuDNN has plans for the convolutions that our networks are made of, and the right ones: asked without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kernels.hopper import described_device
from tinytrain.kernels.cuda import frontend
from tinytrain.kernels.cuda.frontend import Convolution, build_candidates, build_graph, build_named, describe
from tinytrain.kernels.cuda.plans import NoPlanError

LIMIT = 2 << 30
OPERATIONS = ("fprop", "dgrad", "wgrad")
PRECISIONS = {
    "fp32": ("float32", False),
    "tf32": ("float32", True),
    "fp16": ("float16", False),
    "bf16": ("bfloat16", False),
}


def geometry(stride: int = 1, before: int = 0, after: int | None = None, dilation: int = 1, groups: int = 1) -> Any:
    after = before if after is None else after
    return (stride, stride, before, before, after, after, dilation, dilation, groups)


# ResNet-18 at 224, batch 16: channels in and out, kernel, stride, size of the input. The last is its linear layer.
RESNET18 = [
    (3, 64, 7, 2, 224),
    (64, 64, 3, 1, 56),
    (64, 128, 3, 2, 56),
    (64, 128, 1, 2, 56),
    (128, 128, 3, 1, 28),
    (128, 256, 3, 2, 28),
    (128, 256, 1, 2, 28),
    (256, 256, 3, 1, 14),
    (256, 512, 3, 2, 14),
    (256, 512, 1, 2, 14),
    (512, 512, 3, 1, 7),
    (512, 1000, 1, 1, 1),
]
# ResNet-20 for CIFAR, batch 128.
RESNET20 = [(3, 16, 3, 1, 32), (16, 16, 3, 1, 32), (16, 32, 3, 2, 32), (32, 32, 3, 1, 16), (32, 64, 3, 2, 16)]
RESNET20 += [(64, 64, 3, 1, 8), (64, 10, 1, 1, 1)]

NETWORKS = {
    f"{name}-{c}x{h}-{o}x{k}/{s}": ((n, c, h, h), (o, c, k, k), geometry(s, k // 2))
    for name, n, layers in (("resnet18", 16, RESNET18), ("resnet20", 128, RESNET20))
    for c, o, k, s, h in layers
}
SHAPES = {
    **NETWORKS,
    "stem of mobilenet": ((32, 3, 224, 224), (32, 3, 3, 3), geometry(2, 1)),
    "stem of one channel": ((64, 1, 28, 28), (32, 1, 5, 5), geometry(1, 2)),
    "expansion of mobilenet v2": ((32, 24, 56, 56), (144, 24, 1, 1), geometry()),
    "32 groups, as resnext": ((16, 128, 56, 56), (128, 4, 3, 3), geometry(1, 1, groups=32)),
    "32 groups, stride 2": ((16, 256, 56, 56), (256, 8, 3, 3), geometry(2, 1, groups=32)),
    "3 odd groups": ((4, 6, 14, 14), (9, 2, 3, 3), geometry(1, 1, groups=3)),
    "depthwise": ((16, 32, 28, 28), (32, 1, 3, 3), geometry(1, 1, groups=32)),
    "batch 1": ((1, 64, 56, 56), (64, 64, 3, 3), geometry(1, 1)),
    "odd sizes": ((3, 7, 13, 11), (5, 7, 3, 3), geometry(2, 0)),
    "padding behind only": ((4, 16, 15, 15), (24, 16, 3, 3), geometry(2, 0, 1)),
    "padding beyond the kernel": ((2, 8, 9, 9), (8, 8, 3, 3), geometry(1, 4)),
    "dilation": ((4, 32, 28, 28), (32, 32, 3, 3), geometry(1, 2, dilation=2)),
    "stride beyond the kernel": ((2, 8, 20, 20), (8, 8, 1, 1), geometry(3)),
    "one axis": ((8, 16, 1, 100), (32, 16, 1, 5), (1, 2, 0, 2, 0, 2, 1, 1, 1)),
    "kernel of 1x7": ((4, 32, 17, 17), (32, 32, 1, 7), (1, 1, 0, 3, 0, 3, 1, 1, 1)),
}


@pytest.fixture(scope="module")
def graph_of() -> Callable[..., Any]:
    """Return a function that builds the graph of a convolution on the described device."""
    device = described_device()
    return lambda what, limit=LIMIT: build_graph(what, limit, **device)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_convolution_has_plans_that_can_be_built(graph_of, shape, operation, precision):
    x_shape, w_shape, where = SHAPES[shape]
    dtype, tf32 = PRECISIONS[precision]
    graph = graph_of(describe(operation, x_shape, w_shape, where, dtype, tf32=tf32))
    found = build_candidates(graph)
    assert found
    assert all(graph.get_workspace_size_plan_at_index(index) <= LIMIT for index in found.values())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bias_rides_along(graph_of, precision):
    dtype, tf32 = PRECISIONS[precision]
    what = describe("fprop", (8, 3, 32, 32), (64, 3, 3, 3), geometry(1, 1), dtype, tf32=tf32, has_bias=True)
    assert build_candidates(graph_of(what))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_float32_keeps_off_the_tensor_cores_unless_tf32_is_allowed(graph_of, operation):
    arguments = (operation, (16, 64, 56, 56), (64, 64, 3, 3), geometry(1, 1), "float32")
    tensor_core = names_with_note(describe(*arguments, tf32=True), "TENSOR_CORE")
    strict = build_candidates(graph_of(describe(*arguments)), 100)
    relaxed = build_candidates(graph_of(describe(*arguments, tf32=True)), 100)
    assert tensor_core
    assert strict.keys().isdisjoint(tensor_core)
    assert relaxed.keys() & tensor_core
    assert strict.keys() < relaxed.keys()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("operation", ["dgrad", "wgrad"])
def test_plans_that_do_not_repeat_themselves_are_not_used(graph_of, operation, precision):
    dtype, tf32 = PRECISIONS[precision]
    what = describe(operation, (16, 64, 56, 56), (64, 64, 3, 3), geometry(1, 1), dtype, tf32=tf32)
    varying = names_with_note(what, "NONDETERMINISTIC")
    assert varying, "the library offers some, else this tests nothing"
    assert build_candidates(graph_of(what), 100).keys().isdisjoint(varying)


def test_plans_above_the_limit_of_the_workspace_are_not_used(graph_of):
    what = describe("wgrad", (64, 3, 224, 224), (64, 3, 7, 7), geometry(2, 3), "float32", tf32=True)
    limit = 1 << 20
    needs = [graph.get_workspace_size_plan_at_index(i) for graph in [graph_of(what)] for i in all_plans(graph)]
    graph = graph_of(what, limit)
    left = [graph.get_workspace_size_plan_at_index(i) for i in all_plans(graph)]
    assert max(needs) > limit
    assert left
    assert max(left) <= limit


def test_a_plan_is_found_again_by_its_name(graph_of):
    what = describe("fprop", (16, 64, 56, 56), (64, 64, 3, 3), geometry(1, 1), "float16")
    for name in build_candidates(graph_of(what)):
        graph = graph_of(what)
        index = build_named(graph, name)
        assert index is not None
        assert graph.get_plan_name_at_index(index) == name
    assert build_named(graph_of(what), "eng999_k1=0") is None


def test_what_cannot_be_built_is_not_found_by_its_name(graph_of):
    arguments = ("fprop", (16, 64, 56, 56), (64, 64, 3, 3), geometry(1, 1), "float32")
    for name in names_with_note(describe(*arguments, tf32=True), "TENSOR_CORE"):
        assert build_named(graph_of(describe(*arguments)), name) is None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_wrong_size_is_refused(graph_of, operation):
    what = describe(operation, (2, 8, 9, 9), (8, 8, 3, 3), geometry(1, 1), "float32")
    with pytest.raises(NoPlanError, match="cuDNN has no plan for"):
        graph_of(what._replace(y=(2, 8, 10, 9)))


@pytest.mark.parametrize("operation", ["dgrad", "wgrad"])
def test_fewer_windows_than_fit_are_planned_for(graph_of, operation):
    # 9 numbers with 1 before and 2 behind hold 5 windows of 3 at stride 2; of the rows the last is left out.
    arguments = (operation, (2, 8, 9, 9), (8, 8, 3, 3), (2, 2, 1, 1, 2, 2, 1, 1, 1), "float32")
    what = describe(*arguments, y_shape=(2, 8, 4, 5))
    assert (what.before, what.after) == ((1, 1), (0, 2))
    assert build_candidates(graph_of(what))
    with pytest.raises(NoPlanError, match="negative padding"):  # 3 windows leave an edge of the input out
        describe(*arguments, y_shape=(2, 8, 3, 5))


def test_what_the_library_does_not_take_is_said():
    arguments = ((2, 8, 9, 9), (8, 8, 3, 3), geometry(1, 1))
    with pytest.raises(NoPlanError, match="for float32, float16, bfloat16 only, not for float64"):
        describe("fprop", *arguments, "float64")
    with pytest.raises(NoPlanError, match="empty arrays"):
        describe("fprop", (0, 8, 9, 9), *arguments[1:], "float32")
    with pytest.raises(NoPlanError, match="empty arrays"):
        describe("fprop", (2, 8, 2, 2), (8, 8, 3, 3), geometry(), "float32")
    with pytest.raises(NoPlanError, match="up to 2147483647 elements"):
        describe("fprop", (2**12, 64, 128, 128), (64, 64, 1, 1), geometry(), "float16")


def test_a_description_tells_all_that_decides_on_the_plan():
    what = describe("fprop", (16, 3, 32, 30), (8, 3, 3, 5), (2, 1, 0, 2, 1, 2, 1, 1, 1), "float32", tf32=True)
    assert str(what) == (
        "fprop float32 tf32 nhwc x=16x3x32x30 w=8x3x3x5 y=16x8x16x30 stride=2x1 before=0x2 after=1x2 dilation=1x1"
    )
    assert str(what._replace(tf32=False, has_bias=True)) == str(what).replace(" tf32", "") + " bias"


def test_tf32_is_of_no_account_for_half_precision():
    arguments = ("fprop", (2, 8, 9, 9), (8, 8, 3, 3), geometry(1, 1), "float16")
    assert describe(*arguments, tf32=True) == describe(*arguments)


def names_with_note(what: Convolution, note: str) -> set[str]:
    """Return the names of all plans for a convolution that the library marks with a numerical note."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontend, "_unwanted_notes", lambda _: [])
        everything, others = (build_graph(what, LIMIT, **described_device()) for _ in range(2))
    others.deselect_numeric_notes([getattr(frontend.load().numerical_note, note)])
    return {everything.get_plan_name_at_index(i) for i in set(all_plans(everything)) - set(all_plans(others))}


def all_plans(graph: Any) -> list[int]:
    """Return the positions of all plans that can be built."""
    return list(build_candidates(graph, graph.get_execution_plan_count()).values())
