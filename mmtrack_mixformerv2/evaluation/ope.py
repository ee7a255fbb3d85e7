"""One-pass evaluation: success, normalised precision and precision.

Follows the evaluation that OTB (Wu et al., 2013), LaSOT (Fan et al., 2019) and TNL2K (Wang et al.,
2021) publish for Matlab, down to the order of the arithmetic, which decides on which side of a
threshold a distance falls. Frame 1 counts, with the annotated box.

Deliberate differences: results of another length and results that are NaN are errors here, where
the toolkits cut the first and repeat the frame before for the second; a sequence without a single
overlapping frame counts as 0, where they leave it out of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import NamedTuple

import numpy as np

from .pairs import check_pairs, paired_iou
from .protocols import Protocol
from .sequences import Sequence

# Divided, not multiplied: so they are the numbers nearest to 0.05, 0.1, 0.15 and so on.
OVERLAP_THRESHOLDS = np.arange(21) / 20  # success: overlap > threshold
PIXEL_THRESHOLDS = np.arange(51.0)  # precision: distance of the centres <= threshold
NORM_THRESHOLDS = np.arange(51) / 100  # the same, in widths and heights of the annotation
PRECISION_INDEX = 20  # 20 px, and 0.2


class Curves(NamedTuple):
    """Share of frames, in [0, 1], that are right at each threshold.

    Attributes:
        success: Of shape ``(21,)``, at :data:`OVERLAP_THRESHOLDS`.
        precision: Of shape ``(51,)``, at :data:`PIXEL_THRESHOLDS`.
        norm_precision: Of shape ``(51,)``, at :data:`NORM_THRESHOLDS`.
    """

    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray


def curves(sequence: Sequence, boxes_xywh: np.ndarray, protocol: Protocol) -> Curves:
    """The curves of one sequence.

    Args:
        sequence: With an annotation for every frame.
        boxes_xywh: The result, of shape ``(N, 4)``.
        protocol: Of kind ``'ope'``.

    Raises:
        ValueError: If the protocol is of another kind, or for a reason of
            :func:`~mmtrack_mixformerv2.evaluation.pairs.check_pairs`.
    """
    if protocol.kind != 'ope':
        raise ValueError(f'{protocol.title} has no curves of success and precision')
    truth, boxes = sequence.boxes_xywh, check_pairs(sequence, boxes_xywh)
    if protocol.repeats_empty:
        boxes = _repeat_empty(boxes, ~np.isnan(truth).any(axis=1))
    boxes = np.concatenate([truth[:1], boxes[1:]])
    scored, precise = _frames(sequence, protocol)
    truth, boxes = truth[scored], boxes[scored]

    # What is neither scored nor precise is right nowhere: it is in the number of frames only.
    frames, always = len(sequence), int(precise.sum())
    overlaps = np.sort(paired_iou(truth, boxes))
    above = len(overlaps) - np.searchsorted(overlaps, OVERLAP_THRESHOLDS, side='right')
    near = _count_near(_centers(boxes) - _centers(truth), PIXEL_THRESHOLDS)
    sizes = truth[:, 2:]
    # Divided before they are subtracted, as in the toolkits.
    near_norm = _count_near(_centers(boxes) / sizes - _centers(truth) / sizes, NORM_THRESHOLDS)
    return Curves(above / frames, (near + always) / frames, (near_norm + always) / frames)


def mean_curves(curves_of_sequences: SequenceOf[Curves]) -> Curves:
    """Mean over sequences, each of which counts the same, as plots show it.

    Raises:
        ValueError: If there is no sequence.
    """
    if not len(curves_of_sequences):
        raise ValueError('there is no sequence to take the mean of')
    return Curves(*(np.mean(kind, axis=0) for kind in zip(*curves_of_sequences, strict=True)))


def summary(curves_of_sequences: SequenceOf[Curves]) -> dict[str, float]:
    """The numbers of papers, over one sequence or many.

    Returns:
        In percent. ``success``: mean of the success curve, also called AUC. ``norm_precision``: at
        0.2. ``precision``: at 20 px.

    Raises:
        ValueError: If there is no sequence.
    """
    mean = mean_curves(curves_of_sequences)
    return dict(
        success=100 * float(mean.success.mean()),
        norm_precision=100 * float(mean.norm_precision[PRECISION_INDEX]),
        precision=100 * float(mean.precision[PRECISION_INDEX]),
    )


def _frames(sequence: Sequence, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Frames ``(N,)`` whose boxes are compared, and frames that are precise whatever the result."""
    no_box = ~sequence.has_box
    outside = (sequence.boxes_xywh[:, :2] <= 0).any(axis=1)
    missed, precise = np.zeros_like(no_box), np.zeros_like(no_box)
    if protocol.positive_corner:
        precise |= outside
    if protocol.no_box == 'precise':
        precise |= no_box
    else:
        missed |= no_box
    if protocol.unseen == 'missed':
        missed |= ~sequence.visible
    return ~(missed | precise), precise & ~missed


def _repeat_empty(boxes: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Puts the box of the frame before for each that has no area, where there is an annotation."""
    kept = (boxes[:, 2:] > 0).all(axis=1) | ~annotated
    return boxes[np.maximum.accumulate(np.where(kept, np.arange(len(boxes)), 0))]


def _centers(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def _count_near(offsets: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many offsets ``(N, 2)`` are not longer than each threshold."""
    distances = np.sort(np.sqrt((offsets**2).sum(axis=1)))
    return np.searchsorted(distances, thresholds, side='right')
