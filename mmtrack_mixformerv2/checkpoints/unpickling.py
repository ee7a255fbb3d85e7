"""Unpickling that cannot run code: the half of a checkpoint file that is dangerous.

A checkpoint is a pickle plus raw numbers, and a pickle is a program: it names functions of any
installed package and calls them. The published MixFormerV2 files pickle objects of their training
package (``settings``), so torch's safe loader refuses them and the usual way out is to switch the
check off. Here the program is run against stand-ins instead. No name in it is ever imported: a
tensor becomes a :class:`TensorRecord` that only says where its numbers are, an ``OrderedDict``
becomes a dict, and every other class or function becomes a subclass of :class:`Inert`, which
accepts whatever is done to it and does nothing. The numbers are read by ``reading.py``.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from typing import Any, BinaryIO

import torch

# What a damaged or hostile pickle or archive makes the standard library raise.
DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

# A pickle numbers the objects it refers back to; real checkpoints have some ten thousand. The
# number is also the size of a table, so an absurd one is an attempt to exhaust the memory.
_MAX_MEMO_INDEX = 1 << 24


class Inert:
    """Stands for a pickled class, function or object that is not needed, and does nothing.

    It can be called, instantiated, given a state, items and elements, since a pickle may do all
    of that; nothing is kept. ``__setstate__`` works on the class as well, so a pickle cannot
    plant attributes on it either.
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return self

    def __setstate__(self, *state: Any) -> None:
        """Ignore the state of the pickled object."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an item."""

    def append(self, *values: Any) -> None:
        """Ignore elements; ``extend`` and ``add`` are the same."""

    extend = add = append


class StorageType(Inert):
    """Stands for ``torch.FloatStorage`` and its like: knows its dtype."""

    __slots__ = ('dtype',)

    def __new__(cls, dtype: Any = None, *args: Any, **kwargs: Any) -> StorageType:
        self = super().__new__(cls)
        self.dtype = dtype
        return self


class TensorRecord(Inert):
    """Stands for a tensor: where its numbers are in the file, in elements of its storage.

    Attributes are what the pickle says and unchecked: ``storage`` as returned by the caller's
    ``persistent_load``, ``offset``, ``size``, ``stride``.
    """

    __slots__ = ('storage', 'offset', 'size', 'stride')

    def __new__(
        cls,
        storage: Any = None,
        offset: Any = 0,
        size: Any = (),
        stride: Any = (),
        *args: Any,
        **kwargs: Any,
    ) -> TensorRecord:
        self = super().__new__(cls)
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        return self


class _ParameterBuilder(Inert):
    """Stands for ``_rebuild_parameter(data, requires_grad, hooks)``: a parameter is its data."""

    __slots__ = ()

    def __call__(self, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        return data


class _Mapping(OrderedDict):
    """``OrderedDict`` without the attributes that a pickle may give it (``_metadata``)."""

    def __setstate__(self, *state: Any) -> None:
        """Ignore the attributes."""


_STORAGE_DTYPES = {
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'UntypedStorage': torch.uint8,
}


class SafeUnpickler(pickle.Unpickler):
    """Runs one pickle against stand-ins; see the module's introduction.

    Args:
        file: Binary file, positioned at the start of the pickle.
        read_storage: Called with every persistent id of the pickle; its result becomes
            ``TensorRecord.storage``. None where no storages may occur.

    Attributes:
        ignored: Dotted names of the classes and functions that were replaced by inert ones.
    """

    def __init__(self, file: BinaryIO, read_storage=None) -> None:
        super().__init__(file, encoding='utf-8')
        self._read_storage = read_storage
        self.ignored: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for ``module.name``; nothing is ever imported or looked up."""
        if (module, name) == ('collections', 'OrderedDict'):
            return _Mapping
        if module == 'torch._utils' and name in ('_rebuild_tensor', '_rebuild_tensor_v2'):
            return TensorRecord
        if module == 'torch._utils' and name.startswith('_rebuild_parameter'):
            return _ParameterBuilder()
        if module in ('torch', 'torch.cuda', 'torch.storage') and name in _STORAGE_DTYPES:
            return StorageType(_STORAGE_DTYPES[name])
        self.ignored.add(ascii(f'{module}.{name}')[1:-1])
        return Inert

    def persistent_load(self, pid: Any) -> Any:
        """Hand a storage's id to the reader of the file format."""
        if self._read_storage is None:
            raise pickle.UnpicklingError('a reference to tensor data where none may be')
        return self._read_storage(pid)


def safe_unpickle(file: BinaryIO, read_storage=None) -> tuple[Any, set[str]]:
    """Read the pickle that starts at the file's position; the file ends up right behind it.

    Args:
        file: Seekable binary file.
        read_storage: See :class:`SafeUnpickler`.

    Returns:
        The object, built of plain containers, numbers, strings and stand-ins, and the dotted
        names that were replaced by :class:`Inert`.

    Raises:
        Exception: One of :data:`DAMAGE`, if this is no complete pickle.
    """
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        # Extension codes are taken from a process-wide registry without asking `find_class`.
        if opcode.name.startswith('EXT'):
            raise pickle.UnpicklingError('uses extension codes')
        if opcode.name.endswith('PUT') and int(argument) > _MAX_MEMO_INDEX:
            raise pickle.UnpicklingError(f'numbers an object {argument}')
    file.seek(start)
    unpickler = SafeUnpickler(file, read_storage)
    return unpickler.load(), unpickler.ignored
