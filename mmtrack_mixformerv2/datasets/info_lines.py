"""The list of sequences in an info file, in mmtrack's format."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..evaluation.box_files import read_lines


class InfoLine(NamedTuple):
    """A sequence in an info file.

    Attributes:
        video_path: Folder of the frames.
        ann_path: The annotation.
        start: Number of the first frame, in its file name or in the sorted list of files.
        end: Number of the last frame.
    """

    video_path: str
    ann_path: str
    start: int
    end: int


def read_info_file(path: str | Path) -> list[InfoLine]:
    """Reads a list of sequences in mmtrack's format.

    A title line is followed by lines of ``video_path,annotation_path,first_frame,last_frame``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Names the line that cannot be read; or there is no title, no sequence, no text.
    """
    lines = read_lines(path)
    title = lines[0].split(',') if lines else []
    if len(title) == 4 and title[2].strip().isdigit():
        raise ValueError(
            f'{path}: the first line is {lines[0]!r}, but it must be a title, which is not read; '
            'put one above it.'
        )
    if len(lines) < 2:
        raise ValueError(f'{path} lists no sequence.')
    return [_read_info_line(path, number, line) for number, line in enumerate(lines[1:], start=2)]


def _read_info_line(path: str | Path, number: int, line: str) -> InfoLine:
    fields = [field.strip() for field in line.split(',')]
    try:
        video_path, ann_path, start, end = fields
        info = InfoLine(video_path, ann_path, int(start), int(end))
    except ValueError:
        raise ValueError(
            f'line {number} of {path} is {line!r}, expected '
            'video_path,annotation_path,first_frame,last_frame; repair or remove it.'
        ) from None
    if not 0 <= info.start <= info.end:
        raise ValueError(
            f'line {number} of {path} is {line!r}: frames {info.start} to {info.end} are none; '
            'repair or remove it.'
        )
    return info
