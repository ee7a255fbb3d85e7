"""Measure how fast evaluations are, and where their time goes. See --help."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from mmtrack_mixformerv2.benchmark.evaluation import (
    PHASES,
    EvaluationRun,
    render_test_set,
    use_rendered,
)
from mmtrack_mixformerv2.benchmark.timing import (
    describe_machine,
    take_turns,
    times,
    wall_per_sample,
)
from mmtrack_mixformerv2.command_line import at_least
from mmtrack_mixformerv2.engine import add_config_options, read_config
from mmtrack_mixformerv2.models.inference import DTYPES

DESCRIPTION = """Measure how fast evaluations of a tracker are: one frame after the other in
MMEngine's test loop, one sequence after the other, and several sequences in lock step.

All run in turns on the same rendered sequences, and compute the metrics of the config's protocol.
What is printed: frames per second, and how many times those of MMEngine's loop and of one sequence;
of the time on the clock, the share of `decode` (waiting for frames that were not read in time),
`crop`, `network`, `metric` (which also writes result files, tables and plots) and `rest`; the
overhead, which is all but decode and network; milliseconds that a thread takes to read a frame."""
EXAMPLES = """examples:
  python tools/analysis_tools/benchmark_eval.py configs/mixformerv2/mixformerv2-s_test-lasot.py
  python tools/analysis_tools/benchmark_eval.py CONFIG --batch 4 16 --rounds 5
  python tools/analysis_tools/benchmark_eval.py CONFIG --batch 64 --sequences 128 --workers 16 \\
      --dtype float32 bfloat16                                  on a GPU
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='test config; its data set is replaced by rendered sequences')
    add('--checkpoint', help='weights (default: random ones, which are as fast)')
    count = {'type': at_least(1), 'metavar': 'N'}
    add('--batch', **count, nargs='+', default=[8], help='sequences in lock step (default 8)')
    add(
        '--dtype',
        nargs='+',
        choices=list(DTYPES),
        default=['float32'],
        help='numbers that the backbone of the lock step computes with (default float32)',
    )
    add('--sequences', **count, default=16, help='rendered sequences (default 16)')
    add('--frames', type=at_least(20), metavar='N', default=20, help='of each (default 20)')
    add(
        '--size',
        type=at_least(64),
        nargs=2,
        default=[1280, 720],
        metavar=('W', 'H'),
        help='of the frames (default 1280 720)',
    )
    add('--workers', type=at_least(0), metavar='N', default=2, help='that read (default 2)')
    add('--rounds', **count, default=3, help='how often each is run (default 3)')
    add('--threads', **count, help="of torch on a CPU (default: torch's)")
    add('--json', type=Path, metavar='FILE', help='also write the numbers to a file')
    add_config_options(parser)
    args = parser.parse_args(argv)
    if args.json is not None and not args.json.parent.is_dir():
        parser.error(f'--json {args.json}: there is no folder {args.json.parent}')
    return args


def kinds(args: argparse.Namespace) -> dict[str, dict]:
    """The test loops to compare, by name."""
    loops = {
        'MMEngine, frame by frame': {'type': 'TestLoop'},
        'one sequence': {'type': 'LockStepTestLoop', 'num_sequences': 1, 'progress': False},
    }
    for dtype in args.dtype:
        for batch in args.batch:
            name = f'{batch} sequences' + (f', {dtype}' if dtype != 'float32' else '')
            loops[name] = {**loops['one sequence'], 'num_sequences': batch, 'dtype': dtype}
    return loops


def measure(args: argparse.Namespace, folder: Path) -> list[dict]:
    """Run everything in turns; gives a row for each kind."""
    cfg = read_config(args.config, args.cfg_options)
    use_rendered(cfg, render_test_set(folder, args.sequences, args.frames, args.size), args.workers)
    runs = {name: EvaluationRun(cfg, loop, args.checkpoint) for name, loop in kinds(args).items()}
    timings = take_turns(runs, seconds=0, min_rounds=args.rounds)
    plain, serial = list(timings.values())[:2]
    return [
        {
            'evaluation': name,
            'frames_per_second': 1 / wall_per_sample(timings[name]),
            'times_mmengine': 1 / times(timings[name], plain),
            'times_serial': 1 / times(timings[name], serial),
            **{phase: run.result.share(phase) for phase in PHASES},
            'rest': run.result.rest,
            'overhead': run.result.overhead,
            'reading': run.result.reading,
        }
        for name, run in runs.items()
    ]


def table(rows: Sequence[dict]) -> str:
    """One line per kind."""
    shares = [*PHASES, 'rest', 'overhead']
    cells = [
        [
            row['evaluation'],
            f'{row["frames_per_second"]:.1f}',
            f'{row["times_mmengine"]:.2f}x',
            f'{row["times_serial"]:.2f}x',
            *(f'{row[name]:.1%}' for name in shares),
            f'{1000 * row["reading"]:.1f}' if row['reading'] else '-',
        ]
        for row in rows
    ]
    headers = ['evaluation', 'frames/s', 'MMEngine', 'one', *shares, 'ms to read']
    align = ('left', *['right'] * (len(headers) - 1))
    return tabulate(cells, headers, colalign=align, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(args, Path(folder))
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(f'{args.sequences} sequences of {args.frames} frames, {args.size[0]} x {args.size[1]}')
    print(describe_machine(device))
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    main()
