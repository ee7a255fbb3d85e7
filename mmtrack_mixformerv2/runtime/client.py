"""Track targets through a video with an exported model: NumPy, OpenCV and one runtime.

All targets are followed in one forward per frame. The boxes go to --out, or to the screen.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..command_line import at_least, parse_box
from ..drawing import read_frames
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
    add('video', type=Path, help='a video file, or a folder of pictures in order of name')
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


def track_video(args: argparse.Namespace) -> tuple[np.ndarray, float]:
    """Boxes ``(frames, targets, 4)`` xywh, and the seconds per frame without decoding."""
    frames = read_frames(args.video)
    first = next(frames)
    tracker = open_exported(
        args.folder,
        backend=args.backend,
        dtype=args.dtype,
        num_threads=args.threads,
        device=args.device,
    )
    tracker.init(first[..., ::-1], args.init)
    rows, seconds = [np.array(args.init)], 0.0
    for frame in frames:
        start = time.perf_counter()
        results = tracker.update(frame[..., ::-1])
        seconds += time.perf_counter() - start
        rows.append(np.stack([result.box_xywh for result in results]))
    return np.stack(rows), seconds / max(len(rows) - 1, 1)


def write_boxes(path: Path, boxes: np.ndarray) -> list[Path]:
    """Write ``(frames, targets, 4)`` boxes, a file for each target; gives the files."""
    targets = boxes.shape[1]
    paths = [
        path.with_stem(f'{path.stem}_{i + 1}') if targets > 1 else path for i in range(targets)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, one in enumerate(paths):
        np.savetxt(one, boxes[:, target], fmt='%.4f', delimiter=',')
    return paths


def main(argv: Sequence[str] | None = None) -> None:
    """Track and write the boxes."""
    args = parse_args(argv)
    try:
        boxes, seconds = track_video(args)
        if args.out is None:
            np.savetxt(sys.stdout, boxes.reshape(len(boxes), -1), fmt='%.2f', delimiter=',')
        else:
            print('written: ' + ', '.join(map(str, write_boxes(args.out, boxes))))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    print(
        f'{len(boxes)} frames, {1e3 * seconds:.1f} ms per frame without decoding', file=sys.stderr
    )


if __name__ == '__main__':
    main()
