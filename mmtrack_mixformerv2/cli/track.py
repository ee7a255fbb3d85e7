"""``mixformerv2 track``: follow targets through a video, a folder, a camera or a stream."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..command_line import add_model_options, at_least, parse_box
from ..outputs.track_files import FORMATS
from ..runtime.model_info import BACKENDS, DTYPES
from ..video import RATES, SourceError, open_source, quieten_opencv

if TYPE_CHECKING:
    from ..apis import Tracker
    from ..outputs.recorder import Recorder
    from ..tracking import TrackResult
    from ..video import FrameSource

EPILOG = """examples:
  mixformerv2 track clip.mp4 --init 316,139,112,116
  mixformerv2 track clip.mp4 --init 316,139,112,116 --init 20,40,60,80 --out results
  mixformerv2 track 'pictures/*.jpg' --init-file groundtruth.txt --formats txt --no-video
  mixformerv2 track 0 --select --show
  mixformerv2 track clip.mp4 --init 316,139,112,116 --model exported --backend onnxruntime

Ctrl-C stops, and keeps what is done. Exit codes: 0 the whole source was tracked (or --max-frames,
or q in the window), 1 an error, 2 wrong options, 130 Ctrl-C.
"""
_RATE = 25.0  # of pictures, which have none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = EPILOG
    parser.add_argument(
        'source',
        help='a video file, a folder or a quoted pattern of pictures, the number of a camera (0), '
        'or the address of a stream (rtsp://..., http://...)',
    )
    add = parser.add_argument_group('target').add_mutually_exclusive_group(required=True)
    add.add_argument(
        '--init',
        type=parse_box,
        action='append',
        metavar='X,Y,W,H',
        help='a target in the first frame: left, top, width, height in pixels; repeat it for more '
        '(--init=-5,8,20,20 where it begins with a minus)',
    )
    add.add_argument('--select', action='store_true', help='draw the targets with the mouse')
    add.add_argument(
        '--init-file',
        type=Path,
        action='append',
        metavar='FILE',
        help='ground truth whose first line is the target: x,y,w,h; repeat it for more',
    )
    _add_model(parser.add_argument_group('tracker').add_argument)
    _add_output(parser.add_argument_group('output').add_argument)


def _add_model(add: Any) -> None:
    add_model_options(add)
    add(
        '--backend',
        choices=('torch', *BACKENDS),
        help='what runs the network (default: torch, or by the files of an exported model)',
    )
    add('--dtype', choices=DTYPES, help='what is computed in (default float32)')
    add('--device', help='cpu or cuda (default: cuda for torch where there is one)')
    add('--threads', type=at_least(0), default=0, metavar='N', help='of the CPU (default: all)')
    add(
        '--no-states',
        action='store_true',
        help='the published behaviour: nothing is judged uncertain or lost, templates are '
        'updated by score alone',
    )


def _add_output(add: Any) -> None:
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/track'),
        metavar='DIR',
        help='folder for the results (default work_dirs/track)',
    )
    add('--name', help='of the files (default: the name of the source)')
    add(
        '--formats',
        type=_parse_formats,
        default=FORMATS,
        metavar='LIST',
        help='of txt (boxes, x,y,w,h per line, a file for each target), csv (a table) and json '
        "(everything), between commas (default txt,csv,json; '' for none)",
    )
    add('--edges', action='store_true', help='edge distributions go to the JSON file, too')
    add('--no-video', action='store_true', help='write no video')
    add('--rate', type=float, help='frames per second of the video (default: of the source, or 25)')
    add('--show', action='store_true', help='show it in a window meanwhile; q ends')
    add('--max-frames', type=at_least(1), metavar='N', help='stop after so many frames')
    add('--force', action='store_true', help='replace results that exist')
    add('--quiet', action='store_true', help='no progress bar')


def run(args: argparse.Namespace) -> int:
    """Track and write the results; gives the exit code."""
    if args.rate is not None and not RATES[0] <= args.rate <= RATES[1]:
        raise ValueError(
            f'--rate is {args.rate}, expected {RATES[0]:g} to {RATES[1]:g} frames per second'
        )
    if args.name and Path(args.name).name != args.name:
        raise ValueError(f'--name is {args.name!r}, expected a name without folders, see --out')
    if args.select or args.show:
        from ..video.windows import check_windows

        check_windows('--select' if args.select else '--show')
    given = args.init or [_read_first_box(path) for path in args.init_file or ()]
    quieten_opencv()
    source = open_source(args.source)
    try:
        first = next(source)
        _check_boxes(given, first)
        recorder = _make_recorder(args, source, len(given) or 1)
        tracker = _build_tracker(args)
        if source.live:  # its first picture is of before the model was loaded
            source.close()
            source = open_source(args.source)
            first = next(source)
        if args.select:
            from ..video.windows import select_boxes

            given = select_boxes(first)
            recorder = _make_recorder(args, source, len(given))
        with recorder:
            return _track(args, source, tracker, recorder, first, given)
    finally:
        source.close()


def _make_recorder(args: argparse.Namespace, source: FrameSource, targets: int) -> Recorder:
    from ..outputs.recorder import Recorder

    return Recorder(
        args.out,
        args.name or source.name,
        targets,
        formats=args.formats,
        video=not args.no_video,
        rate=args.rate or source.rate or _RATE,
        edges=args.edges,
        force=args.force,
    )


def _build_tracker(args: argparse.Namespace) -> Tracker:
    from ..apis import Tracker
    from ..apis.tracker import find_exported

    if args.backend not in (None, 'torch') and not args.quiet and not find_exported(args.model):
        print(
            f'exporting {args.model} for {args.backend}, for this run; a model that is exported '
            'once (tools/deployment/export.py) starts at once',
            file=sys.stderr,
        )
    return Tracker(
        args.model,
        args.checkpoint,
        color='bgr',
        backend=args.backend,
        dtype=args.dtype,
        num_threads=args.threads,
        device=args.device,
        **({'policy': None} if args.no_states else {}),
    )


def _track(
    args: argparse.Namespace,
    source: FrameSource,
    tracker: Tracker,
    recorder: Recorder,
    first: np.ndarray,
    boxes: Sequence[Sequence[float]],
) -> int:
    """Track all frames and complete the files, however it ended; gives the exit code."""
    about = {
        'source': source.shown,
        'model': tracker.name,
        'rate': source.rate,
        'frame_size': (first.shape[1], first.shape[0]),
        'versions': _list_versions(),
    }
    tracker.init(first, boxes)
    start, code = time.perf_counter(), 0
    try:
        with _catch_signals() as caught:
            ended = _run_loop(args, source, tracker, recorder, first, boxes, caught)
            if caught:
                ended, code = 'interrupted', 128 + caught[0]
            recorder.finish(ended=ended, **about)
    except Exception as error:
        with contextlib.suppress(OSError):  # the first error is the one to be told
            recorder.finish(ended=f'error: {error}', **about)
        _report(recorder, time.perf_counter() - start, 'stopped by an error')
        raise
    _report(recorder, time.perf_counter() - start, ended)
    return code


def _run_loop(
    args: argparse.Namespace,
    source: FrameSource,
    tracker: Tracker,
    recorder: Recorder,
    first: np.ndarray,
    boxes: Sequence[Sequence[float]],
    caught: Sequence[int],
) -> str:
    """Record frame by frame; gives the reason of the end."""
    from tqdm import tqdm

    from ..video.windows import Window

    results = tracker.first_result(boxes)
    most = args.max_frames or sys.maxsize
    total = min(source.count or sys.maxsize, most)
    window = Window(f'{source.name}: q ends') if args.show else None
    bar = tqdm(
        total=None if total == sys.maxsize else total,
        unit='frame',
        desc=source.name,
        disable=args.quiet,
        dynamic_ncols=True,
    )
    with bar, contextlib.closing(window) if window else contextlib.nullcontext():
        for count, frame in enumerate(itertools.chain([first], source), start=1):
            if count > 1:
                results = tracker.update(frame)
            picture = recorder.add(frame, results, draw=window is not None)
            bar.set_postfix_str(_describe(results), refresh=False)
            bar.update()
            if caught:
                return 'interrupted'
            if window is not None and not window.show(picture):
                return 'stopped in the window'
            if count == most:
                return 'frame limit'
    if source.missing:
        raise SourceError(
            f'{source.shown} ended early: it says it has {source.count} frames, {source.read} '
            'could be read; the results are of these.'
        )
    return 'end of the source'


def _describe(results: Sequence[TrackResult]) -> str:
    """Score and state for the progress bar; of several targets, a letter for each state."""
    if len(results) > 1:
        return ' '.join('-' if one.state is None else one.state.value[0] for one in results)
    score, state = results[0].score, results[0].state
    words = [] if score is None else [f'score {score:.2f}']
    return ' '.join(words if state is None else [*words, state.value])


def _report(recorder: Recorder, seconds: float, ended: str) -> None:
    count = len(recorder.logs[0])
    if not count:
        return
    rate = count / max(seconds, 1e-9)
    print(f'{count} frames in {seconds:.1f} s ({rate:.1f} per second); {ended}')
    if recorder.written:
        print('written: ' + ', '.join(map(str, recorder.written)))


@contextlib.contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """A list that gets the signal that asks to end; the second Ctrl-C ends at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # Python delivers signals to the main thread only
        return

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _parse_formats(text: str) -> tuple[str, ...]:
    formats = tuple(word for word in text.split(',') if word)
    wrong = [word for word in formats if word not in FORMATS]
    if wrong:
        raise argparse.ArgumentTypeError(f'{wrong[0]!r} is none of {", ".join(FORMATS)}')
    return formats


def _check_boxes(boxes: Sequence[Sequence[float]], frame: np.ndarray) -> None:
    """Refuse boxes before the model is loaded, which takes a while."""
    from ..tracking.region import validate_box

    for box in boxes:
        validate_box(box, *frame.shape[:2])


def _read_first_box(path: Path) -> list[float]:
    """The first row of numbers in a file, between commas, semicolons, tabs or blanks."""
    try:
        lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text file: {error}') from error
    lines = [line for line in lines if any(sign.isdigit() for sign in line)]  # no header
    if not lines:
        raise ValueError(f'{path} has no numbers, expected x,y,width,height of the target')
    line = lines[0]
    try:
        return parse_box(','.join(re.split(r'[,;\s]+', line)))
    except argparse.ArgumentTypeError:
        raise ValueError(
            f'{path} begins with {line!r}, expected x,y,width,height of the target'
        ) from None


def _list_versions() -> dict[str, str]:
    from ..version import __version__

    versions = {'mmtrack_mixformerv2': __version__, 'python': platform.python_version()}
    for name in ('cv2', 'numpy', 'torch', 'onnxruntime', 'openvino'):
        if name in sys.modules:
            versions[name] = str(getattr(sys.modules[name], '__version__', ''))
    return versions
