"""Unpack archives of unknown origin: nothing lands outside the folder, and it appears whole.

Only folders and plain files come out. A link, a device, an absolute path or ``..`` in any entry
refuses the whole archive: an exported model has no use for them.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import ArchiveError
from .storage import MIB, check_space, storage_errors, write_all

_BLOCK = 1 << 20
_MAX_ENTRIES = 10_000
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # an encrypted zip
    NotImplementedError,  # a compression that Python lacks
    ValueError,
    UnicodeDecodeError,
)


@dataclass(frozen=True)
class _Entry:
    """One entry of an archive.

    Attributes:
        name: As the archive has it.
        kind: ``'folder'``, ``'file'``, or what else it is.
        size: As the archive says, in bytes.
        open: Opens its content.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | None]


def extract_archive(archive: Path, folder: Path, *, max_bytes: int) -> Path:
    """Unpack a zip or tar file into a new folder, whole or not at all.

    Args:
        archive: The file.
        folder: Is created; must not exist.
        max_bytes: Of all its files together. What an archive announces is not believed.

    Returns:
        ``folder``, or the one folder in it if there is nothing else.

    Raises:
        ArchiveError: If the archive is damaged, larger, or has an entry that is neither a folder
            nor a plain file within the folder.
        FileExistsError: If ``folder`` exists.
        StorageError: If it cannot be written.
    """
    if folder.exists():
        raise FileExistsError(f'{folder} exists; remove it, or unpack {archive} somewhere else.')
    with storage_errors(archive, max_bytes):
        temporary = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
        content = temporary / folder.name
        content.mkdir()
    try:
        with _entries_of(archive) as entries:
            _extract(archive, entries, content, max_bytes)
        with storage_errors(archive, max_bytes):
            content.rename(folder)
    except ArchiveError:
        raise
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(':.')
        raise ArchiveError(f'{archive} cannot be unpacked: {reason}; fetch it again.') from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return content_of(folder)


def content_of(folder: Path) -> Path:
    """The one folder in an unpacked one, or that itself."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _extract(archive: Path, entries: Iterable[_Entry], folder: Path, max_bytes: int) -> None:
    left, seen = max_bytes, set()
    for count, entry in enumerate(entries, 1):
        parts = _safe_parts(archive, entry)
        path = folder.joinpath(*parts)
        if count > _MAX_ENTRIES:
            raise ArchiveError(f'{archive} has more than {_MAX_ENTRIES} entries.')
        if entry.kind == 'folder':
            with storage_errors(path, 0):
                path.mkdir(parents=True, exist_ok=True)
            continue
        # Names that a file system without capital letters takes for one would hide a file.
        if (key := '/'.join(parts).lower()) in seen:
            raise ArchiveError(f'{archive} has {entry.name!r} twice.')
        seen.add(key)
        if entry.size > left:
            raise ArchiveError(f'{archive} unpacks to more than {max_bytes / MIB:.1f} MiB.')
        check_space(folder, entry.size)
        left -= _write(archive, entry, path, left, max_bytes)


def _write(archive: Path, entry: _Entry, path: Path, left: int, max_bytes: int) -> int:
    """Unpack one file; how many bytes it has."""
    total = 0
    with storage_errors(path, entry.size):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open('xb', buffering=0)
    with target, entry.open() as source:
        while block := source.read(_BLOCK):
            total += len(block)
            if total > left:
                raise ArchiveError(f'{archive} unpacks to more than {max_bytes / MIB:.1f} MiB.')
            with storage_errors(path, entry.size):
                write_all(target, block)
    return total


def _safe_parts(archive: Path, entry: _Entry) -> tuple[str, ...]:
    """Parts of an entry's path.

    Raises:
        ArchiveError: If it leads out of the folder, or the entry is no folder and no plain file.
    """
    path = PurePosixPath(entry.name)
    if entry.kind not in ('folder', 'file'):
        raise ArchiveError(
            f'{archive} has {entry.name!r}, {entry.kind}; expected folders and plain files only.'
        )
    inside = not path.is_absolute() and '..' not in path.parts
    if not inside or any(sign in entry.name for sign in ('\\', ':', '\0')):
        raise ArchiveError(
            f'{archive} has {entry.name!r}, a path that leads out of its folder; nothing of it '
            'was kept.'
        )
    if not path.parts and entry.kind == 'file':
        raise ArchiveError(f'{archive} has a file without a name.')
    return path.parts


@contextlib.contextmanager
def _entries_of(archive: Path) -> Iterator[Iterator[_Entry]]:
    """The entries of a zip or tar file, which can be read as long as the context lasts."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield _zip_entries(file)
    else:
        with tarfile.open(archive) as file:
            yield _tar_entries(file)


def _zip_entries(file: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in file.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = 'folder' if info.is_dir() else 'file'
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            kind = 'a link' if mode == stat.S_IFLNK else 'a special file'
        # The name before zipfile cuts it at a null byte.
        yield _Entry(info.orig_filename, kind, info.file_size, partial(file.open, info))


def _tar_entries(file: tarfile.TarFile) -> Iterator[_Entry]:
    for info in file:
        kind = 'file' if info.isreg() else 'folder' if info.isdir() else 'a special file'
        if info.issym() or info.islnk():
            kind = 'a link'
        yield _Entry(info.name, kind, info.size, partial(file.extractfile, info))
