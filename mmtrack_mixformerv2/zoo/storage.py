"""Disks that are full and folders that cannot be written: what is wrong, and what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

from .errors import StorageError

MIB = 2**20
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, 'EDQUOT', errno.ENOSPC)}
_ELSEWHERE = 'choose another folder with --cache or MIXFORMERV2_HOME'


def make_folder(folder: Path) -> None:
    """Create a folder of the cache if it is not there.

    Raises:
        StorageError: If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f'the folder {folder} cannot be created ({error.strerror}); {_ELSEWHERE}.'
        ) from error


def check_space(path: Path, needed: int) -> None:
    """Make sure that a disk has room before anything is written.

    Args:
        path: A file in a folder that exists.
        needed: Bytes.

    Raises:
        StorageError: If it has not.
    """
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StorageError(
            f'{path.parent} has {free / MIB:.1f} MiB left, and {needed / MIB:.1f} MiB are to be '
            f'written; make room, or {_ELSEWHERE}.'
        )


def write_all(file: RawIOBase, block: bytes) -> None:
    """Write all of a block; a disk that is nearly full takes a piece of it first."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


@contextlib.contextmanager
def storage_errors(path: Path, size: int) -> Iterator[None]:
    """Explain what goes wrong when a file is written; what was written stays.

    Args:
        path: The file, or the part of it that is there.
        size: Bytes of the whole file.

    Raises:
        StorageError: In place of any other OSError.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            kept = f', {path.stat().st_size / MIB:.1f} MiB are kept' if path.is_file() else ''
            reason = (
                f'{path.parent} has no room for {path.name} ({size / MIB:.1f} MiB){kept}; make '
                'room and run the same command again'
            )
        else:
            reason = f'{path} cannot be written ({error.strerror or error})'
        raise StorageError(f'{reason}, or {_ELSEWHERE}.') from error
