"""Test a tracker on a benchmark. See --help for examples."""

from __future__ import annotations

import argparse
import sys

from mmengine.dist import is_main_process

# At module top level: spawned data loader workers import this file again and need it as well.
from mmtrack_mixformerv2.engine import (
    EvaluationError,
    add_run_arguments,
    build_runner,
    check_test,
    leave_launcher,
    read_config,
    use_data_root,
    use_launcher,
    use_restart,
)

# Seconds that processes wait for the one with the longest last sequence.
PATIENCE = 24 * 3600
DESCRIPTION = """Test a tracker on a benchmark.

Several sequences advance together, with one forward for all. A sequence that fails is named and
left out, and the exit status is 1. Finished sequences are kept in the work directory: the same
command, run again after an interruption, goes on with the others."""
EXAMPLES = """examples:
  python tools/test.py CONFIG weights.pth
  python tools/test.py CONFIG --checkpoint weights.pth --work-dir runs/a --data-root /data/LaSOT
  python tools/test.py CONFIG weights.pth --cfg-options test_cfg.num_sequences=64 \\
      test_cfg.dtype=bfloat16                     64 sequences at once, in half precision
  python tools/test.py CONFIG weights.pth --cfg-options test_cfg.backend=openvino \\
      test_cfg.exported=work_dirs/exported/tiny   on another runtime (docs/deployment.md)
  python tools/test.py CONFIG weights.pth --cfg-options test_cfg.strict=True
                                                  bit for bit as one sequence after the other
  python tools/test.py CONFIG weights.pth --cfg-options test_dataloader.num_workers=0
                                                  read frames without threads
  bash tools/dist_test.sh CONFIG weights.pth 2    two GPUs, or two processes on a CPU
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the test')
    parser.add_argument('weights', nargs='?', metavar='checkpoint', help='file with the weights')
    parser.add_argument('--checkpoint', help='the same, as an option')
    parser.add_argument(
        '--data-root', help='folder of the data set, in place of that in the config'
    )
    parser.add_argument(
        '--restart', action='store_true', help='forget the sequences that are finished already'
    )
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
        use_data_root(cfg, args.data_root)
        if args.restart:
            use_restart(cfg)
        check_test(cfg)
        use_launcher(cfg, args.launcher, PATIENCE)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    try:
        build_runner(cfg).test()
        leave_launcher()
    except (EvaluationError, OSError) as error:
        sys.exit(f'error: {error}' if is_main_process() else 1)
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on after the sequences that are finished')


if __name__ == '__main__':
    main()
