"""Files that are written whole or not at all."""

from __future__ import annotations

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
