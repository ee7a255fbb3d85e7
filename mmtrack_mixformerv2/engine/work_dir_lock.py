"""One run at a time in a folder."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

_held: set[int] = set()  # file descriptors


def _let_go_in_child() -> None:
    """A loading process that outlives a killed training does not keep others out."""
    while _held:
        os.close(_held.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go_in_child)


class WorkDirLock:
    """Keeps a second run out of a folder as long as the first one lives.

    Two of them would replace or delete files of each other. The operating system locks the folder,
    so nothing is left behind, whatever ends the process. Only the first of several processes asks
    for the lock. Where file locks do not exist, nothing is locked.

    Args:
        kind: What runs there, for the message.
    """

    def __init__(self, kind: str = 'training') -> None:
        self.kind = kind
        self._descriptor: int | None = None

    def take(self, folder: str | Path, create: bool = False) -> None:
        """Lock a folder, if it exists; once is enough.

        Args:
            folder: The work directory, or a folder in it.
            create: Whether to create it if it does not exist.

        Raises:
            ValueError: If another process has locked it.
        """
        if fcntl is None or self._descriptor is not None or _rank():
            return
        if create:
            Path(folder).mkdir(parents=True, exist_ok=True)
        if not Path(folder).is_dir():
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ValueError(
                f'another {self.kind} is running in {folder}, and the two would replace each '
                "other's files; wait for it, end it, or use another --work-dir"
            ) from None
        except OSError:  # a file system without locks
            os.close(descriptor)
            return
        self._descriptor = descriptor
        _held.add(descriptor)

    def release(self) -> None:
        """Let others in."""
        if self._descriptor in _held:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> WorkDirLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _rank() -> int:
    """Number of this process among those that a launcher started."""
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return int(next((os.environ[name] for name in names if os.environ.get(name)), 0))
