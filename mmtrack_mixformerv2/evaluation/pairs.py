"""A result beside its annotation, frame by frame. Boxes are x, y, width, height in pixels."""

from __future__ import annotations

import numpy as np

from .box_files import name_lines
from .sequences import Sequence


def check_pairs(sequence: Sequence, boxes_xywh: np.ndarray) -> np.ndarray:
    """A result that can be scored against the annotation of its sequence.

    Args:
        sequence: With an annotation for every frame.
        boxes_xywh: The result, of shape ``(N, 4)``.

    Returns:
        The result as float64.

    Raises:
        ValueError: Names the sequence, and the lines where there are any: another shape or length,
            numbers that are not finite, or a sequence without annotation.
    """
    boxes = np.asarray(boxes_xywh, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f'the result of {sequence.name} has shape {boxes.shape}, expected (frames, 4): '
            'x, y, width, height'
        )
    if len(boxes) != len(sequence):
        raise ValueError(
            f'the result of {sequence.name} has {len(boxes)} boxes, but the sequence has '
            f'{len(sequence)} frames; is it the result of another version of the benchmark?'
        )
    if not sequence.annotated:
        raise ValueError(
            f'{sequence.name} has {len(sequence)} frames and {len(sequence.boxes_xywh)} annotated '
            'boxes: there is nothing to compare the result with'
        )
    rows = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(rows):
        bad = {int(row) + 1: f'is {boxes[row].tolist()}' for row in rows}
        raise ValueError(
            f'the result of {sequence.name}, counted from line 1: {name_lines(bad)}; a box is '
            'four finite numbers'
        )
    return boxes


def paired_iou(first_xywh: np.ndarray, second_xywh: np.ndarray) -> np.ndarray:
    """Intersection over union of the boxes at the same place of two lists.

    Args:
        first_xywh: float64 of shape ``(N, 4)``.
        second_xywh: The same.

    Returns:
        In [0, 1], of shape ``(N,)``; 0 where either box has no area.
    """
    start = np.maximum(first_xywh[:, :2], second_xywh[:, :2])
    end = np.minimum(first_xywh[:, :2] + first_xywh[:, 2:], second_xywh[:, :2] + second_xywh[:, 2:])
    common = np.maximum(end - start, 0).prod(axis=1)
    union = first_xywh[:, 2:].prod(axis=1) + second_xywh[:, 2:].prod(axis=1) - common
    # Rounding must not lift the overlap of equal boxes above the threshold 1.
    return np.minimum(np.divide(common, union, out=np.zeros_like(union), where=common > 0), 1)
