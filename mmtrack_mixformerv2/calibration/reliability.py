"""How far probabilities can be taken at their word (Guo et al., ICML 2017)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score


class Reliability(NamedTuple):
    """Frames in bins of equal width of the confidence; NaN where a bin is empty.

    Attributes:
        confidence: Mean confidence in each bin, ``(bins,)``.
        accuracy: Share of the frames that are right in each bin, ``(bins,)``.
        count: Number of frames in each bin, ``(bins,)``.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def reliability(confidences: np.ndarray, right: np.ndarray, bins: int = 15) -> Reliability:
    """Sort frames into bins.

    Args:
        confidences: In [0, 1], ``(M,)``.
        right: Bool ``(M,)``.
        bins: Number of bins of equal width.

    Raises:
        ValueError: If there is nothing, or a value is out of range.
    """
    confidences, right = np.asarray(confidences, float), np.asarray(right, float)
    if not len(confidences) or confidences.shape != right.shape:
        raise ValueError(
            f'{confidences.shape} confidences and {right.shape} labels; expected as many of both, '
            'and at least one.'
        )
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError('confidences lie in [0, 1]; there are others, or NaN, among these.')
    index = np.minimum((confidences * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid='ignore'):
        mean, share = (
            np.bincount(index, weights=values, minlength=bins) / count
            for values in (confidences, right)
        )
    return Reliability(mean, share, count)


def expected_calibration_error(confidences: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy of a bin, weighted by its frames; in [0, 1]."""
    found = reliability(confidences, right, bins)
    gaps = np.abs(found.confidence - found.accuracy)
    return float(np.nansum(gaps * found.count) / found.count.sum())


def brier_score(confidences: np.ndarray, right: np.ndarray) -> float:
    """Mean squared distance between confidence and truth; in [0, 1], less is better."""
    return float(np.mean((np.asarray(confidences, float) - np.asarray(right, float)) ** 2))


def rank_quality(confidences: np.ndarray, right: np.ndarray) -> float:
    """AUROC: how often a right frame has a higher confidence than a wrong one; NaN without both."""
    right = np.asarray(right, bool)
    if right.all() or not right.any():
        return float('nan')
    return float(roc_auc_score(right, confidences))


def reliability_figure(found: dict[str, Reliability]) -> Figure:
    """Reliability diagrams side by side; bars below the diagonal are over-confident.

    Args:
        found: Title and bins of each diagram.
    """
    figure = Figure(figsize=(3.4 * len(found), 3.9), layout='constrained')
    rows = figure.subplots(
        2, len(found), squeeze=False, sharex=True, height_ratios=(3, 1), sharey='row'
    )
    for (title, one), top, bottom in zip(found.items(), *rows):
        edges = np.linspace(0, 1, len(one.count) + 1)
        middle, width = (edges[1:] + edges[:-1]) / 2, edges[1]
        top.bar(middle, np.nan_to_num(one.accuracy), 0.92 * width, color='tab:blue')
        top.plot([0, 1], [0, 1], color='black', linewidth=1, linestyle='--')
        full = one.count > 0
        top.plot(one.confidence[full], one.accuracy[full], 'o', color='tab:orange', markersize=3)
        top.set(title=title, xlim=(0, 1), ylim=(0, 1))
        bottom.bar(middle, one.count, 0.92 * width, color='tab:gray')
        bottom.set(xlabel='confidence', yscale='log')
    rows[0][0].set_ylabel('share of right boxes')
    rows[1][0].set_ylabel('frames')
    return figure
