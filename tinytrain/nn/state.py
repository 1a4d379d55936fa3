"""What modules save and load: tensors by dotted name, extra states, and the hooks around both."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytrain.tape import no_grad
from tinytrain.tensor import RemovableHandle, Tensor

if TYPE_CHECKING:
    from tinytrain.nn.module import Module

__all__ = ["IncompatibleKeys", "Stateful"]

_EXTRA_STATE = "_extra_state"
"""The name under which a state dict holds what a module's `get_extra_state` returns."""


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find on either side."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Stateful:
    """The part of a module that saves and loads."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient_buffers: set[str]
    _hooks: dict[str, dict[int, Any]]

    if TYPE_CHECKING:  # of Module

        def named_modules(self, *, remove_duplicate: bool) -> Iterator[tuple[str, Module]]: ...
        def _register(self, kind: str, hook: Any, prepend: bool) -> RemovableHandle: ...

    def get_extra_state(self) -> Any:
        """Return what `state_dict` shall hold beside tensors; defined by modules that have such a thing.

        Raises:
            RuntimeError: the subclass does not define it.
        """
        raise RuntimeError(f"{type(self).__name__}: define get_extra_state to save what is no tensor")

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` returned.

        Raises:
            RuntimeError: the subclass does not define it.
        """
        raise RuntimeError(f"{type(self).__name__}: define set_extra_state to load what is no tensor")

    def state_dict(
        self, *, destination: OrderedDict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Any]:
        """Return parameters and persistent buffers by dotted name, sharing their memory.

        Args:
            destination: a dict to fill instead of a new one.
            prefix: what every name begins with.
            keep_vars: return the parameters themselves instead of detached tensors.

        Raises:
            RuntimeError: a hook after it returns something.
        """
        state: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        for hook in self._hooks_of("state_dict_pre"):
            hook(self, prefix, keep_vars)
        for name, tensor in self._own_state().items():
            state[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            state[prefix + _EXTRA_STATE] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._hooks_of("state_dict"):
            if hook(self, state, prefix, {}) is not None:
                raise RuntimeError("state_dict post-hook must return None")
        return state

    def _own_state(self) -> dict[str, Tensor]:
        """Return this module's parameters and persistent buffers that are there."""
        buffers = {name: b for name, b in self._buffers.items() if name not in self._transient_buffers}
        return {name: t for name, t in {**self._parameters, **buffers}.items() if t is not None}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values from `state_dict` into the parameters and buffers of the same names.

        Args:
            state_dict: tensors by dotted name, and extra states.
            strict: refuse missing and unexpected names.
            assign: take the given tensors themselves instead of copying their values.

        Returns:
            The names missing in `state_dict` and those unexpected in it.

        Raises:
            RuntimeError: names do not match (with `strict`) or shapes differ; the message lists them all. Nothing
                was loaded then, unless there are hooks after loading: these may change the names first.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        given, keys = OrderedDict(state_dict), IncompatibleKeys([], [])
        problems: list[str] = []
        modules = {f"{name}." if name else "": each for name, each in self.named_modules(remove_duplicate=False)}
        for prefix, module in modules.items():
            for hook in module._hooks_of("load_state_dict_pre"):
                hook(module, given, prefix, {}, True, keys.missing_keys, keys.unexpected_keys, problems)
        own = {prefix + name: t for prefix, module in modules.items() for name, t in module._own_state().items()}
        extra = {
            prefix + _EXTRA_STATE: module
            for prefix, module in modules.items()
            if type(module).set_extra_state is not Stateful.set_extra_state
        }
        keys.missing_keys.extend(name for name in (*own, *extra) if name not in given)
        keys.unexpected_keys.extend(name for name in given if name not in own and name not in extra)
        for name, tensor in own.items():
            if name not in given:
                continue
            value = given[name]
            if not isinstance(value, Tensor):
                problems.append(f"{name}: expected a Tensor, but got {type(value).__name__}.")
            elif value.shape != tensor.shape:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {value.shape} from checkpoint, "
                    f"the shape in current model is {tensor.shape}."
                )
        hooks = [(each, hook) for each in self._bottom_up() for hook in each._hooks_of("load_state_dict")]
        if problems or not hooks:
            self._refuse(keys if strict else None, problems)
        with no_grad():
            for name in own:
                if name in given:
                    self._load_one(name, own[name], given[name], assign)
        for name, module in extra.items():
            if name in given:
                module.set_extra_state(given[name])
        for owner, hook in hooks:
            if hook(owner, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values, if incompatible_keys need to be modified, it should be done inplace."
                )
        self._refuse(keys if strict else None, problems)
        return keys

    def _refuse(self, keys: IncompatibleKeys | None, problems: list[str]) -> None:
        """Raise a RuntimeError that lists names that do not match and other problems, if there are any."""
        found = list(problems)
        if keys is not None and keys.missing_keys:
            found.insert(0, f"Missing key(s) in state_dict: {', '.join(map(repr, keys.missing_keys))}. ")
        if keys is not None and keys.unexpected_keys:
            found.insert(0, f"Unexpected key(s) in state_dict: {', '.join(map(repr, keys.unexpected_keys))}. ")
        if found:
            raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {type(self).__name__}:", *found]))

    def _load_one(self, name: str, tensor: Tensor, value: Tensor, assign: bool) -> None:
        if assign:
            tensor.data = value.detach()
        else:
            tensor.copy_(value)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the state of this module is gathered."""
        return self._register("state_dict_pre", hook, False)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata)` once the state of this module is in `state_dict`.

        It changes the dict in place and returns None. The metadata, PyTorch's versions of layers, are empty.
        """
        return self._register("state_dict", hook, False)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook` before anything is loaded, with a copy of the dict, which it may change in place.

        Its arguments are `(module, state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, errors)`; what
        it adds to the lists is reported.
        """
        return self._register("load_state_dict_pre", hook, False)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the lists of names, and returns None."""
        return self._register("load_state_dict", hook, False)

    def _hooks_of(self, kind: str) -> list[Any]:
        return list(self._hooks.get(kind, {}).values())

    def _bottom_up(self) -> Iterator[Stateful]:
        """Yield all modules, those below before the one that has them."""
        for module in self._modules.values():
            if module is not None:
                yield from module._bottom_up()
        yield self
