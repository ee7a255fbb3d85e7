"""Write converted weights as a file that every safe loader takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def check_destination(path: str | os.PathLike, *, force: bool = False) -> Path:
    """Make sure that a file can be written before any work is done for it.

    Raises:
        FileExistsError: If it exists and ``force`` is not given.
        IsADirectoryError: If it is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a directory, expected the name of a file to write.')
    if path.exists() and not force:
        raise FileExistsError(f'{path} exists and is left as it is; use --force to replace it.')
    return path


def write_checkpoint(
    state: Mapping[str, Tensor], meta: Mapping, path: str | os.PathLike, *, force: bool = False
) -> None:
    """Write ``{'state_dict': ..., 'meta': ...}``, whole or not at all.

    The file is written beside its destination and renamed when complete. ``torch.load`` reads it
    with ``weights_only=True``, and so do ``--checkpoint`` and ``load_from``.

    Args:
        state: Names to tensors.
        meta: What to remember about them; strings, numbers, lists and dicts.
        path: The file; its folder is made if need be.
        force: Replace an existing file.

    Raises:
        OSError: If the destination exists without ``force``, is a directory or not writable.
    """
    path = check_destination(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial-{os.getpid()}')
    try:
        with partial.open('wb') as file:
            torch.save({'state_dict': dict(state), 'meta': dict(meta)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
