"""Train the stages of a chain one after the other. See --help for examples."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from mmtrack_mixformerv2.engine import ConfigOptions
from mmtrack_mixformerv2.engine.chain import command_of, read_chain, run_to_end, table

EXAMPLES = """A finished stage is skipped and an interrupted one resumed, so the same command
goes on after any interruption. Before the first stage starts, every config is read, and every
file that a stage starts from has to exist or to be made by a stage before it.

examples:
  python tools/train_chain.py TEACHER.py STAGE1.py STAGE2.py
  python tools/train_chain.py CONFIG ... --dry-run             only the table of stages
  python tools/train_chain.py CONFIG ... --gpus 8 --amp
  python tools/train_chain.py CONFIG ... --work-root runs/a    another chain beside the first
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train the stages of a chain one after the other.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='configs, in this order')
    parser.add_argument('--dry-run', action='store_true', help='check and print the table, only')
    parser.add_argument(
        '--gpus', type=int, default=1, help='processes of each stage, one per GPU (default: 1)'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision in every stage')
    parser.add_argument(
        '--work-root',
        metavar='DIR',
        help='folder of all work directories, in place of work_dirs; paths of the configs that '
        'begin with work_dirs/ follow',
    )
    parser.add_argument(
        '--quiet',
        action='store_true',
        help="write each stage's output to a file beside its work directory, not to the screen",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings in every stage, by dotted name',
    )
    args = parser.parse_args()
    if args.gpus < 1:
        parser.error(f'--gpus is {args.gpus}, expected at least 1')
    return args


def read_options(pairs: list[str]) -> dict:
    """Values as ``tools/train.py`` understands them."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return parser.parse_args(['--cfg-options', *pairs]).cfg_options if pairs else {}


def main() -> None:
    """Check the chain, then train what is left of it."""
    args = parse_args()
    try:
        stages = read_chain(args.configs, read_options(args.cfg_options), args.work_root)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(table(stages), flush=True)
    for number, stage in enumerate(stages, start=1):
        if args.dry_run or stage.finished:
            continue
        log = stage.work_dir.with_name(f'{stage.work_dir.name}.log') if args.quiet else None
        before = stage.log
        print(f'\nstage {number} of {len(stages)}: {stage.name}', flush=True)
        command = command_of(
            stage, Path(__file__).parent, gpus=args.gpus, amp=args.amp, options=args.cfg_options
        )
        try:
            status = run_to_end(command, log)
        except KeyboardInterrupt:
            print(f'\ninterrupted: {stage.name} is {stage.state}; the same command goes on')
            sys.exit(130)
        print(f'\n{table(stages)}', flush=True)
        where = 'its output is above' if stage.log == before else f'its log is {stage.log}'
        where = f'its output is in {log}' if log else where
        if status:
            print(f'error: {stage.name} ended with exit status {status}; {where}', file=sys.stderr)
            sys.exit(status)
        if not stage.finished:
            sys.exit(f'error: {stage.name} ended without its checkpoint {stage.final}; {where}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # not to leave a stage behind
    main()
