"""A page that shows what trackers did in one video: one HTML file that needs nothing else.

Pictures, numbers, style and scripts are all in it; it asks the network for nothing, and says so to
the browser. Scripts and style are the files in ``report_files``.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import html
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ..files import replace_file
from ..tracking.track_log import TrackLog
from ..version import __version__
from .frame_album import AlbumLimits, FrameAlbum
from .frame_explanation import FrameExplanation
from .report_data import report_data

_SCRIPTS = ('drawing.js', 'timeline.js', 'attention.js', 'tables.js', 'page.js')
_GENERATOR = 'mmtrack_mixformerv2 report'


def write_report(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray] | FrameAlbum,
    tracks: Sequence[TrackLog],
    *,
    explanations: Sequence[Mapping[int, FrameExplanation] | None] | None = None,
    truth_xywh: np.ndarray | Sequence[Sequence[float]] | None = None,
    title: str = '',
    rate: float | None = None,
    limits: AlbumLimits | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write a report, whole or not at all.

    Args:
        path: The HTML file.
        frames: BGR uint8 ``(height, width, 3)``, all of one size, read once; or an album that has
            taken them while they were tracked.
        tracks: One or more trackers on these frames, shown side by side. Scores, states and edges
            may be missing.
        explanations: For each tracker, what it looked at, by the number of the frame.
        truth_xywh: Annotation in pixels, ``(N, 4)``; NaN or no area where there is no target.
        title: Of the page; by default the names of the trackers.
        rate: Frames per second, or None.
        limits: How many pictures of which size; not with an album, which has its own.
        notes: Sentences that stand at the top of the page.

    Returns:
        The path.

    Raises:
        ValueError: If there is no frame or no tracker, an argument has another length than
            ``tracks``, or frames differ in size.
        OSError: If the file cannot be written.
    """
    if not tracks:
        raise ValueError('no tracks, expected a TrackLog of at least one tracker.')
    explained = [one or {} for one in explanations or [None] * len(tracks)]
    if len(explained) != len(tracks):
        raise ValueError(
            f'explanations of {len(explained)} trackers, expected {len(tracks)}: one for each of '
            'the tracks, None where there is none.'
        )
    truth = None if truth_xywh is None else _check_boxes(truth_xywh)
    album = frames if isinstance(frames, FrameAlbum) else _fill(frames, limits, explained)
    if not album.count:
        raise ValueError('no frames, expected at least one.')
    data = report_data(album, tracks, explained, truth, _usable(rate), notes)
    title = title or ' and '.join(track.name for track in tracks)
    replace_file(path, render_page(title, data).encode(errors='replace'))  # names of files
    return Path(path)


def check_destination(path: str | os.PathLike) -> None:
    """Make sure, before anything is tracked, that a report can be written; makes its folder.

    Raises:
        OSError: If the folder cannot be made or written.
        ValueError: If there is something that is no report.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise ValueError(f'{path} is a folder; name a file, e.g. {path / "report.html"}')
    if path.exists() and _GENERATOR not in _head(path):
        raise ValueError(f'{path} exists and is no report; move it away, or name another file')
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            errno.EACCES, 'no permission to write into the folder', str(path.parent)
        )


def _usable(rate: float | None) -> float | None:
    """Files may claim a rate of 0 or NaN."""
    return rate if rate and math.isfinite(rate) else None


def _head(path: Path) -> str:
    with path.open('rb') as file:
        return file.read(1000).decode('utf-8', 'replace')


def render_page(title: str, data: Mapping[str, Any]) -> str:
    """The HTML of a page for :func:`~.report_data.report_data`."""
    folder = files(__package__) / 'report_files'
    style = (folder / 'report.css').read_text(encoding='utf-8')
    parts = [(folder / name).read_text(encoding='utf-8') for name in _SCRIPTS]
    script = "'use strict';\n(() => {\n" + '\n'.join(parts) + '})();\n'
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return Template((folder / 'report.html').read_text(encoding='utf-8')).substitute(
        policy=policy,
        generator=f'{_GENERATOR} {__version__}',
        title=html.escape(title),
        style=style,
        script=script,
        data=_embed(data),
    )


def _embed(data: Mapping[str, Any]) -> str:
    """JSON that no browser takes for markup, whatever names are in it."""
    text = json.dumps(data, allow_nan=False, separators=(',', ':'))
    for character in '<>&':
        text = text.replace(character, f'\\u{ord(character):04x}')
    return text


def _hash(text: str) -> str:
    """As a content security policy names the one script, or style, that may be used."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _fill(
    frames: Iterable[np.ndarray],
    limits: AlbumLimits | None,
    explained: Sequence[Mapping[int, FrameExplanation]],
) -> FrameAlbum:
    album = FrameAlbum(limits, count=len(frames) if hasattr(frames, '__len__') else None)
    for index, frame in enumerate(frames):
        album.add(frame, pinned=any(index in one for one in explained))
    return album


def _check_boxes(truth_xywh: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
    boxes = np.asarray(truth_xywh, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f'truth_xywh has shape {boxes.shape}, expected (frames, 4): x, y, width, height.'
        )
    return boxes
