"""Average overlap and success rates of GOT-10k (Huang et al., 2019), as its toolkit counts them.

The first frame is left out, and so are frames where the whole target is covered. All other frames
of all sequences count the same. Boxes that leave the image are changed before they are compared,
see :func:`clip`.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

import numpy as np

from .box_files import name_lines
from .pairs import check_pairs, paired_iou
from .sequences import Sequence

SUCCESS_RATES = (0.5, 0.75)
OVERLAP_THRESHOLDS = np.arange(101) / 100  # of the success curve: overlap > threshold


def overlaps(sequence: Sequence, boxes_xywh: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Overlaps of the frames that count.

    Args:
        sequence: With an annotation and a cover for every frame.
        boxes_xywh: The result, of shape ``(N, 4)``.
        image_size: Height and width of the frames in pixels.

    Returns:
        In [0, 1], of shape ``(M,)``; M may be 0.

    Raises:
        ValueError: If the sequence has no cover, a frame that counts is annotated with NaN, or for
            a reason of :func:`~mmtrack_mixformerv2.evaluation.pairs.check_pairs`.
    """
    boxes = check_pairs(sequence, boxes_xywh)
    cover = sequence.cover
    given = 0 if cover is None else len(cover)
    if given != len(sequence):
        raise ValueError(
            f'{sequence.name} has {len(sequence)} frames, but the cover of {given}; GOT-10k keeps '
            'it in the file cover.label beside the boxes'
        )
    counted = np.asarray(cover) > 0
    counted[0] = False
    truth = sequence.boxes_xywh
    bad = {
        int(row) + 1: f'is {truth[row].tolist()}, but the cover is {cover[row]:g}'
        for row in np.flatnonzero(counted & ~np.isfinite(truth).all(axis=1))
    }
    if bad:
        raise ValueError(f'annotation of {sequence.name}: {name_lines(bad)}')
    return paired_iou(clip(truth[counted], image_size), clip(boxes[counted], image_size))


def clip(boxes_xywh: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Moves and cuts boxes as the toolkit does.

    What leaves the image at the right or at the bottom is cut off. What leaves it at the left or at
    the top is moved in and keeps its size: -10, 0, 30, 30 becomes 0, 0, 30, 30.
    """
    limits = np.array(image_size[::-1], np.float64)
    corners = np.clip(boxes_xywh[:, :2], 0, limits)
    return np.hstack([corners, np.clip(boxes_xywh[:, 2:], 0, limits - corners)])


def summary(overlaps_of_sequences: SequenceOf[np.ndarray]) -> dict[str, float]:
    """The numbers of papers, over one sequence or many.

    Returns:
        In percent. ``AO``: mean overlap. ``SR_0.5``, ``SR_0.75``: frames with a greater overlap.
        NaN if no frame counts.

    Raises:
        ValueError: If there is no sequence.
    """
    pooled = _pool(overlaps_of_sequences)
    values = {'AO': pooled} | {f'SR_{rate}': pooled > rate for rate in SUCCESS_RATES}
    return {
        name: 100 * float(value.mean()) if len(pooled) else float('nan')
        for name, value in values.items()
    }


def success_curve(overlaps_of_sequences: SequenceOf[np.ndarray]) -> np.ndarray:
    """Share of frames, in [0, 1], above each of :data:`OVERLAP_THRESHOLDS`.

    Returns:
        Of shape ``(101,)``; NaN if no frame counts.

    Raises:
        ValueError: If there is no sequence.
    """
    pooled = np.sort(_pool(overlaps_of_sequences))
    if not len(pooled):
        return np.full(len(OVERLAP_THRESHOLDS), np.nan)
    return 1 - np.searchsorted(pooled, OVERLAP_THRESHOLDS, side='right') / len(pooled)


def _pool(overlaps_of_sequences: SequenceOf[np.ndarray]) -> np.ndarray:
    if not len(overlaps_of_sequences):
        raise ValueError('there is no sequence to take the mean of')
    return np.concatenate(overlaps_of_sequences)
