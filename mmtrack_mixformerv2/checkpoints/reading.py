"""Read the weights of a checkpoint file without executing what is pickled in it.

Understands torch's zip format (since torch 1.6) and the format before it, and finds the state dict
in the published ``.pth.tar`` layout (``net``), in MMEngine's (``state_dict``), in MAE's (``model``)
and in a file that is nothing but a state dict. Everything else in the file (optimizer, settings,
statistics) is neither imported nor read: only the bytes of the state dict's tensors are.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from .unpickling import DAMAGE, Inert, StorageType, TensorRecord, safe_unpickle

# Where the state dict is, in the order in which the places are tried.
STATE_DICT_KEYS = ('net', 'state_dict', 'model')

_ZIP_START = b'PK\x03\x04'
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# The tensors of a state dict together, over the size of its file: tied weights count repeatedly.
_MAX_SHARING = 4

_EXPECTED = (
    'expected a PyTorch checkpoint: the published .pth.tar, a file of this toolbox, '
    'MAE weights, or a plain state dict'
)


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file and what is known about them.

    Attributes:
        state_dict: Name -> tensor on the CPU, in the order of the file; tied ones share memory.
        found_under: Key of the file's dict that held the state dict; '' if the file was one.
        info: The file's numbers and strings beside it, e.g. ``epoch`` and ``net_type``.
        ignored: Dotted names of the classes and functions in the file that were not executed.
    """

    state_dict: OrderedDict[str, Tensor]
    found_under: str
    info: dict[str, str | int | float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


class _Storage(NamedTuple):
    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read the state dict of a checkpoint file; no code of the file is run.

    Args:
        path: The file, in torch's zip format or the older one.

    Returns:
        The state dict and what else is plain in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is truncated or damaged, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        kind = 'a directory' if path.is_dir() else 'not there'
        raise FileNotFoundError(f'checkpoint {path} is {kind}; {_EXPECTED}.')
    with path.open('rb') as file:
        _refuse_other_files(path, file)
        try:
            is_zip = file.peek(4).startswith(_ZIP_START)
            archive = (_ZipArchive if is_zip else _LegacyArchive)(file)
            found_under, records = _find_state_dict(archive.content)
            state = _read_tensors(archive, records, path.stat().st_size)
        except DAMAGE as error:
            raise ValueError(
                f'{path} ({path.stat().st_size} bytes) cannot be read: '
                f'{str(error) or type(error).__name__}; {_EXPECTED}. A '
                'truncated download must be fetched again.'
            ) from error
    info = _plain_values(archive.content) if found_under else {}
    return Checkpoint(state, found_under, info, tuple(sorted(archive.ignored)))


def _plain_values(content: Mapping) -> dict[str, str | int | float]:
    return {
        key: value
        for key, value in content.items()
        if type(key) is str and type(value) in (str, int, float)
    }


def _refuse_other_files(path: Path, file: BinaryIO) -> None:
    """Name the files that people mistake for checkpoints."""
    head = file.read(512)
    file.seek(0)
    size = path.stat().st_size
    if not size:
        found = 'is empty'
    elif head.startswith(b'version https://git-lfs'):
        found = 'is a Git LFS pointer, not the file it stands for (run `git lfs pull`)'
    elif head.lstrip()[:1] == b'<':
        found = 'is a web page, not weights (a download link that needed a confirmation?)'
    elif head[257:262] == b'ustar' and tarfile.is_tarfile(path):
        found = 'is a tar archive (in spite of the name .pth.tar, checkpoints are none): unpack it'
    else:
        return
    raise ValueError(f'{path} {found}; {_EXPECTED}.')


class _ZipArchive:
    """torch's zip format: ``<name>/data.pkl`` and one file ``<name>/data/<key>`` per storage."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise ValueError('its directory, at the end of the file, is missing') from error
        names = set(self._zip.namelist())
        pickles = [name for name in names if name.count('/') == 1 and name.endswith('/data.pkl')]
        if len(pickles) != 1:
            raise ValueError(f'it is a zip archive without a data.pkl ({sorted(names)[:3]} ...)')
        self._root = pickles[0][: -len('data.pkl')]
        if self._root + 'constants.pkl' in names:
            raise ValueError('it is a TorchScript program, not a state dict')
        if self._root + 'byteorder' in names and self._read('byteorder') != b'little':
            raise ValueError('it was written on a big-endian machine')
        self.content, self.ignored = safe_unpickle(
            io.BytesIO(self._read('data.pkl')), _storage_of_id
        )

    def _read(self, name: str, size: int | None = None) -> bytes:
        info = self._zip.getinfo(self._root + name)
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses: a zip bomb would
            raise ValueError(f'{info.filename} is compressed')
        if size not in (None, info.file_size):
            raise ValueError(f'{info.filename} has {info.file_size} bytes, expected {size}')
        return self._zip.read(info)

    def read_storage(self, storage: _Storage) -> bytes:
        """Return the raw bytes of a storage."""
        return self._read(f'data/{storage.key}', storage.nbytes)


class _LegacyArchive:
    """The format before torch 1.6: five pickles, then length and bytes of each storage."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._storages = file, {}
        if safe_unpickle(file)[0] != _LEGACY_MAGIC:
            raise ValueError('it is a pickle, but not one that torch.save wrote')
        protocol, system = safe_unpickle(file)[0], safe_unpickle(file)[0]
        if protocol != _LEGACY_PROTOCOL or not system['little_endian']:
            raise ValueError(f'its format is {protocol} on {system}')
        self.content, self.ignored = safe_unpickle(file, self._note_storage)
        self._find_storages(safe_unpickle(file)[0])

    def _note_storage(self, pid: Any) -> Any:
        if type(pid) is tuple and len(pid) > 1 and pid[0] == 'module':  # a pickled nn.Module class
            return pid[1]
        storage = _storage_of_id(pid)
        self._storages[storage.key] = storage
        return storage

    def _find_storages(self, keys: list[str]) -> None:
        """Walk over the storages behind the pickles and note where the bytes of each start."""
        self._starts = {}
        end = os.fstat(self._file.fileno()).st_size
        for key in keys:
            storage = self._storages[key]
            (numel,) = struct.unpack('<q', self._file.read(8).ljust(8, b'\xff'))
            start = self._file.tell()
            after = start + storage.nbytes
            if numel != storage.numel or after > end:
                raise EOFError(f'storage {key} of {storage.numel} values is cut off')
            self._starts[key] = start
            self._file.seek(after)

    def read_storage(self, storage: _Storage) -> bytes:
        """Return the raw bytes of a storage."""
        self._file.seek(self._starts[storage.key])
        return self._file.read(storage.nbytes)


def _storage_of_id(pid: Any) -> _Storage:
    """Check a persistent id ``('storage', type, key, device, numel[, view])``."""
    fits = (
        type(pid) is tuple
        and len(pid) in (5, 6)
        and pid[0] == 'storage'
        and type(pid[1]) is StorageType
        and type(pid[2]) is str
        and pid[2].isalnum()
        and type(pid[4]) is int
        and pid[4] >= 0
        and pid[5:] in ((), (None,))
    )
    if not fits:
        raise pickle.UnpicklingError(f'unknown kind of tensor data {pid!r:.80}')
    return _Storage(pid[2], pid[1].dtype, pid[4])


def _find_state_dict(content: Any) -> tuple[str, Mapping[str, TensorRecord]]:
    """Return the state dict and the key it was found under ('' if ``content`` is one)."""
    if not isinstance(content, Mapping):
        kind = 'a whole pickled object' if isinstance(content, Inert) else type(content).__name__
        raise ValueError(f'it holds {kind}, not a dict')
    for key in (*STATE_DICT_KEYS, ''):
        candidate = content.get(key) if key else content
        if isinstance(candidate, Mapping) and any(
            type(value) is TensorRecord for value in candidate.values()
        ):
            return key, candidate
    raise ValueError(
        f'it holds no tensors under {", ".join(STATE_DICT_KEYS)} or directly, '
        f'only {[str(key)[:40] for key in content][:8]}'
    )


def _read_tensors(
    archive: _ZipArchive | _LegacyArchive, records: Mapping, file_size: int
) -> OrderedDict[str, Tensor]:
    """Read all tensors, each storage once.

    Names may share a storage, as tied weights do, and a file may name one storage ever so often or
    let parts of an archive overlap. So everything is checked and added up before any allocation.
    """
    for name, record in records.items():
        _check_geometry(name, record)
    storages = {record.storage for record in records.values() if math.prod(record.size)}
    stored = sum(storage.nbytes for storage in storages)
    named = sum(math.prod(r.size) * r.storage.dtype.itemsize for r in records.values())
    if stored > file_size or named > _MAX_SHARING * file_size:
        raise ValueError(
            f'its tensors claim {stored} stored bytes and take {named}, more than such a file holds'
        )
    values = {
        storage: torch.frombuffer(bytearray(archive.read_storage(storage)), dtype=storage.dtype)
        for storage in storages
    }
    return OrderedDict((name, _make_tensor(r, values)) for name, r in records.items())


def _check_geometry(name: Any, record: Any) -> None:
    """Check that a tensor lies within its storage."""
    if type(name) is not str or type(record) is not TensorRecord:
        raise ValueError(f'entry {name!r:.80} of the state dict is not a tensor')
    storage, size, stride, offset = record.storage, record.size, record.stride, record.offset
    if type(storage) is not _Storage:
        raise ValueError(f'{name!r} has no data')
    if not (
        type(size) is tuple
        and type(stride) is tuple
        and len(size) == len(stride)
        and all(type(n) is int and n >= 0 for n in (*size, *stride, offset))
    ):
        raise ValueError(f'{name} has size {size!r:.40}, stride {stride!r:.40}')
    numel = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if numel else -1
    if last >= storage.numel or numel > storage.numel:
        raise ValueError(f'{name} of size {size} does not fit its {storage.numel} stored values')


def _make_tensor(record: TensorRecord, values: Mapping[_Storage, Tensor]) -> Tensor:
    """A tensor of its own, or the whole storage, which others may share."""
    storage, size = record.storage, record.size
    if storage not in values:
        return torch.empty(size, dtype=storage.dtype)
    tensor = values[storage].as_strided(size, record.stride, record.offset)
    return tensor.contiguous() if tensor.numel() == storage.numel else tensor.clone()
