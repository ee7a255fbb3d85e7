"""Sequences of random boxes, and a reference for success and precision in plain loops."""

from __future__ import annotations

import math

import numpy as np

from mmtrack_mixformerv2.evaluation import Sequence
from mmtrack_mixformerv2.evaluation.random_tracks import IMAGE_SIZE, random_result, random_truth

HEIGHT, WIDTH = IMAGE_SIZE
__all__ = ['HEIGHT', 'WIDTH', 'make_sequence', 'random_result', 'random_truth', 'reference']


def make_sequence(boxes, name='car-1', visible=None, cover=None) -> Sequence:
    boxes = np.array(boxes, np.float64)
    visible = np.ones(len(boxes), bool) if visible is None else np.array(visible, bool)
    return Sequence(name, [f'{i + 1:08d}.jpg' for i in range(len(boxes))], boxes, visible, cover)


def reference(truth, visible, result, unseen, no_box, positive_corner, repeats_empty) -> dict:
    """Success, precision, normalised precision of one sequence in percent, frame by frame."""
    frames = len(truth)
    used = [list(box) for box in result]
    for i in range(1, frames):
        empty = used[i][2] <= 0 or used[i][3] <= 0
        if repeats_empty and empty and not any(math.isnan(value) for value in truth[i]):
            used[i] = used[i - 1]
    used[0] = list(truth[0])
    overlaps, pixels, norms = [], [], []
    for i in range(frames):
        is_box = truth[i][2] > 0 and truth[i][3] > 0  # False for NaN
        hidden = unseen == 'missed' and not visible[i]
        if hidden or (no_box == 'missed' and not is_box):
            overlap, pixel, norm = -1, math.inf, math.inf
        elif not is_box or (positive_corner and (truth[i][0] <= 0 or truth[i][1] <= 0)):
            overlap, pixel, norm = -1, -1, -1
        else:
            overlap = _iou(truth[i], used[i])
            pixel = _distance(truth[i], used[i], 1, 1)
            norm = _distance(truth[i], used[i], truth[i][2], truth[i][3])
        overlaps.append(overlap)
        pixels.append(pixel)
        norms.append(norm)
    success = [sum(o > k / 20 for o in overlaps) / frames for k in range(21)]
    return dict(
        success=100 * sum(success) / 21,
        norm_precision=100 * sum(n <= 0.2 for n in norms) / frames,
        precision=100 * sum(p <= 20 for p in pixels) / frames,
    )


def _distance(a, b, unit_x, unit_y) -> float:
    """Of the centres, in this order: it tells on which side of a threshold a rounded one falls."""
    x = (b[0] + (b[2] - 1) / 2) / unit_x - (a[0] + (a[2] - 1) / 2) / unit_x
    y = (b[1] + (b[3] - 1) / 2) / unit_y - (a[1] + (a[3] - 1) / 2) / unit_y
    return math.sqrt(x * x + y * y)


def _iou(a, b) -> float:
    """Counts pixels as the Matlab toolkits do: a box from x to x + width - 1."""
    across = min(a[0] + a[2] - 1, b[0] + b[2] - 1) - max(a[0], b[0]) + 1
    down = min(a[1] + a[3] - 1, b[1] + b[3] - 1) - max(a[1], b[1]) + 1
    if across <= 0 or down <= 0:
        return 0.0
    return min(across * down / (a[2] * a[3] + b[2] * b[3] - across * down), 1.0)
