"""Files with what a tracker found in one video: boxes (GOT-10k style), CSV and JSON.

Rows of text and CSV reach the disk frame by frame, so whatever ends the program, they are there
and can be read. The JSON file comes at the end, whole or not at all. Targets count from 1, frames
from 0. Needs no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..files import replace_file
from ..tracking.track_log import TrackLog

if TYPE_CHECKING:
    from ..tracking.sequence_tracker import TrackResult

FORMATS = ('txt', 'csv', 'json')
COLUMNS = (
    'frame',
    'target',
    'x',
    'y',
    'w',
    'h',
    'score',
    'confidence',
    'state',
    'template_updated',
)
_KIND = 'mmtrack_mixformerv2 tracks'


@dataclass
class TrackRun:
    """One run of a tracker over one source: what a JSON file holds.

    Attributes:
        source: What was tracked, as the user named it.
        model: What tracked.
        tracks: A log for each target.
        rate: Frames per second of the source, or None.
        frame_size: Width and height in pixels.
        ended: Why it ended: ``'end of the source'``, ``'frame limit'``, ``'interrupted'`` or the
            text of an error.
        versions: Of the packages that ran.
    """

    source: str
    model: str
    tracks: list[TrackLog]
    rate: float | None = None
    frame_size: tuple[int, int] | None = None
    ended: str = ''
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            'kind': _KIND,
            'source': self.source,
            'model': self.model,
            'rate': self.rate,
            'frame_size': None if self.frame_size is None else list(self.frame_size),
            'ended': self.ended,
            'versions': self.versions,
            'tracks': [track.to_dict() for track in self.tracks],
        }


def write_json(path: str | os.PathLike, run: TrackRun) -> None:
    """Write a run whole or not at all.

    Raises:
        OSError: If that cannot be done.
    """
    replace_file(path, (json.dumps(run.to_dict(), allow_nan=False) + '\n').encode())


def read_json(path: str | os.PathLike) -> TrackRun:
    """Read what :func:`write_json` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or of something else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
        if not isinstance(data, dict) or data.get('kind') != _KIND:
            raise ValueError(f'there is no "kind": "{_KIND}"')
        size = data['frame_size']
        return TrackRun(
            source=data['source'],
            model=data['model'],
            tracks=[TrackLog.from_dict(track) for track in data['tracks']],
            rate=data['rate'],
            frame_size=None if size is None else (int(size[0]), int(size[1])),
            ended=data['ended'],
            versions=data['versions'],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is not a JSON file of `mixformerv2 track`: {error!s}; write one with '
            '--formats json.'
        ) from error


def name_files(
    folder: str | os.PathLike, name: str, targets: int, formats: Sequence[str] = FORMATS
) -> dict[str, list[Path]]:
    """The files of a run by their format: of text, one for each target."""
    paths = {kind: Path(folder) / f'{name}.{kind}' for kind in formats}
    return {
        kind: number_paths(path, targets) if kind == 'txt' else [path]
        for kind, path in paths.items()
    }


def number_paths(path: Path | None, targets: int) -> list[Path]:
    """Of several targets, ``clip.txt`` becomes ``clip_1.txt``, ``clip_2.txt`` and so on."""
    if path is None:
        return []
    if targets == 1:
        return [path]
    return [path.with_stem(f'{path.stem}_{number + 1}') for number in range(targets)]


def format_box(box_xywh: Sequence[float]) -> str:
    """``x,y,w,h`` with four decimals."""
    return ','.join(f'{value:.4f}' for value in box_xywh)


class RowFiles:
    """Text and CSV files that grow with every frame.

    Args:
        files: From :func:`name_files`; other formats than ``txt`` and ``csv`` are left alone.
        force: Whether files that exist are replaced.

    Raises:
        FileExistsError: If a file exists and ``force`` is False.
        OSError: If a file cannot be written.
    """

    def __init__(self, files: dict[str, list[Path]], *, force: bool = False) -> None:
        self.frames = 0
        self._text: list[TextIO] = []
        self._table: TextIO | None = None
        mode = 'w' if force else 'x'
        try:
            for path in files.get('txt', ()):
                self._text.append(_open(path, mode))
            for path in files.get('csv', ()):
                self._table = _open(path, mode)
                self._table.write(','.join(COLUMNS) + '\n')
        except OSError:
            self.close()
            raise

    def write(self, results: Sequence[TrackResult]) -> None:
        """Append one frame: a result for each target.

        Raises:
            OSError: If the disk is full, or gone; the rows before are in the files.
        """
        for file, result in zip(self._text, results):
            _write(file, format_box(result.box_xywh) + '\n')
        if self._table is not None:
            for number, result in enumerate(results, start=1):
                _write(self._table, ','.join(_row(self.frames, number, result)) + '\n')
        self.frames += 1

    def close(self) -> None:
        """Close the files."""
        for file in [*self._text, *([self._table] if self._table else [])]:
            try:
                file.close()
            except OSError:  # what could not be written was reported by write
                continue

    def __enter__(self) -> RowFiles:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _open(path: Path, mode: str) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open(mode, buffering=1, encoding='utf-8', newline='')  # each line goes out


def _write(file: TextIO, line: str) -> None:
    try:
        file.write(line)
    except OSError as error:
        error.filename = error.filename or file.name
        raise


def _row(frame: int, target: int, result: TrackResult) -> list[str]:
    numbers = [
        '' if value is None else f'{value:.6f}' for value in (result.score, result.confidence)
    ]
    state = '' if result.state is None else result.state.value
    box = format_box(result.box_xywh)
    return [str(frame), str(target), box, *numbers, state, str(int(result.template_updated))]
