"""Files that are written whole or not at all, and what tells one from another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

PARTIAL = '.partial'  # end of the name of a file that is being written


def replace_file(path: str | os.PathLike, content: bytes) -> None:
    """Write a file whole or not at all: beside its destination, renamed when it is on the disk.

    Raises:
        OSError: If that cannot be done; it names the file, also where the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        with partial.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_folder(folder: str | os.PathLike) -> None:
    """Whether files can be made in a folder that is there, or may be made later.

    Raises:
        OSError: If not; the message says why.
    """
    parent = Path(folder)
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise NotADirectoryError(f'{parent} is a file, expected a folder for the results (--out).')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f'{parent} may not be written to; choose another folder (--out).')
