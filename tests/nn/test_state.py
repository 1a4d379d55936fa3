"""State beside tensors, and hooks around saving and loading."""

from __future__ import annotations

import pytest

import tinytrain as tt
from tinytrain import nn


class Counter(nn.Module):
    """Counts something that is no tensor."""

    def __init__(self, count=0):
        super().__init__()
        self.count = count

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def test_extra_state_is_saved_and_loaded():
    net, other = nn.Sequential(nn.Linear(1, 1), Counter(3)), nn.Sequential(nn.Linear(1, 1), Counter())
    state = net.state_dict()
    assert state["1._extra_state"] == {"count": 3}
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    assert other[1].count == 3
    assert Counter(4).state_dict() == {"_extra_state": {"count": 4}}


def test_extra_state_is_missed_and_unexpected():
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: '_extra_state'"):
        Counter().load_state_dict({})
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict: '_extra_state'"):
        nn.Identity().load_state_dict({"_extra_state": 1})
    assert Counter().load_state_dict({}, strict=False).missing_keys == ["_extra_state"]
    with pytest.raises(RuntimeError, match="Identity: define get_extra_state"):
        nn.Identity().get_extra_state()
    with pytest.raises(RuntimeError, match="Identity: define set_extra_state"):
        nn.Identity().set_extra_state(None)


def test_hooks_are_called_around_saving():
    net = nn.Sequential(nn.Linear(1, 1, bias=False))
    calls = []
    net[0].register_state_dict_pre_hook(lambda module, prefix, keep_vars: calls.append((module, prefix, keep_vars)))

    def rename(module, state_dict, prefix, metadata):
        state_dict[prefix + "kernel"] = state_dict.pop(prefix + "weight")

    handle = net[0].register_state_dict_post_hook(rename)
    assert list(net.state_dict(keep_vars=True)) == ["0.kernel"]
    assert calls == [(net[0], "0.", True)]
    handle.remove()
    assert list(net.state_dict()) == ["0.weight"]
    net.register_state_dict_post_hook(lambda *arguments: {})
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        net.state_dict()


def test_a_hook_before_loading_may_rename():
    net = nn.Sequential(nn.Linear(1, 1, bias=False))

    def rename(module, state_dict, prefix, *rest):
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")

    net[0].register_load_state_dict_pre_hook(rename)
    state = {"0.kernel": tt.tensor([[5.0]])}
    net.load_state_dict(state)
    assert net[0].weight.item() == 5
    assert list(state) == ["0.kernel"]


def test_what_a_hook_before_loading_finds_wrong_is_reported():
    net = nn.Identity()
    net.register_load_state_dict_pre_hook(lambda *arguments: arguments[-1].append("too old"))
    with pytest.raises(RuntimeError, match=r"Error.* in loading state_dict for Identity:\n\ttoo old"):
        net.load_state_dict({})


def test_hooks_after_loading_come_from_below_and_may_forgive():
    net = nn.Sequential(nn.Linear(1, 1))
    net.append(nn.Identity())
    calls = []

    def forgive(module, keys):
        calls.append((module, list(keys.missing_keys), net[0].weight.item()))
        keys.missing_keys.clear()

    net.register_load_state_dict_post_hook(forgive)
    net[0].register_load_state_dict_post_hook(lambda module, keys: calls.append(module))
    net[1].register_load_state_dict_post_hook(lambda module, keys: calls.append(module))
    net.load_state_dict({"0.weight": tt.tensor([[5.0]])})
    assert calls == [net[0], net[1], (net, ["0.bias"], 5)]


def test_a_hook_after_loading_returns_nothing_and_unforgiven_names_are_refused():
    net = nn.Linear(1, 1)
    handle = net.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(AssertionError, match="not expected to return new values"):
        net.load_state_dict(net.state_dict())
    handle.remove()
    net.register_load_state_dict_post_hook(lambda module, keys: None)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: 'weight', 'bias'"):
        net.load_state_dict({})


def test_a_shared_module_is_loaded_under_both_names():
    shared = nn.Linear(1, 1, bias=False)
    net = nn.ModuleList([shared, shared])
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    assert not net.load_state_dict(net.state_dict()).unexpected_keys
