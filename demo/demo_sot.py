"""Track a target in a video, with the options of MMTracking's demo of the same name.

It runs ``mixformerv2 track``, which has more of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

# First: then the package does not import OpenMMLab before the options are read.
import mixformerv2_cli  # noqa: F401
from mmtrack_mixformerv2.cli import main as run_command

EPILOG = """examples:
  python demo/demo_sot.py mixformerv2-tiny --input clip.mp4 --init 316,139,112,116
  python demo/demo_sot.py CONFIG --checkpoint WEIGHTS --input pictures --gt_bbox_file boxes.txt
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these options; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='a config file, or a name of the model zoo')
    add('--input', required=True, help='a video, a folder of pictures, or the number of a camera')
    add('--output', help='folder for the results (default work_dirs/track)')
    add('--checkpoint', help='weights')
    add('--device', help='cpu or cuda')
    add('--show', action='store_true', help='show it in a window; q ends')
    add('--fps', help='of the video that is written')
    target = parser.add_mutually_exclusive_group()
    target.add_argument('--init', metavar='X,Y,W,H', help='the target; else draw it with the mouse')
    target.add_argument('--gt_bbox_file', help='boxes whose first line is the target')
    args = parser.parse_args(argv)
    options = {
        '--model': args.config,
        '--checkpoint': args.checkpoint,
        '--device': args.device,
        '--out': args.output,
        '--rate': args.fps,
        '--init': args.init,
        '--init-file': args.gt_bbox_file,
    }
    # With =, as a value may begin with a minus.
    words = [f'{name}={value}' for name, value in options.items() if value is not None]
    words += ['--show'] if args.show else []
    words += ['--select'] if args.init is None and args.gt_bbox_file is None else []
    return run_command(['track', args.input, *words])


if __name__ == '__main__':
    sys.exit(main())
