"""The base of all layers and networks: parameters, buffers, submodules, modes, hooks; its state is in `state`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tinytrain import dtypes
from tinytrain.device import device as Device
from tinytrain.nn.hooks import watch_inputs, watch_outputs
from tinytrain.nn.parameter import Buffer, Parameter
from tinytrain.nn.state import Stateful
from tinytrain.tape import no_grad
from tinytrain.tensor import RemovableHandle, Tensor

__all__ = ["Module"]

_TABLES = ("_parameters", "_modules", "_buffers")

Self = TypeVar("Self", bound="Module")


class Module(Stateful):
    """A layer or network: owns parameters, buffers and submodules under the names they are assigned to.

    Subclasses call `super().__init__()` first, assign what they own, and define `forward`.

    Attributes:
        training: whether the module behaves as in training (dropout, batch statistics).
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "training", True)
        set_(self, "_parameters", {})
        set_(self, "_buffers", {})
        set_(self, "_modules", {})
        set_(self, "_transient_buffers", set())
        set_(self, "_hooks", {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it.

        Raises:
            NotImplementedError: the subclass does not.
        """
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks:
            return self._call_with_hooks(args, kwargs)
        if len(args) == 1 and not kwargs:
            return self.forward(args[0])  # the usual call, in two thirds of the time
        return self.forward(*args, **kwargs)

    # Ownership.

    def __setattr__(self, name: str, value: Any) -> None:
        if "_modules" not in self.__dict__:
            if isinstance(value, (Parameter, Module, Buffer)):
                raise AttributeError(f"cannot assign {name!r} before Module.__init__() call")
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
        elif name in self._buffers:
            self._assign(self._buffers, name, value, Tensor)
        elif name in self._parameters:
            self._assign(self._parameters, name, value, Parameter)
        elif name in self._modules:
            self._assign(self._modules, name, value, Module)
        else:
            object.__setattr__(self, name, value)

    def _assign(self, table: dict[str, Any], name: str, value: Any, kind: type) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"cannot assign {type(value).__name__!r} as {name!r} (tinytrain.{kind.__name__} or None expected)"
            )
        table[name] = value

    def _forget(self, name: str) -> None:
        """Drop whatever is held under `name`, so that it is held once."""
        self.__dict__.pop(name, None)
        for table in (self._parameters, self._buffers, self._modules):
            table.pop(name, None)
        self._transient_buffers.discard(name)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in _TABLES:
            held = own.get(table)
            if held is not None and name in held:
                return held[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _held(self, table: dict[str, Any], name: str) -> Any:
        """Return what `getattr` returns of a parameter or a buffer, in a fifth of the time; `table` is where it is."""
        return table[name] if name in table else getattr(self, name)

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Own `param` under `name`; None keeps the name for a parameter that is not there."""
        self._check_name(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign {type(param).__name__!r} object to parameter {name!r} (nn.Parameter or None)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Own a tensor that is not trained.

        Args:
            name: what it is called.
            tensor: the tensor; None keeps the name.
            persistent: whether `state_dict` holds it.
        """
        if name not in self._buffers:
            self._check_name(name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign {type(tensor).__name__!r} object to buffer {name!r} (Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._transient_buffers.discard(name)
        else:
            self._transient_buffers.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Own `module` under `name`."""
        self._check_name(name, "module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, kind: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name!r}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and not any(name in t for t in (self._parameters, self._buffers, self._modules)):
            raise KeyError(f"attribute {name!r} already exists")

    # Walks.

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it with their dotted names, each once."""
        memo = set() if memo is None else memo
        if remove_duplicate:
            if self in memo:
                return
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly below, with their names."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield parameters with their dotted names, a shared one once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, of submodules too where `recurse` is set."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield buffers with their dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, of submodules too where `recurse` is set."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named_members(self, table: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else [(prefix, self)]
        for owner, module in owners:
            for name, value in getattr(module, table).items():
                if value is None or (unique and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{owner}.{name}" if owner else name), value

    def get_submodule(self, target: str) -> Module:
        """Return the module with the dotted name `target`.

        Raises:
            AttributeError: there is none.
        """
        found = self
        for name in target.split(".") if target else ():
            if name not in found._modules:
                raise AttributeError(f"{type(found).__name__} has no submodule {name!r} (looking for {target!r})")
            found = found._modules[name]  # type: ignore[assignment]  # an absent submodule has no name to ask for
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Own `module` under the dotted name `target`, in place of what is there.

        Args:
            target: the name; the module that it lies in must be there.
            module: the new module.
            strict: refuse a name under which there is nothing yet.

        Raises:
            ValueError: the name is empty, or `module` is no module.
            AttributeError: there is no such place, or what is there is no module.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        owner, _, name = target.rpartition(".")
        parent = self.get_submodule(owner)
        if (strict or hasattr(parent, name)) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter with the dotted name `target`."""
        return self._get_member("_parameters", target)

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer with the dotted name `target`."""
        return self._get_member("_buffers", target)

    def _get_member(self, table: str, target: str) -> Any:
        owner, _, name = target.rpartition(".")
        members = getattr(self.get_submodule(owner), table)
        if name not in members:
            raise AttributeError(f"{type(self).__name__} has no {table[1:-1]} {target!r}")
        return members[name]

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below, then on this one; return this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # Modes, types and places.

    def train(self: Self, mode: bool = True) -> Self:
        """Set training behaviour here and below; return this module."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation behaviour here and below; return this module."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Say for every parameter whether it is trained; return this module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or fill it with zeros where `set_to_none` is False."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad = param.grad.detach()
                param.grad.zero_()

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers to a device, or their floats to a type, in place; return this module.

        Args:
            *args: a device, a dtype, both, or a tensor that has them.
            **kwargs: the same as `device=` and `dtype=`.

        Raises:
            TypeError: the dtype is no floating type.
        """
        for each in (*args, *kwargs.values()):
            if isinstance(each, dtypes.dtype) and not each.is_floating_point:
                raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={each}")

        def convert(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                return tensor.to(*args, **kwargs)
            place = [a.device if isinstance(a, Tensor) else a for a in args if isinstance(a, (str, Device, Tensor))]
            place += [kwargs["device"]] if kwargs.get("device") is not None else []
            return tensor.to(place[0]) if place else tensor

        return self._apply(convert)

    def cpu(self: Self) -> Self:
        """Move to the CPU in place; return this module."""
        return self.to("cpu")

    def cuda(self: Self, device: int | str | Device | None = None) -> Self:
        """Move to a GPU in place; return this module."""
        return self.to(Device("cuda" if device is None else device))

    def float(self: Self) -> Self:
        """Make all floats float32 in place; return this module."""
        return self.to(dtypes.float32)

    def double(self: Self) -> Self:
        """Make all floats float64 in place; return this module."""
        return self.to(dtypes.float64)

    def half(self: Self) -> Self:
        """Make all floats float16 in place; return this module."""
        return self.to(dtypes.float16)

    def bfloat16(self: Self) -> Self:
        """Make all floats bfloat16 in place; return this module."""
        return self.to(dtypes.bfloat16)

    def _apply(self: Self, convert: Callable[[Tensor], Tensor]) -> Self:
        """Replace the values of every parameter, its gradient and every buffer; the tensor objects stay."""
        with no_grad():
            for tensor in itertools.chain(self.parameters(), self.buffers()):
                grad = tensor.grad
                tensor.grad = None
                tensor.data = convert(tensor.detach())
                if grad is not None:
                    tensor.grad = convert(grad)
        return self

    # Hooks.

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before every forward; what it returns replaces the arguments.

        Args:
            hook: the function; gets `(module, args, kwargs)` with `with_kwargs`.
            prepend: call it before the hooks already there.
            with_kwargs: pass the keyword arguments, and take `(args, kwargs)` back.
        """
        return self._register("forward_pre", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after every forward; what it returns replaces the output.

        Args:
            hook: the function; gets `(module, args, kwargs, output)` with `with_kwargs`.
            prepend: call it before the hooks already there.
            with_kwargs: pass the keyword arguments too.
            always_call: not available; a forward that raises calls no hook.
        """
        if always_call:
            raise NotImplementedError("register_forward_hook: always_call=True is not available")
        return self._register("forward", (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the gradients pass back through the module.

        What it returns, a tuple as `grad_output` is, replaces them.
        """
        return self._register("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` once the gradients of the module's inputs are known.

        What it returns, a tuple as `grad_input` is, replaces them.
        """
        return self._register("backward", hook, prepend)

    def _register(self, kind: str, hook: Any, prepend: bool) -> RemovableHandle:
        hooks = self._hooks.setdefault(kind, {})
        handle = RemovableHandle(hooks, hook)
        if prepend:
            for key in [key for key in hooks if key != handle.id]:
                hooks[key] = hooks.pop(key)
        return handle

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in self._hooks_of("forward_pre"):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        before, after = self._hooks_of("backward_pre"), self._hooks_of("backward")
        grad_outputs: list[Tensor | None] = []
        if before or after:
            plain, args = args, watch_inputs(self, args, after, grad_outputs)
            alone = after if args is plain else []
        output = self.forward(*args, **kwargs)
        for hook, with_kwargs in self._hooks_of("forward"):
            changed = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            if changed is not None:
                output = changed
        if before or after:
            output = watch_outputs(self, output, before, grad_outputs, alone, len(args))
        return output

    # What people see.

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the module's repr."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        name = self._get_name()
        if not children and len(extra) <= 1:
            return f"{name}({''.join(extra)})"
        return f"{name}(\n  " + "\n  ".join(extra + children) + "\n)"

    def _get_name(self) -> str:
        return type(self).__name__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _indent(text: str) -> str:
    """Indent all lines but the first by two spaces."""
    return text.replace("\n", "\n  ")
