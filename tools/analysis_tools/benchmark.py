"""Measure how fast a tracker runs here, on every backend. See --help."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

# At module top level: spawned processes import this file again and need it as well.
from mmtrack_mixformerv2.benchmark.speed.clip import choose_clip
from mmtrack_mixformerv2.benchmark.speed.contenders import ALL, choose
from mmtrack_mixformerv2.benchmark.speed.measuring import Plan, measure
from mmtrack_mixformerv2.benchmark.speed.report import LEGEND, plot, render_markdown
from mmtrack_mixformerv2.command_line import add_clip_options, at_least
from mmtrack_mixformerv2.deployment.backends import DTYPES
from mmtrack_mixformerv2.engine import add_config_options, read_config
from mmtrack_mixformerv2.files import replace_file

DESCRIPTION = """Measure how fast a tracker runs here on each backend.

All run in turns in one process, on the frames of one clip, and are compared to the forward of the
published tracker: float32, plain attention, both templates through the whole network at every
frame. Printed are the time of a frame and of its parts, the share of the speed of large matrix
products that the network reaches, how far its boxes are off, and memory. Without a checkpoint the
weights are random, which are as fast."""
EPILOG = """examples:
  python tools/analysis_tools/benchmark.py configs/mixformerv2/mixformerv2-s_test-lasot.py
  python tools/analysis_tools/benchmark.py CONFIG CHECKPOINT --backend all --dtype float32 int8
  python tools/analysis_tools/benchmark.py CONFIG --backend torch openvino --uncached \\
      --targets 1 2 4 8 16 --templates 1 2 3 4 --json speed.json --plot speed.png
  python tools/analysis_tools/benchmark.py CONFIG CHECKPOINT --backend openvino --dtype int8 \\
      --exported openvino:int8=exported/s-int8 --clip video.mp4 --init 316,139,112,116
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='test config')
    add('checkpoint', nargs='?', help='weights (default: random ones)')
    add('--json', type=Path, metavar='FILE', help='also write all numbers to a file')
    add('--plot', type=Path, metavar='FILE', help='also draw them, as .png, .pdf or .svg')
    add_config_options(parser)
    _add_contenders(parser.add_argument_group('what runs'))
    _add_measurements(parser.add_argument_group('what is measured'))
    args = parser.parse_args(argv)
    if args.init is not None and args.clip is None:
        parser.error('--init goes with --clip; rendered frames have annotations')
    for name in ('json', 'plot'):
        path = getattr(args, name)
        if path is not None and not path.parent.is_dir():
            parser.error(f'--{name} {path}: there is no folder {path.parent}')
    if args.plot is not None and args.plot.suffix not in ('.png', '.pdf', '.svg'):
        parser.error(f'--plot {args.plot}: expected a name that ends in .png, .pdf or .svg')
    return args


def _add_contenders(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        '--backend',
        nargs='+',
        choices=[*DTYPES, ALL],
        default=[ALL],
        metavar='NAME',
        help=f'{", ".join(DTYPES)}; {ALL} (default) is what is installed, and says what is not',
    )
    add(
        '--dtype',
        nargs='+',
        choices=list(dict.fromkeys(dtype for dtypes in DTYPES.values() for dtype in dtypes)),
        default=['float32'],
        help='what is computed in (default float32); int8 is calibrated on the clip',
    )
    add('--compile', action='store_true', help='torch also compiled')
    add('--uncached', action='store_true', help='all also with templates encoded at every frame')
    add(
        '--exported',
        nargs='+',
        type=parse_exported,
        default=[],
        metavar='BACKEND:DTYPE=FOLDER',
        help='exported models of these weights (default: exported for the time of the run)',
    )
    add('--threads', type=at_least(1), metavar='N', help="of the CPU (default: torch's)")


def _add_measurements(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add_clip_options(add)
    add('--seconds', type=at_least(0), default=60, help='for frames, and for each curve (60)')
    add('--rounds', type=at_least(1), default=5, metavar='N', help='at least so many turns (5)')
    add('--frames', type=at_least(1), default=3, metavar='N', help='that a turn takes (3)')
    several = {'nargs': '+', 'type': at_least(1), 'default': [], 'metavar': 'N'}
    add('--targets', **several, help='also the time of a frame with so many targets')
    add('--templates', **several, help='also the time of the network with so many templates')
    add('--batch', **several, help='also the search crops per second in batches of so many')
    add('--no-memory', action='store_true', help='leave out memory, which starts processes')


def parse_exported(text: str) -> tuple[tuple[str, str], Path]:
    """Type of an option: ``BACKEND:DTYPE=FOLDER``."""
    kind, _, folder = text.partition('=')
    backend, _, dtype = kind.partition(':')
    if dtype not in DTYPES.get(backend, ()) or backend == 'torch' or not folder:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not BACKEND:DTYPE=FOLDER, for instance onnxruntime:int8=exported/s-int8'
        )
    return (backend, dtype), Path(folder)


def run(args: argparse.Namespace) -> dict:
    """Choose, measure; gives the numbers."""
    exported = dict(args.exported)
    contenders, left_out = choose(
        args.backend,
        args.dtype,
        compile=args.compile,
        uncached=args.uncached,
        exported=exported,
    )
    for line in left_out:
        print(line, file=sys.stderr)
    plan = Plan(
        seconds=args.seconds,
        rounds=args.rounds,
        frames=args.frames,
        threads=args.threads or torch.get_num_threads(),
        targets=args.targets,
        templates=args.templates,
        batches=args.batch,
        memory=not args.no_memory,
    )
    cfg = read_config(args.config, args.cfg_options)
    with tempfile.TemporaryDirectory() as folder:
        clip = choose_clip(args.clip, args.init, Path(folder), tuple(args.size))
        results = measure(cfg, args.checkpoint, contenders, clip, plan, exported)
    model = Path(args.config).stem.split('_')[0]
    return {'model': model, 'left_out': left_out, **results}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    args = parse_args(argv)
    try:
        results = run(args)
        if args.json:
            replace_file(args.json, (json.dumps(results, indent=2) + '\n').encode())
        if args.plot:
            plot(results, args.plot)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    size = ' x '.join(map(str, results['frame_size']))
    ceiling = ', '.join(f'{d} {speed:.0f}' for d, speed in results['ceiling'].items())
    print(f'{results["machine"]}; {results["threads"]} threads for each backend')
    print(f'frames of {size}; matrix products reach {ceiling} GFLOP/s\n')
    print(render_markdown(results))
    print(f'\n{LEGEND}')


if __name__ == '__main__':
    main()
