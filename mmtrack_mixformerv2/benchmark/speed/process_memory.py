"""What a tracker takes of a process's memory, measured in a process of its own."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

_PROCESS = Path('/proc/self')  # of Linux
_RUNS = 5


def peak_growth(
    build: Callable[..., Callable[[], object]],
    *arguments: object,
    imports: Sequence[str] = (),
) -> int | None:
    """By how many bytes the resident memory of a new process grows at most.

    What imports take does not count: it depends on what else is installed.

    Args:
        build: Called with ``arguments`` in the new process, gives what is then called there a few
            times; a function of a module.
        arguments: Must pickle.
        imports: Modules that ``build`` would import.

    Returns:
        None where the system does not tell, or if the process was killed.
    """
    if not (_PROCESS / 'status').is_file():
        return None
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        try:
            return pool.submit(_measure, build, arguments, imports).result()
        except BrokenProcessPool:
            return None


def _measure(
    build: Callable[..., Callable[[], object]], arguments: tuple, imports: Sequence[str]
) -> int:
    for module in imports:
        importlib.import_module(module)
    before = _read('VmRSS')
    with contextlib.suppress(OSError):  # a container may forbid it; the peak is then that of all
        (_PROCESS / 'clear_refs').write_text('5')  # forgets the peak so far
    run = build(*arguments)
    for _ in range(_RUNS):
        run()
    return _read('VmHWM') - before


def _read(name: str) -> int:
    """Bytes of a line of the process's status."""
    status = (_PROCESS / 'status').read_text()
    return 1024 * int(re.search(rf'{name}:\s+(\d+) kB', status).group(1))
