"""What stands for the names in PyTorch's pickles: records of tensors and storages, which hold no data yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytrain.errors import WeightsError
from tinytrain.pickles import NUMPY_NAMES, Global, expect, plain_key, visible
from tinytrain.untrusted import Budget
from tinytrain.weights.elements import ELEMENTS, Element, check_shape, strided

_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
_UNTYPED = {"torch.storage.UntypedStorage", "torch.UntypedStorage"}
_ELEMENT_OF = {f"{module}.{name}": ELEMENTS[e] for module in ("torch", "torch.cuda") for name, e in _STORAGES.items()}
_DTYPES = {f"torch.{name}": element for name, element in ELEMENTS.items()}


@dataclass(eq=False)
class Storage:
    """A block of elements in a file.

    Args:
        key: its name in the file.
        element: None where the tensors say it.
        num_bytes: its length.
        raw: its bytes, once they are read.
        root: the storage that this one is a part of; None for a whole one.
        begin: of this part, in bytes.
    """

    key: str
    element: Element | None
    num_bytes: int
    raw: memoryview | None = None
    root: Storage | None = None
    begin: int = 0

    def content(self) -> memoryview | None:
        """Return its bytes, None where they are not read."""
        if self.root is None or self.root.raw is None:
            return self.raw
        return self.root.raw[self.begin : self.begin + self.num_bytes]


@dataclass(eq=False)
class StoredTensor:
    """A tensor in a file: a view of a storage.

    Args:
        storage: where its elements lie.
        element: their type.
        offset: of the first one, in elements.
        shape: lengths.
        stride: in elements.
    """

    storage: Storage
    element: Element
    offset: Any
    shape: tuple[Any, ...]
    stride: tuple[Any, ...]

    def array(self, name: str, order: str, budget: Budget, read: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
        """Return the elements, read-only, sharing the memory of the file's bytes where the type allows it.

        Args:
            name: of the tensor, for messages.
            order: of the bytes, `<` or `>`.
            budget: what the file may stand for.
            read: the elements of the storages that are read already.
        """
        budget.spend(check_shape(self.shape, name) * self.element.size)
        key = (self.storage.key, self.element.name)
        if key not in read:
            raw = self.storage.content()
            if raw is None:
                raise WeightsError(f"{name}: its storage {visible(self.storage.key)!r} is not in the file")
            read[key] = self.element.values(raw, order)
        return strided(read[key], self.offset, self.shape, self.stride, name)


class Records:
    """The storages that the pickle of one file speaks of, and the names that build records of them."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.tensors: dict[int, StoredTensor] = {}  # of the oldest format, which numbers them
        self.names: dict[str, Callable[..., Any] | None] = {
            **NUMPY_NAMES,
            **dict.fromkeys((*_ELEMENT_OF, *_UNTYPED, *_DTYPES)),
            **dict.fromkeys(name.replace("Storage", "Tensor") for name in _ELEMENT_OF),
            "torch.Tensor": None,
            "torch.nn.parameter.Parameter": None,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_dtype,
            "torch._utils._rebuild_parameter": _parameter,
            "torch._utils._rebuild_parameter_with_state": _parameter,
            "torch._tensor._rebuild_from_type_v2": _from_type,
            "torch.Size": tuple,
            "torch.device": _device,
            "collections.OrderedDict": _mapping,
            "collections.Counter": _mapping,
            "builtins.set": _plain_list,
            "__builtin__.set": _plain_list,
        }

    def persistent(self, saved: Any) -> Storage | StoredTensor:
        """Return the storage, or in the oldest format the tensor, that a persistent id means."""
        if not isinstance(saved, tuple):
            return self._numbered(str(saved))
        kind, storage_type, key, _location, count, *rest = saved
        if _text(kind) != "storage":
            raise ValueError(f"a {kind!r:.40} is saved")
        storage = self.storage(_text(key), expect(Global, storage_type).name, count)
        return self.part(storage, *rest[0]) if rest and rest[0] is not None else storage

    def storage(self, key: str, type_name: str, count: Any) -> Storage:
        """Return the storage of that key, which is always of the same type and length.

        Args:
            key: its name in the file.
            type_name: of PyTorch's class.
            count: of its elements; of its bytes where it has no type.
        """
        element = _ELEMENT_OF.get(type_name)
        if element is None and type_name not in _UNTYPED:
            raise ValueError(f"{type_name} is no type of a storage")
        if expect(int, count) < 0 or count >= 1 << 59:
            raise WeightsError(f"storage {visible(key)!r} has a length of {count}")
        num_bytes = count * (element.size if element else 1)
        storage = self.storages.setdefault(key, Storage(key, element, num_bytes))
        if (storage.element, storage.num_bytes) != (element, num_bytes):
            raise WeightsError(f"storage {visible(key)!r} is named twice with different types or lengths")
        return storage

    def part(self, root: Storage, key: Any, begin: Any, count: Any) -> Storage:
        """Return the storage that is a part of another one.

        Args:
            root: the other one.
            key: of the part.
            begin, count: in elements.
        """
        key, size = str(key), expect(Element, root.element).size
        if not (type(begin) is type(count) is int and 0 <= begin <= begin + count <= root.num_bytes // size):
            raise WeightsError(
                f"storage {visible(key)!r} is no part of storage {visible(root.key)!r}: {count!r} from {begin!r}"
            )
        part = self.storages.setdefault(key, Storage(key, root.element, count * size, root=root, begin=begin * size))
        if (part.root, part.begin, part.num_bytes) != (root, begin * size, count * size):
            raise WeightsError(f"storage {visible(key)!r} is named twice with different types or lengths")
        return part

    def _numbered(self, number: str) -> Storage | StoredTensor:
        if number in self.storages:
            return self.storages[number]
        return self.tensors[int(number)]

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> StoredTensor:
        if isinstance(storage, tuple):  # some writers put the id where its storage belongs
            storage = self.persistent(storage)
        element = expect(Storage, storage).element
        if element is None:
            raise ValueError("a storage without a type is used for a tensor without one")
        if len(rest) > 2 and rest[2]:
            raise WeightsError(f"a tensor has the marks {rest[2]!r:.60}, which are not read")
        return _stored(storage, element, offset, shape, stride)

    def _tensor_of_dtype(
        self, storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *rest: Any
    ) -> StoredTensor:
        element = _DTYPES[expect(Global, dtype).name]
        if expect(Storage, storage).num_bytes % element.size:
            raise ValueError(f"a storage of {storage.num_bytes} bytes holds no whole number of {element.name}")
        return _stored(storage, element, offset, shape, stride)


def _stored(storage: Storage, element: Element, offset: Any, shape: Any, stride: Any) -> StoredTensor:
    numbers = (offset, *expect(tuple, shape), *expect(tuple, stride))
    if any(isinstance(number, int) and abs(number) >> 63 for number in numbers):
        raise ValueError("a tensor's offset, shape or stride has more than 64 bits")
    return StoredTensor(storage, element, offset, shape, stride)


def _parameter(data: Any, *options: Any) -> StoredTensor:
    return expect(StoredTensor, data)


def _from_type(build: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    function = expect(Global, build).build
    if function is None:
        raise ValueError(f"{build.name} builds nothing")
    return function(*expect(tuple, arguments))


def _device(kind: Any, index: int | None = None) -> str:
    return expect(str, kind) if index is None else f"{expect(str, kind)}:{expect(int, index)}"


def _mapping(items: Any = ()) -> dict[Any, Any]:
    return {plain_key(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _plain_list(items: Any = ()) -> list[Any]:
    return list(expect(list, items)) if items else []


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else expect(str, value)
