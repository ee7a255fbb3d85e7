"""Which checkpoint an interrupted training goes on with."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from pathlib import Path

POINTER = 'last_checkpoint'  # MMEngine's file with the path of the last checkpoint


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Find the checkpoint to go on with.

    That is the one which ``last_checkpoint`` names, also where the folder was moved since. Where
    that is missing or incomplete, the complete one that was written last is taken, with a warning.

    Args:
        work_dir: Folder of the training; need not exist.

    Returns:
        The path, or None if the training has to start anew.
    """
    folder = Path(work_dir)
    named = _named_in(folder)
    if named and '://' in named:
        return named
    for path in (Path(named), folder / Path(named).name) if named else ():
        if is_complete(path) or (path.suffix == '.pth' and path.is_dir()):  # DeepSpeed's
            return str(path)
    files = [path for path in folder.glob('*.pth') if step_of(path) is not None]
    files.sort(key=lambda path: (path.stat().st_mtime_ns, step_of(path)), reverse=True)
    found = next((str(path) for path in files if is_complete(path)), None)
    if files or named is not None:
        says = 'is missing' if named is None else f'names {named or "nothing"}, which is incomplete'
        if named and not Path(named).exists():
            says = f'names {named}, which does not exist'
        then = f'going on from {found}' if found else 'no checkpoint is complete: starting anew'
        warnings.warn(f'{folder / POINTER} {says}; {then}.', stacklevel=2)
    return found


def step_of(path: str | Path) -> int | None:
    """Epoch or iteration in the name of a checkpoint, as 7 in ``epoch_7.pth``."""
    stem = Path(path).stem
    match = None if stem.startswith('best_') else re.search(r'_(\d+)$', stem)
    return int(match[1]) if match else None


def is_complete(path: str | Path) -> bool:
    """Whether a file is a whole checkpoint, as far as its directory tells; tensors are not read."""
    try:
        with zipfile.ZipFile(path) as file:  # its directory is at the end
            index = [name for name in file.namelist() if name.endswith('/data.pkl')]
            return bool(index) and bool(file.read(index[0]))  # compares the check sum
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError):
        return False


def _named_in(folder: Path) -> str | None:
    try:
        return (folder / POINTER).read_text(errors='replace').strip('\0 \r\n\t')
    except OSError:
        return None
