"""Containers of modules and parameters, in the ways of lists and dicts; modules put in place of others."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain import nn


def layers(count):
    return [nn.Linear(2, 2) for _ in range(count)]


def test_modules_are_taken_out_of_a_row():
    for kind in (lambda *given: nn.Sequential(*given), lambda *given: nn.ModuleList(given)):
        a, b, c = layers(3)
        row = kind(a, b, c)
        assert row.pop(1) is b
        assert list(row.named_children()) == [("0", a), ("1", c)]
        assert list(row.pop(slice(0, 1))) == [a]
        assert list(row) == [c]
        with pytest.raises(IndexError, match="index 1 is out of range"):
            row.pop(1)


def test_sequentials_are_added_and_multiplied():
    a, b, c = layers(3)
    both = nn.Sequential(a) + nn.Sequential(b, c)
    assert list(both.named_children()) == [("0", a), ("1", b), ("2", c)]
    both += nn.Sequential(b)
    assert list(both) == [a, b, c, b]
    both += both
    assert len(both) == 8
    twice = nn.Sequential(a, b) * 2
    assert list(twice) == list(2 * nn.Sequential(a, b)) == [a, b, a, b]
    twice *= 2
    assert len(twice) == 8


@pytest.mark.parametrize(
    ("compute", "error", "message"),
    [
        (lambda row: row + nn.ModuleList(), ValueError, "add operator supports only objects of Sequential class"),
        (lambda row: row.__iadd__([]), ValueError, "add operator supports only objects of Sequential class"),
        (lambda row: row * 0, ValueError, "Non-positive multiplication factor 0"),
        (lambda row: row * 1.5, TypeError, "unsupported operand type"),
    ],
)
def test_what_a_sequential_cannot_be_combined_with_is_refused(compute, error, message):
    with pytest.raises(error, match=message):
        compute(nn.Sequential())


def test_lists_are_added():
    a, b, c = layers(3)
    row = nn.ModuleList([a]) + nn.Sequential(b)
    row += [c]
    assert list(row.named_children()) == [("0", a), ("1", b), ("2", c)]
    parameters = nn.ParameterList([tt.zeros(1)])
    parameters += [tt.zeros(2)]
    assert [name for name, _ in parameters.named_parameters()] == ["0", "1"]


def test_a_dict_of_parameters_is_used_as_a_dict():
    table = nn.ParameterDict({"a": tt.zeros(1), "b": tt.zeros(2)})
    assert list(table.keys()) == ["a", "b"]
    assert [value.numel() for value in table.values()] == [1, 2]
    assert [name for name, _ in table.items()] == ["a", "b"]
    table.update([("c", tt.zeros(3))])
    assert isinstance(table["c"], nn.Parameter)
    assert table.get("d") is None
    assert table.setdefault("d", tt.zeros(4)) is table["d"]
    assert table.copy()["d"] is table["d"]
    assert table.pop("a").numel() == 1
    assert dict(table.named_parameters()).keys() == {"b", "c", "d"}
    table.clear()
    assert not table


def test_a_submodule_is_replaced_by_its_dotted_name():
    net = nn.Sequential(nn.Sequential(nn.Identity()))
    layer = nn.Linear(1, 1)
    net.set_submodule("0.0", layer)
    net.set_submodule("0.head", nn.Identity())
    assert net[0][0] is layer
    assert [name for name, _ in net[0].named_children()] == ["0", "head"]
    net.set_submodule("0.0", nn.Identity(), strict=True)


@pytest.mark.parametrize(
    ("target", "module", "error", "message"),
    [
        ("", nn.Identity(), ValueError, "Cannot set the submodule without a target name"),
        ("0", tt.ones(1), ValueError, "`module` is not an nn.Module"),
        ("1.weight", nn.Identity(), AttributeError, "has no submodule '1'"),
        ("0.weight", nn.Identity(), AttributeError, "`weight` is not an nn.Module"),
        ("1", nn.Identity(), AttributeError, "has no attribute '1'"),
    ],
)
def test_a_submodule_that_cannot_be_set_is_refused(target, module, error, message):
    with pytest.raises(error, match=message):
        nn.Sequential(nn.Linear(1, 1)).set_submodule(target, module, strict=True)
