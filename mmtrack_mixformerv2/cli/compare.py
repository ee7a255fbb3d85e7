"""Models side by side: size, speed on this machine, and accuracy.

Each MODEL is
  NAME                of the model zoo (mixformerv2 download --list), with its weights
  CONFIG.py           a config; its weights are random, so only size and speed are measured
  CONFIG.py=FILE.pth  a config with a checkpoint; NAME=FILE.pth replaces the weights of the zoo

All of them track the same frames on every backend in turns, so that what else the machine does hits
them alike. Then, with --data, one after the other tracks the data set on the first of the backends.
A table (Markdown, CSV, JSON) and a picture are written.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command_line import add_clip_options, at_least, seconds
from . import explain

if TYPE_CHECKING:
    from ..comparison.side_by_side import SideBySide
    from ..comparison.test_sets import TestSet

EPILOG = """examples:
  mixformerv2 compare mixformerv2-tiny configs/mixvit/mixvit-b-plain224.py
  mixformerv2 compare configs/mvt/mvt_test-got10k.py configs/fermt/fermt_test-got10k.py \\
      --backends torch onnxruntime openvino --published --threads 2
  mixformerv2 compare mixformerv2-tiny my_test.py=my.pth --data data/my-sequences
  mixformerv2 compare mixformerv2-tiny my_test.py=my.pth \\
      --data configs/mixformerv2/mixformerv2-b_test-lasot.py --out work_dirs/lasot

Ctrl-C (or SIGTERM) or an error ends it, and what was measured is kept. Exit codes: 0 all that was
asked for was measured; 1 an error, or cells are empty (the table says why): a backend that is not
installed or does not run a model, with --published a model that nobody published, with --data a
model with random weights; 2 wrong options; 130 Ctrl-C.
"""
BACKENDS = ('torch', 'onnxruntime', 'openvino')
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add('models', nargs='+', metavar='MODEL', help='NAME, CONFIG.py or CONFIG.py=FILE.pth')
    add(
        '--data',
        metavar='DATA',
        help='also measure accuracy, one model after the other on the first of the backends: the '
        'data set of a test config, or a folder of annotated sequences (a groundtruth.txt with '
        "each; GOT-10k's layout with its info file)",
    )
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/compare'),
        metavar='DIR',
        help='folder for comparison.md, .csv, .json, .png and .svg; those of an earlier call are '
        'replaced (default work_dirs/compare)',
    )
    add('--quiet', action='store_true', help='no progress bars, which only a terminal gets')
    _add_speed(parser.add_argument_group('speed').add_argument)


def _add_speed(add: Any) -> None:
    add(
        '--backends',
        nargs='+',
        choices=BACKENDS,
        default=['torch'],
        metavar='NAME',
        help=f'of {", ".join(BACKENDS)} (default torch); a column for each',
    )
    add('--published', action='store_true', help='also the published forward of each backbone')
    add(
        '--seconds',
        type=seconds,
        default=20,
        metavar='N',
        help='measure each model for N seconds, all backends together (default 20); fractions '
        'may be given; at least three rounds',
    )
    add('--threads', type=at_least(1), metavar='N', help="of the CPU (default: torch's)")
    add_clip_options(add)


def run(args: argparse.Namespace) -> int:
    """Measure and write; gives the exit code."""
    if args.init is not None and args.clip is None:
        raise ValueError('--init goes with --clip; rendered frames have annotations')
    _make_folder(args.out)  # before the work
    from .. import register

    register()
    import torch

    from ..benchmark.speed.clip import choose_clip
    from ..comparison.entries import find_entries
    from ..comparison.side_by_side import NOT_MEASURED, SideBySide
    from ..comparison.test_sets import open_test_set

    entries = find_entries(args.models)
    test_set = None if args.data is None else open_test_set(args.data)
    with tempfile.TemporaryDirectory() as folder:
        clip = choose_clip(args.clip, args.init, Path(folder, 'clip'), tuple(args.size))
        side_by_side = SideBySide(
            entries,
            args.backends,
            published=args.published,
            accuracy=test_set is not None,
            threads=args.threads or torch.get_num_threads(),
            clip=clip,
            folder=Path(folder),
            progress=not args.quiet,
        )
        for row in side_by_side.rows:
            for column, reason in row.missing.items():
                if reason != NOT_MEASURED:
                    print(f'note: {row.entry.name}, no {column}: {reason}', file=sys.stderr)
        return _measure(args, side_by_side, test_set)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f'no files can be made in {folder} ({error.strerror}); give another folder (--out)'
        ) from error


def _measure(args: argparse.Namespace, models: SideBySide, test_set: TestSet | None) -> int:
    """Measure one thing after the other, and write after each; gives the exit code."""
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        models.measure_speed(args.seconds)
        if test_set is not None:
            _write(args, models, test_set, 'it still runs')
            for _ in models.measure_accuracy(test_set):
                _write(args, models, test_set, 'it still runs')
        empty = models.empty_cells()
        code, ended = (1, f'all but {empty}') if empty else (0, 'everything was measured')
    except KeyboardInterrupt:
        if not any(row.speeds for row in models.rows):
            raise
        code, ended = _INTERRUPTED, 'it was interrupted'
    except Exception as error:
        if any(row.speeds for row in models.rows):
            _finish(args, models, test_set, f'it failed: {explain(error)}')
        raise
    finally:
        signal.signal(signal.SIGTERM, earlier)
    _finish(args, models, test_set, ended)
    return code


def _finish(
    args: argparse.Namespace, models: SideBySide, test_set: TestSet | None, ended: str
) -> None:
    paths = _write(args, models, test_set, ended)
    print(paths[0].read_text(encoding='utf-8'))
    print('written: ' + ', '.join(map(str, paths)))


def _write(
    args: argparse.Namespace, models: SideBySide, test_set: TestSet | None, ended: str
) -> Sequence[Path]:
    from ..comparison.scatter import write_scatter
    from ..comparison.tables import write_tables

    about = _describe(args, models, test_set, ended)
    paths = write_tables(args.out, models.rows, models.columns, about)
    return [*paths, *write_scatter(args.out, models.rows, models.columns)]


def _describe(
    args: argparse.Namespace, models: SideBySide, test_set: TestSet | None, ended: str
) -> dict[str, str]:
    """Under which circumstances it was measured."""
    import torch

    from ..version import __version__

    size = ' x '.join(map(str, models.clip.size))
    about = {
        'command': shlex.join(['mixformerv2', *args.argv]),
        'machine': models.machine,
        'threads': str(torch.get_num_threads()),
        'frames': f'{size}, {"rendered" if args.clip is None else models.clip.source}',
        'data': 'none',
        'version': f'mmtrack_mixformerv2 {__version__}',
        'date': time.strftime('%Y-%m-%d %H:%M'),
        'ended': ended,
    }
    if test_set is not None:
        dataset, _ = test_set
        about['data'] = f'{args.data}, {dataset.num_videos} sequences, {len(dataset)} frames'
    return about
