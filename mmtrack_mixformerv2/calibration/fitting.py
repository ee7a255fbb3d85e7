"""From runs over annotated sequences to a confidence: a logistic regression, fitted on one part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from ..tracking import ConfidenceModel
from .runs import SequenceRun


class Samples(NamedTuple):
    """Frames of many sequences, without the first ones, whose boxes were given.

    Attributes:
        features: See :func:`~mmtrack_mixformerv2.tracking.confidence.features`, ``(M, 2)``.
        scores: In [0, 1] or NaN, ``(M,)``.
        right: Whether the box was on the target, bool ``(M,)``.
    """

    features: np.ndarray
    scores: np.ndarray
    right: np.ndarray

    def confidences(self, model: ConfidenceModel) -> np.ndarray:
        """What a model makes of the features, ``(M,)``."""
        x = model.bias + self.features @ (model.score, model.spread)
        return 1 / (1 + np.exp(-np.clip(x, -700, 700)))


def split_sequences(count: int, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences to fit on, and others to measure on.

    Neighbouring frames are nearly copies, so frames of one sequence never are on both sides.

    Args:
        count: Number of sequences, at least 2.
        share: To fit on, in (0, 1); each side gets at least one.
        seed: Of the shuffle.

    Returns:
        Sorted indices of both parts.

    Raises:
        ValueError: If a number is out of range.
    """
    if count < 2:
        raise ValueError(
            f'{count} sequence; expected at least 2, to fit on one part and measure on the other.'
        )
    if not 0 < share < 1:
        raise ValueError(f'share={share}; expected a number between 0 and 1.')
    order = np.random.default_rng(seed).permutation(count)
    cut = min(max(round(share * count), 1), count - 1)
    return np.sort(order[:cut]), np.sort(order[cut:])


def gather_samples(runs: Sequence[SequenceRun]) -> Samples:
    """All frames of some runs but the first ones.

    Raises:
        ValueError: If there are none.
    """
    if not any(len(run.iou) > 1 for run in runs):
        raise ValueError('there is no tracked frame; expected sequences of two frames or more.')
    return Samples(
        np.concatenate([run.features[1:] for run in runs]),
        np.concatenate([run.scores[1:] for run in runs]),
        np.concatenate([run.right[1:] for run in runs]),
    )


def fit_confidence(samples: Samples, calibrated_on: str = '') -> ConfidenceModel:
    """The logistic regression of ``right`` on the features, without regularisation.

    A feature that is the same in all frames, as the logit of a model without a score head, gets
    weight 0.

    Args:
        samples: To fit on.
        calibrated_on: See :class:`ConfidenceModel`.

    Raises:
        ValueError: If all samples are right, or none is.
    """
    right = int(samples.right.sum())
    if right in (0, len(samples.right)):
        raise ValueError(
            f'{right} of {len(samples.right)} boxes are on the target; a calibration needs frames '
            'of both kinds, so take sequences in which the target is lost or hidden at times.'
        )
    mean, deviation = samples.features.mean(axis=0), samples.features.std(axis=0)
    varies = deviation > 1e-9
    if not varies.any():
        raise ValueError('neither scores nor edge distributions vary; there is nothing to fit.')
    scaled = (samples.features - mean)[:, varies] / deviation[varies]
    fitted = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(scaled, samples.right)
    weights = np.zeros(2)
    weights[varies] = fitted.coef_[0] / deviation[varies]
    bias = float(fitted.intercept_[0] - weights @ mean)
    return ConfidenceModel(
        round(bias, 4), round(float(weights[0]), 4), round(float(weights[1]), 4), calibrated_on
    )
