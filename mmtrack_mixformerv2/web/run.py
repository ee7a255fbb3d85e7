"""Tracks one object through one clip, and makes all that the page shows of it. No Gradio here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..explain.frame_album import AlbumLimits, FrameAlbum
from ..outputs.overlay import Overlay
from ..outputs.recorder import Recorder
from ..tracking.track_log import TrackLog
from ..video import FrameSource
from .browser_video import BrowserVideo
from .clips import Clip, check_box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..apis import Tracker
    from ..tracking import TrackResult

# Called with the frames that are done and how many there are, if that is known.
Progress = Callable[[int, 'int | None'], None]
_KINDS = {'.avi': 'mp4'}


@dataclass
class Run:
    """What tracking an object through a clip gave.

    Attributes:
        clip: The clip.
        log: The result of each frame.
        album: Pictures of the frames.
        folder: Holds all the files.
        video: For the page; None if this OpenCV cannot write one that browsers play.
        downloads: Files for the user, by their kind: ``html``, ``mp4`` (also where it is AVI),
            ``txt``, ``csv``, ``json``.
        seconds: What decoding, tracking and drawing took.
        notes: Sentences on what was not as expected.
    """

    clip: Clip
    log: TrackLog
    album: FrameAlbum
    folder: Path
    video: Path | None = None
    downloads: dict[str, Path] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def track_clip(
    tracker: Tracker,
    clip: Clip | None,
    box_xywh: Sequence[float | None],
    folder: Path,
    *,
    max_frames: int,
    progress: Progress = lambda done, count: None,
) -> Run:
    """Track an object through a clip and write the results.

    Args:
        tracker: Takes BGR frames; starts anew.
        clip: The clip.
        box_xywh: The object in its first frame, pixels.
        folder: Exists, and belongs to this run.
        max_frames: The rest of the clip is left out.
        progress: Called after each frame.

    Returns:
        The run. If a later frame cannot be read or has another size, what came before is kept, and
        ``notes`` says so.

    Raises:
        ValueError: If there is no clip, or the box is not usable.
        OSError: If a file cannot be written.
    """
    box = check_box(clip, box_xywh)
    assert clip is not None
    recorder = Recorder(
        folder, clip.name, 1, rate=clip.rate, edges=True, force=True, text=tracker.name
    )
    album = FrameAlbum(AlbumLimits(frames=max_frames), count=clip.count)
    run = Run(clip, recorder.logs[0], album, folder)
    run.log.name = tracker.name
    started = time.perf_counter()
    with recorder, BrowserVideo(folder / 'page.webm', clip.rate) as video, clip.open() as source:
        try:
            for frame, result in _follow(tracker, source, box, max_frames):
                picture = recorder.add(frame, [result])
                assert picture is not None
                video.write(picture)
                album.add(frame)
                progress(len(run.log), clip.count and min(clip.count, max_frames))
        except ValueError as error:
            if len(run.log) < 2:
                raise
            run.notes.append(f'It ended after frame {len(run.log) - 1}: {error}')
        run.seconds = time.perf_counter() - started
        run.notes += _about_end(run, source, max_frames)
        _finish(run, recorder)
        run.video = video.finish()
    return run


def _finish(run: Run, recorder: Recorder) -> None:
    recorder.finish(
        source=run.clip.name,
        model=run.log.name,
        rate=run.clip.rate,
        frame_size=run.clip.size,
        ended=run.notes[0] if run.notes else 'end of the source',
    )
    for path in [*recorder.written, _write_report(run)]:
        run.downloads[_KINDS.get(path.suffix, path.suffix[1:])] = path


def draw_timeline(run: Run, index: int) -> Figure:
    """Score, confidence and state over the frames, with one of them marked."""
    from ..explain import score_timeline

    return score_timeline(run.log, frame=index)


def draw_edge_picture(run: Run, index: float) -> np.ndarray:
    """A frame with its box, and the distribution of each edge along the sides.

    Args:
        run: The run.
        index: Number of the frame; the nearest frame that there is is taken.

    Returns:
        uint8 RGB ``(height, width, 3)``.
    """
    pictures = run.album.pictures
    index = min(pictures, key=lambda one: abs(one - index))
    frame = cv2.imdecode(np.frombuffer(pictures[index], np.uint8), cv2.IMREAD_COLOR)
    result = run.log.results[index]
    scale = frame.shape[1] / run.clip.size[0]
    if result.edges is None:  # of the first frame, whose box is given
        return Overlay(1).draw(frame, [result._replace(box_xywh=result.box_xywh * scale)])[
            ..., ::-1
        ]
    from ..explain import draw_edges

    edges = result.edges._replace(positions=result.edges.positions * scale)
    return draw_edges(frame, result.box_xywh * scale, edges)[..., ::-1]


def find_telling_frame(run: Run) -> int:
    """The frame of the lowest confidence, or score: there, the edges have most to tell."""
    for values in (run.log.confidences, run.log.scores):
        if np.isfinite(values).any():
            return int(np.nanargmin(values))
    return len(run.log) - 1


def summarize(run: Run) -> str:
    """A sentence on the run and what is to be noted, as Markdown."""
    count = len(run.log)
    text = f'**{count} frames** in {run.seconds:.1f} s ({count / run.seconds:.0f} per second)'
    states = Counter(state for state in run.log.states if state)
    if states:
        shares = [f'{state} in {number}' for state, number in states.most_common()]
        text += f'; {", ".join(shares)}'
    return '\n\n'.join([text + '.', *(f'Note: {note}' for note in run.notes)])


def _follow(
    tracker: Tracker, source: FrameSource, box: Sequence[float], max_frames: int
) -> Iterator[tuple[np.ndarray, TrackResult]]:
    """Frames and their results."""
    for index, frame in enumerate(islice(source, max_frames)):
        if index == 0:
            tracker.init(frame, box)
            yield frame, tracker.first_result(box)
        else:
            yield frame, tracker.update(frame)


def _about_end(run: Run, source: FrameSource, max_frames: int) -> list[str]:
    """Why it ended, if that was before the end of the clip."""
    if run.notes:
        return []
    if len(run.log) == max_frames and next(source, None) is not None:
        of = f' of {source.count}' if source.count else ''
        return [
            f'only the first {max_frames} frames{of} were tracked; `mixformerv2 demo '
            '--max-frames N` sets how many, and `mixformerv2 track` knows no limit.'
        ]
    if source.missing:
        return [f'the file says it has {source.count} frames, but {source.read} could be read.']
    return []


def _write_report(run: Run) -> Path:
    from ..explain.report import write_report

    truth = run.clip.truth_xywh
    return write_report(
        run.folder / f'{run.clip.name}_report.html',
        run.album,
        [run.log],
        truth_xywh=None if truth is None else truth[: len(run.log)],
        title=f'{run.log.name} on {run.clip.name}',
        rate=run.clip.rate,
        notes=run.notes,
    )
