"""Files with a tracker's boxes, as each benchmark's own tools write and read them.

``plain`` and ``trackingnet``: ``NAME.txt`` for each sequence, a line ``x,y,width,height`` for each
frame. ``got10k``: ``NAME/NAME_001.txt`` with such lines, and ``NAME/NAME_time.txt`` with the
seconds that each frame took; 001 is the first of several runs, and a tracker without chance needs
but one.

Numbers have four decimals; some published trackers' files have whole pixels, cut off, not rounded.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from ..files import replace_file
from .box_files import name_lines, read_boxes
from .pairs import paired_iou
from .sequences import Sequence

# A tracker is told the first box, so its file begins with it: perhaps cut to whole pixels, or
# counted from 0 where the benchmark counts from 1.
_FIRST_BOX_TOLERANCE = 2.0
_FIRST_BOX_OVERLAP = 0.2  # less is another target; more may be a tracker that adjusts its first box


class Result(NamedTuple):
    """What a tracker did on a sequence of N frames."""

    boxes_xywh: np.ndarray  # (N, 4), pixels
    seconds: np.ndarray | None = None  # (N,), measured
    notes: tuple[str, ...] = ()  # what is odd about the files, though they can be scored


def box_file(folder: str | Path, name: str, result_format: str) -> Path:
    """Where the boxes of a sequence are in a folder of results."""
    if result_format == 'got10k':
        return Path(folder) / name / f'{name}_001.txt'
    return Path(folder) / f'{name}.txt'


def time_file(folder: str | Path, name: str) -> Path:
    """Where GOT-10k's times of a sequence are in a folder of results."""
    return Path(folder) / name / f'{name}_time.txt'


def write_result(folder: str | Path, name: str, result: Result, result_format: str) -> None:
    """Write the files of one sequence.

    Times are written for GOT-10k, and only if they were measured: nothing is made up.
    """
    lines = [','.join(f'{value:.4f}' for value in box) for box in result.boxes_xywh.tolist()]
    write_file(box_file(folder, name, result_format), '\n'.join(lines) + '\n')
    if result_format == 'got10k' and result.seconds is not None:
        lines = [f'{seconds:.8f}' for seconds in result.seconds]
        write_file(time_file(folder, name), '\n'.join(lines) + '\n')


def read_result(folder: str | Path, sequence: Sequence, result_format: str) -> Result:
    """Read the files of one sequence, between whatever separators.

    Args:
        folder: Of results.
        sequence: The result has to fit.
        result_format: See the module's text.

    Returns:
        With seconds if there is a file of them. Boxes may have no area: each protocol says what
        that counts, and the notes name their lines.

    Raises:
        FileNotFoundError: If there is no file for the sequence.
        ValueError: Names file and lines: not as many as the sequence has frames, what is no box, a
            NaN, a first box that is far from the one that the tracker was given.
    """
    path = box_file(folder, sequence.name, result_format)
    boxes = read_boxes(path, count=len(sequence))
    bad = {int(row) + 1: 'is NaN' for row in np.flatnonzero(np.isnan(boxes).any(axis=1))}
    if bad:
        raise ValueError(f'{path}: {name_lines(bad)}')
    notes = _check_first(path, boxes[0], sequence)
    empty = {
        int(row) + 1: f'is {boxes[row].tolist()}'
        for row in np.flatnonzero((boxes[:, 2:] <= 0).any(axis=1))
    }
    if empty:
        notes.append(f'{path} has boxes without area: {name_lines(empty)}')
    times, seconds = time_file(folder, sequence.name), None
    if result_format == 'got10k' and times.is_file():
        seconds = read_times(times, len(sequence))
    return Result(boxes, seconds, tuple(notes))


def read_times(path: str | Path, count: int) -> np.ndarray:
    """Seconds for each of ``count`` frames, from the first number of each line.

    Raises:
        ValueError: Names file and lines: another number of lines, or what is no positive number.
    """
    lines = Path(path).read_text(encoding='utf-8-sig').rstrip().splitlines()
    if len(lines) != count:
        raise ValueError(f'{path} has {len(lines)} lines, expected {count}: the seconds of a frame')
    seconds, bad = np.zeros(count), {}
    for number, line in enumerate(lines, start=1):
        try:
            seconds[number - 1] = float(line.split(',')[0])
        except ValueError:
            bad[number] = f'is {line!r}, expected seconds'
    wrong = np.flatnonzero(~(np.isfinite(seconds) & (seconds > 0)))
    for row in wrong.tolist():
        bad.setdefault(row + 1, f'is {lines[row]!r}, expected seconds above 0')
    if bad:
        raise ValueError(f'{path}: {name_lines(bad)}')
    return seconds


def foreign_files(folder: str | Path, names: Collection[str], result_format: str) -> list[str]:
    """Files in a folder of results, by their path in it, that are of none of the sequences.

    Times that other tools write as ``NAME_time.txt`` are none of these.
    """
    folder = Path(folder)
    known = {box_file(folder, name, result_format) for name in names}
    for name in names:
        known.update((time_file(folder, name), folder / f'{name}_time.txt'))
    files = (path for path in folder.rglob('*') if path.is_file() and path not in known)
    return sorted(path.relative_to(folder).as_posix() for path in files)


@contextmanager
def open_results(path: str | Path, names: Collection[str], result_format: str) -> Iterator[Path]:
    """Folder with the result files that are in a folder or a zip file.

    Where none is at the top and all that is there is one folder, they are looked for in it.

    Args:
        path: Folder or zip file.
        names: Of the sequences.
        result_format: See the module's text.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If it is no zip file, or has no file for any of the sequences.
    """
    path = Path(path)
    if path.is_dir():
        yield _find(path, path, names, result_format)
        return
    if not path.exists():
        raise FileNotFoundError(f'there is no folder or zip file {path}')
    with TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise ValueError(f'{path} is neither a folder nor a whole zip file: {error}') from error
        except (RuntimeError, NotImplementedError) as error:  # a password, an odd compression
            raise ValueError(f'{path} cannot be unpacked here: {error}; unpack it first') from error
        yield _find(Path(folder), path, names, result_format)


def shorten(message: Exception | str, folder: Path) -> str:
    """What an error or a note says, with files named by their path in a folder of results."""
    return str(message).replace(f'{folder}{os.sep}', '')


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a file whole or not at all; its folder is made if need be."""
    replace_file(path, content if isinstance(content, bytes) else content.encode())


def _check_first(path: Path, box: np.ndarray, sequence: Sequence) -> list[str]:
    """Notes on the first box of a file; an error if the file cannot be of the sequence."""
    given = sequence.boxes_xywh[0]
    if not (np.abs(box - given) > _FIRST_BOX_TOLERANCE).any():
        return []
    found = (
        f'{path}: line 1 is {box.tolist()}, and the tracker is given {given.tolist()} in the first '
        f'frame of {sequence.name}'
    )
    corners = np.concatenate([given[:2], given[:2] + given[2:]])
    if not (np.abs(box - corners) > _FIRST_BOX_TOLERANCE).any():
        raise ValueError(f'{found}: the boxes are x1,y1,x2,y2, expected x,y,width,height')
    if paired_iou(box[None], given[None])[0] < _FIRST_BOX_OVERLAP:
        raise ValueError(
            f'{found}: the file is of another sequence, or its boxes are not x,y,width,height'
        )
    return [found]


def _find(folder: Path, shown: Path, names: Collection[str], result_format: str) -> Path:
    inner = [entry for entry in folder.iterdir() if entry.name != '__MACOSX']
    candidates = [folder, *(inner if len(inner) == 1 and inner[0].is_dir() else ())]
    for candidate in candidates:
        if any(box_file(candidate, name, result_format).is_file() for name in names):
            return candidate
    wanted = box_file('', next(iter(names)), result_format) if names else 'files'
    found = ', '.join(sorted(entry.name for entry in inner)[:3]) or 'nothing'
    raise ValueError(
        f'{shown} has a result for none of the {len(names)} sequences: expected {wanted} and so '
        f'on, found {found}. Are these results of another benchmark?'
    )
