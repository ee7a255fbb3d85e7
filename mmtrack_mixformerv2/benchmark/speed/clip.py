"""The video that trackers are timed on: its frames as a user's program decodes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...datasets.frame_files import ANNOTATION
from ...evaluation.box_files import read_boxes
from ...video import read_frames
from ..evaluation import render_test_set


@dataclass(frozen=True)
class Clip:
    """A video or a folder of pictures, and where the target is.

    Attributes:
        source: The video file or the folder.
        boxes_xywh: Pixels ``(N, 4)``; frames after the last row have its box.
        size: Width and height of the frames in pixels.
    """

    source: Path
    boxes_xywh: np.ndarray
    size: tuple[int, int]

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Decode again and again from the first frame on.

        Yields:
            The frame, RGB uint8 ``(height, width, 3)``, and the target's box ``(4,)``.
        """
        last = len(self.boxes_xywh) - 1
        while True:
            for index, frame in enumerate(read_frames(self.source)):
                yield frame[..., ::-1], self.boxes_xywh[min(index, last)]


def open_clip(source: str | Path, init_xywh: Sequence[float] | None = None) -> Clip:
    """A clip of files that are there.

    Args:
        source: A video file, or a folder of pictures that are taken in the order of their names.
        init_xywh: The target in the first frame, in pixels; by default, ``groundtruth.txt`` in the
            folder says where it is in each.

    Raises:
        FileNotFoundError: If there is no such file, or nothing says where the target is.
        ValueError: If a frame or the annotation cannot be read.
    """
    source = Path(source)
    first = next(read_frames(source))
    if init_xywh is None:
        if not (source / ANNOTATION).is_file():
            raise FileNotFoundError(
                f'there is no {source / ANNOTATION} that says where the target is; give its box in '
                'the first frame: --init x,y,width,height'
            )
        boxes = _fill_gaps(read_boxes(source / ANNOTATION))
    else:
        boxes = np.asarray([init_xywh], np.float64)
    return Clip(source, boxes, (first.shape[1], first.shape[0]))


def render_clip(folder: Path, frames: int, size: tuple[int, int]) -> Clip:
    """A rendered clip, as JPEG files.

    Args:
        folder: Gets the files.
        frames: How many, at least 20.
        size: Width and height in pixels.
    """
    render_test_set(folder, sequences=1, frames=frames, size=size)
    (sequence,) = (path for path in (folder / 'val').iterdir() if path.is_dir())
    return open_clip(sequence)


def choose_clip(
    source: Path | None, init_xywh: Sequence[float] | None, folder: Path, size: tuple[int, int]
) -> Clip:
    """The clip that was asked for, see :func:`open_clip`, or without any a rendered one.

    Args:
        source: A video or a folder of pictures; None for a rendered clip.
        init_xywh: The target in the first frame of ``source``.
        folder: Gets the rendered files.
        size: Their width and height in pixels.
    """
    if source is not None:
        return open_clip(source, init_xywh)
    return render_clip(folder, frames=20, size=size)


def _fill_gaps(boxes_xywh: np.ndarray) -> np.ndarray:
    """Boxes of which none is without area but the first: there, the one before stays."""
    filled = boxes_xywh[:1]
    for box in boxes_xywh[1:]:
        filled = np.vstack([filled, box if (box[2:] > 0).all() else filled[-1]])
    return filled
