"""Boxes of Need for Speed (NfS), in both layouts that are in use.

As published, ``<name>/<rate>/<name>.txt`` has lines as the annotation tool VATIC writes them::

    track xmin ymin xmax ymax frame lost occluded generated "label"

There is a line for every frame of the recording at 240 frames/s, in the folder of 30 frames/s as
well: there every eighth line, from the first, belongs to a frame. The frames count from 0 in some
files and from 1 in others, so the lines are taken in their order. Some files have a line more than
there are frames. The widespread repacked layout has ``anno/nfs_<name>.txt`` with x, y, width,
height of the frames at 30 frames/s.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..evaluation.box_files import name_lines, read_boxes, read_lines

LINES_PER_FRAME = 8  # of an annotation of 240 frames/s, at 30 frames/s
_NUMBERS = 9  # of a line as VATIC writes it, before the label


def read_nfs_boxes(path: str | Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the boxes of a sequence of NfS.

    Args:
        path: The annotation, in either layout.
        count: Number of frames of the sequence, at the frame rate that is used.

    Returns:
        x, y, width, height in pixels, float64 of shape ``(count, 4)``, and whether the target is
        lost, which is out of view, bool of shape ``(count,)``. The boxes of such frames are kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Names file and lines: one that cannot be read, corners that are inverted where
            the target is not lost, frames that are left out, a number of lines that fits neither
            frame rate.
    """
    lines = read_lines(path)
    if not lines or len(lines[0].split()) < _NUMBERS:
        return read_boxes(path, count=count), np.zeros(count, bool)
    table = _read_table(path, lines)
    rows = _rows_of_frames(path, len(table), count)
    boxes, lost = table[rows, 1:5].copy(), table[rows, 6] > 0
    boxes[:, 2:] -= boxes[:, :2]
    return boxes, lost


def _read_table(path: str | Path, lines: list[str]) -> np.ndarray:
    """Numbers of all lines, ``(N, 9)``, after a check of each."""
    table, bad = np.zeros((len(lines), _NUMBERS)), {}
    for number, line in enumerate(lines, start=1):
        words = line.split(maxsplit=_NUMBERS)[:_NUMBERS]
        try:
            table[number - 1] = np.array(words, float).reshape(_NUMBERS)
        except ValueError:
            bad[number] = f'is {line!r}, expected track xmin ymin xmax ymax frame and three flags'
            continue
        corners = table[number - 1, 1:5]
        if not np.isfinite(corners).all():
            bad[number] = f'has corners {corners.tolist()}'
        elif (corners[2:] < corners[:2]).any() and not table[number - 1, 6]:
            bad[number] = f'has its corners the wrong way round: {corners.tolist()}'
    steps = np.diff(table[:, 5])
    if not bad and len(steps) and (steps != steps[0]).any():
        odd = int(np.flatnonzero(steps != steps[0])[0])
        bad[odd + 2] = f'goes on with frame {table[odd + 1, 5]:g} after frame {table[odd, 5]:g}'
    if bad:
        raise ValueError(f'{path}: {name_lines(bad)}')
    return table


def _rows_of_frames(path: str | Path, lines: int, count: int) -> np.ndarray:
    for step in (1, LINES_PER_FRAME):
        rows = np.arange(0, lines, step)
        if 0 <= len(rows) - count <= 1:  # one line to spare belongs to no frame
            return rows[:count]
    raise ValueError(
        f'{path} has {lines} lines, which fits {lines} frames at 240 frames/s and '
        f'{-(-lines // LINES_PER_FRAME)} at 30 frames/s; the sequence has {count} frames'
    )
