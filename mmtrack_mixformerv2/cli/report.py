"""``mixformerv2 report``: track a video with one model or several, and explain it in one HTML page.

The page has a slider over the frames, the trackers side by side, their boxes, edge distributions,
scores and states, and what the network looked at. It opens in any browser and needs no network.
With --results it shows what `mixformerv2 track` has written, without any network model.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..command_line import add_model_options, at_least, new_name, parse_box, split_model

if TYPE_CHECKING:
    from ..explain.frame_album import AlbumLimits
    from ..explain.recording import Recording, SingleTracker
    from ..tracking.track_log import TrackLog
    from ..video import FrameSource

EPILOG = """examples:
  mixformerv2 report clip.mp4 --init 316,139,112,116
  mixformerv2 report clip.mp4 --init 316,139,112,116 --against opencv --out compared.html
  mixformerv2 report pictures --truth groundtruth.txt --every 10
  mixformerv2 report clip.mp4 --init 316,139,112,116 --model my_test.py --checkpoint my.pth \\
      --against mixformerv2-tiny other_test.py=other.pth
  mixformerv2 report clip.mp4 --results work_dirs/track/clip.json

Ctrl-C ends the tracking, and the page is written of what was tracked.
"""
BASELINES = ('opencv', 'still')
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add('source', metavar='VIDEO', help='a video file, a folder or a quoted pattern of pictures')
    add(
        '--init',
        type=parse_box,
        metavar='X,Y,W,H',
        help='the target in the first frame: left, top, width, height in pixels (default: the '
        'first box of --truth)',
    )
    add(
        '--truth',
        type=Path,
        metavar='FILE',
        help='the annotation: x,y,w,h per line; the page then has the overlap with it',
    )
    add('--out', type=Path, default=Path('report.html'), help='the page (default report.html)')
    _add_trackers(parser.add_argument_group('trackers').add_argument)
    _add_limits(parser.add_argument_group('what the page holds').add_argument)
    add('--quiet', action='store_true', help='no progress bar')


def _add_trackers(add: Any) -> None:
    add_model_options(add)
    add(
        '--against',
        nargs='+',
        default=[],
        metavar='MODEL2',
        help='trackers to show beside it: a name of the zoo, CONFIG=CHECKPOINT, an exported '
        'model, or the baselines opencv (that of OpenCV) and still (the first box)',
    )
    add('--no-states', action='store_true', help='the published behaviour, without states')
    add(
        '--results',
        nargs='+',
        type=Path,
        metavar='JSON',
        help='show these results of `mixformerv2 track` on this video instead of tracking it',
    )
    add('--target', type=at_least(1), default=1, metavar='N', help='which target of --results')


def _add_limits(add: Any) -> None:
    add(
        '--every',
        type=at_least(0),
        default=20,
        metavar='N',
        help='keep attention of every Nth frame; 0 for none (default 20)',
    )
    add('--title', default='', help='of the page (default: name of the video, and the trackers)')
    add('--max-frames', type=at_least(1), metavar='N', help='track no more than N frames')
    add(
        '--pictures',
        type=at_least(1),
        default=1500,
        metavar='N',
        help='at most so many; of a longer video the page has every 2nd, 4th, ... frame '
        '(default 1500)',
    )
    add('--width', type=at_least(16), default=640, help='of the pictures in pixels (default 640)')
    add(
        '--megabytes',
        type=float,
        default=60,
        metavar='MB',
        help='at most so many for the pictures (default 60)',
    )


def run(args: argparse.Namespace) -> int:
    """Make the page; gives the exit code."""
    from ..explain.frame_album import AlbumLimits
    from ..explain.report import check_destination
    from ..video import open_source, quieten_opencv

    quieten_opencv()
    check_destination(args.out)
    limits = AlbumLimits(args.pictures, args.width, args.megabytes)
    truth = None if args.truth is None else _read_truth(args.truth)
    with open_source(args.source) as source:
        if args.results:
            return _show_results(args, source, limits, truth)
        return _track(args, source, limits, truth)


def _track(
    args: argparse.Namespace, source: FrameSource, limits: AlbumLimits, truth: np.ndarray | None
) -> int:
    """Track the video and write the page, also of a part of it; gives the exit code."""
    from ..explain.recording import Recording
    from ..tracking.region import validate_box

    box = args.init if args.init is not None or truth is None else truth[0].tolist()
    if box is None:
        raise ValueError('no target; give --init x,y,w,h, or --truth with the annotation')
    first = next(source)
    validate_box(box, *first.shape[:2])  # before the models are loaded, which takes a while
    trackers = _open_trackers(args)
    count = _count(args, source)
    recording = Recording(trackers, box, every=args.every, limits=limits, count=count)
    code, notes = 0, []
    try:
        _record(args, recording, source, first)
        if source.missing and recording.album.count != args.max_frames:
            notes.append(f'The video ended early: it says it has {source.count} frames.')
    except KeyboardInterrupt:
        if recording.album.count < 2:
            raise
        code = _INTERRUPTED
        notes.append('The tracking was interrupted here.')
    except (ValueError, OSError) as error:
        if recording.album.count < 2:
            raise
        _write(args, source, recording, truth, [f'The tracking ended with an error: {error}'])
        raise
    _write(args, source, recording, truth, notes)
    return code


def _count(args: argparse.Namespace, source: FrameSource) -> int | None:
    """Number of frames to come, if it is known."""
    return min(filter(None, (source.count, args.max_frames)), default=None)


def _record(
    args: argparse.Namespace, recording: Recording, source: FrameSource, first: np.ndarray
) -> None:
    from itertools import chain, islice

    from tqdm import tqdm

    frames = islice(chain([first], source), args.max_frames)
    total = _count(args, source)
    for frame in tqdm(frames, total=total, unit='frame', desc=source.name, disable=args.quiet):
        recording.add(frame)


def _write(
    args: argparse.Namespace,
    source: FrameSource,
    recording: Recording,
    truth: np.ndarray | None,
    notes: Sequence[str],
) -> None:
    from ..explain.report import write_report

    unexplained = [f'No attention of {name}: {why}' for name, why in recording.unexplained.items()]
    path = write_report(
        args.out,
        recording.album,
        recording.tracks,
        explanations=recording.explanations,
        truth_xywh=truth,
        title=args.title or _title(source, recording.tracks),
        rate=source.rate,
        notes=[*notes, *unexplained],
    )
    explained = len({frame for one in recording.explanations for frame in one})
    _report(path, recording.album.count, len(recording.album.pictures), explained)
    for line in unexplained:
        print(line)


def _show_results(
    args: argparse.Namespace, source: FrameSource, limits: AlbumLimits, truth: np.ndarray | None
) -> int:
    """Write the page of results that are files; gives the exit code."""
    from itertools import islice

    from tqdm import tqdm

    from ..explain.frame_album import FrameAlbum
    from ..explain.report import write_report

    tracks = _read_results(args.results, args.target)
    count = args.max_frames or max(map(len, tracks))
    album = FrameAlbum(limits, count)
    frames = islice(source, count)
    for frame in tqdm(frames, total=count, unit='frame', desc=source.name, disable=args.quiet):
        album.add(frame)
    title = args.title or _title(source, tracks)
    path = write_report(args.out, album, tracks, truth_xywh=truth, title=title, rate=source.rate)
    _report(path, album.count, len(album.pictures), 0)
    return 0


def _report(path: Path, frames: int, pictures: int, explained: int) -> None:
    size = path.stat().st_size / 1e6
    print(
        f'written: {path} ({size:.1f} MB): {frames} frames, {pictures} of them with a picture, '
        f'{explained} with attention'
    )


def _title(source: FrameSource, tracks: Sequence[TrackLog]) -> str:
    return f'{source.name}: {" and ".join(track.name for track in tracks)}'


def _open_trackers(args: argparse.Namespace) -> Mapping[str, SingleTracker]:
    trackers: dict[str, SingleTracker] = {}
    wanted = [(args.model, args.checkpoint), *map(split_model, args.against)]
    for model, checkpoint in wanted:
        name, tracker = _open_tracker(model, checkpoint, args.no_states)
        trackers[new_name(name, trackers)] = tracker
    return trackers


def _open_tracker(model: str, checkpoint: str | None, no_states: bool) -> tuple[str, SingleTracker]:
    from ..tracking import OpenCVTracker, StillBox

    if model in BASELINES:
        if checkpoint is not None:
            raise ValueError(f'{model} is a baseline, which has no checkpoint; leave it out')
        baseline = OpenCVTracker() if model == 'opencv' else StillBox()
        return baseline.name, baseline
    from ..apis import Tracker

    tracker = Tracker(model, checkpoint, **({'policy': None} if no_states else {}))
    return tracker.name, tracker.loop


def _read_results(paths: Sequence[Path], target: int) -> list[TrackLog]:
    from ..outputs.track_files import read_json

    tracks: dict[str, TrackLog] = {}
    for path in paths:
        found = read_json(path)
        if target > len(found.tracks):
            raise ValueError(f'{path} has {len(found.tracks)} targets, and --target is {target}')
        track = found.tracks[target - 1]
        track.name = new_name(found.model or path.stem, tracks)
        tracks[track.name] = track
    return list(tracks.values())


def _read_truth(path: Path) -> np.ndarray:
    """The boxes of an annotation, ``(N, 4)``."""
    from .. import register

    register()  # the reader is a part of the evaluation
    from ..evaluation.box_files import read_boxes

    return read_boxes(path)
