"""Test a tracker on a benchmark. See --help for examples."""

from __future__ import annotations

import argparse
import sys

# At module top level: spawned data loader workers import this file again and need it as well.
from mmtrack_mixformerv2.engine import (
    add_run_arguments,
    build_runner,
    check_test,
    read_config,
    use_launcher,
)

EXAMPLES = """examples:
  python tools/test.py CONFIG weights.pth
  python tools/test.py CONFIG --checkpoint weights.pth --work-dir runs/a
  python tools/test.py CONFIG weights.pth --cfg-options test_dataloader.num_workers=0
  bash tools/dist_test.sh CONFIG weights.pth 2               two GPUs, or two processes on a CPU
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Test a tracker on a benchmark.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the test')
    parser.add_argument('weights', nargs='?', metavar='checkpoint', help='file with the weights')
    parser.add_argument('--checkpoint', help='the same, as an option')
    add_run_arguments(parser)
    args = parser.parse_args()
    if args.weights and args.checkpoint:
        parser.error(f'two checkpoints: {args.weights} and --checkpoint {args.checkpoint}')
    args.checkpoint = args.checkpoint or args.weights
    return args


def main() -> None:
    """Check the inputs, then test."""
    args = parse_args()
    try:
        cfg = read_config(args.config, args.cfg_options, args.work_dir)
        cfg.resume = False
        cfg.load_from = args.checkpoint or cfg.get('load_from')
        check_test(cfg)
        use_launcher(cfg, args.launcher)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    build_runner(cfg).test()


if __name__ == '__main__':
    main()
