"""Train a tracker. See --help for examples."""

from __future__ import annotations

import argparse
import sys

# At module top level: spawned data loader workers import this file again and need it as well.
from mmtrack_mixformerv2.engine import (
    NonFiniteError,
    WorkDirLock,
    add_run_arguments,
    build_runner,
    check_parents,
    check_training,
    leave_launcher,
    read_config,
    stop_with,
    use_launcher,
    use_learning_rate_scaling,
    use_mixed_precision,
    use_resume,
)

EXAMPLES = """examples:
  python tools/train.py CONFIG
  python tools/train.py CONFIG --resume                      go on after the last checkpoint
  python tools/train.py CONFIG --work-dir runs/a --amp       bfloat16, on a GPU or a CPU
  python tools/train.py CONFIG --cfg-options train_dataloader.batch_size=8 load_from=weights.pth
  bash tools/dist_train.sh CONFIG 2                          two GPUs, or two processes on a CPU
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train a tracker.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the training')
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: compute the losses in bfloat16'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on with an interrupted training, from the last complete checkpoint in the work '
        'directory or from the named one; starts anew if there is none',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size; the config says what it is for',
    )
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Check the inputs, then train."""
    args = parse_args()
    with WorkDirLock() as lock:
        train(args, lock)


def train(args: argparse.Namespace, lock: WorkDirLock) -> None:
    """The same, with the work directory locked before anything in it is read."""
    try:
        cfg = read_config(args.config, args.cfg_options, args.work_dir)
        lock.take(cfg.work_dir)
        if args.resume or (cfg.get('resume') and not cfg.get('load_from')):
            use_resume(cfg, args.resume if args.resume != 'auto' else None)
        check_parents(cfg)
        check_training(cfg)
        if args.amp:
            use_mixed_precision(cfg)
        if args.auto_scale_lr:
            use_learning_rate_scaling(cfg)
        use_launcher(cfg, args.launcher)
        lock.take(cfg.work_dir, create=True)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    try:
        build_runner(cfg).train()
        leave_launcher()
    except NonFiniteError as error:
        sys.exit(stop_with(error))


if __name__ == '__main__':
    main()
