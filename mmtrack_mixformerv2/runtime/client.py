"""Track targets through a video with an exported model: NumPy, OpenCV and one runtime.

All targets are followed in one forward per frame. The boxes go to --out, or to the screen.
``mixformerv2 track`` does the same and more: videos, states, CSV, JSON.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..command_line import at_least, parse_box
from ..outputs.track_files import RowFiles, number_paths
from .model_info import BACKENDS, DTYPES
from .opening import DEVICES, open_exported

EPILOG = """examples:
  python -m mmtrack_mixformerv2.runtime.client exported clip.mp4 --init 316,139,112,116
  python -m mmtrack_mixformerv2.runtime.client exported pictures --init 316,139,112,116 \\
      --init 20,40,60,80 --out boxes.txt --backend openvino
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mmtrack_mixformerv2.runtime.client',
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('folder', type=Path, help='of the exported model: its template and its search graph')
    add('video', help='a video file, a folder of pictures in order of name, a camera or a stream')
    add(
        '--init',
        type=parse_box,
        action='append',
        required=True,
        metavar='X,Y,W,H',
        help='a target in the first frame: left, top, width, height in pixels; repeat it for more',
    )
    add(
        '--out',
        type=Path,
        metavar='FILE',
        help='text file with a row x,y,width,height per frame, the first frame included; of '
        'several targets, each has its own: boxes.txt becomes boxes_1.txt, boxes_2.txt, ...',
    )
    add('--backend', choices=BACKENDS, help='what runs the model (default: by the kind of files)')
    add('--dtype', choices=DTYPES, help='what is computed in (default: what was exported)')
    add('--device', choices=DEVICES, default='cpu', help='(default cpu)')
    add(
        '--threads',
        type=at_least(0),
        default=0,
        metavar='N',
        help='of the CPU (default: OMP_NUM_THREADS if that is set, else all cores)',
    )
    return parser.parse_args(argv)


def track_video(args: argparse.Namespace) -> int:
    """Write the boxes of each frame as soon as they are found; gives the number of frames."""
    tracker = open_exported(
        args.folder,
        backend=args.backend,
        dtype=args.dtype,
        num_threads=args.threads,
        device=args.device,
    )
    frames = tracker.track(args.video, args.init)
    first = next(frames)  # what is wrong with the video or a box shows before a file is replaced
    with RowFiles({'txt': number_paths(args.out, len(args.init))}, force=True) as rows:
        for results in itertools.chain([first], frames):
            rows.write(results)
            if args.out is None:
                boxes = np.concatenate([result.box_xywh for result in results])
                print(','.join(f'{value:.2f}' for value in boxes))
    return rows.frames


def main(argv: Sequence[str] | None = None) -> None:
    """Track and write the boxes."""
    args = parse_args(argv)
    start = time.perf_counter()
    try:
        count = track_video(args)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    if args.out is not None:
        print('written: ' + ', '.join(map(str, number_paths(args.out, len(args.init)))))
    seconds = time.perf_counter() - start
    print(f'{count} frames, {seconds:.1f} s with opening the model', file=sys.stderr)


if __name__ == '__main__':
    main()
