"""Train a tracker. See --help for examples."""

from __future__ import annotations

import argparse
import sys

from mmengine.config import DictAction

# At module top level: spawned data loader workers import this file again and need it as well.
from mmtrack_mixformerv2.engine import (
    build_runner,
    check_training,
    read_config,
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
        '--work-dir', help='folder for logs and checkpoints (default: work_dirs/<config name>)'
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: compute the losses in bfloat16'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on with an interrupted training, from the last checkpoint in the work directory '
        'or from the named one; starts anew if there is none',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size; the config says what it is for',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config by dotted name; lists as key=a,b or key="[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed training (default: none)',
    )
    # Older launchers pass the rank; torchrun, slurm and mpi set it in the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Check the inputs, then train."""
    args = parse_args()
    try:
        cfg = read_config(args.config, args.cfg_options, args.work_dir)
        if args.resume:
            use_resume(cfg, None if args.resume == 'auto' else args.resume)
        check_training(cfg)
        if args.amp:
            use_mixed_precision(cfg)
        if args.auto_scale_lr:
            use_learning_rate_scaling(cfg)
        use_launcher(cfg, args.launcher)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    build_runner(cfg).train()


if __name__ == '__main__':
    main()
