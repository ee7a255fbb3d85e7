"""How sure the tracker is of its box, and what follows from that: tracked, uncertain or lost.

The score head of MixFormerV2 is trained to tell crops with the target from crops without it; it is
no probability. The edge distributions say something of their own: where the target is hidden they
widen (MixFormerV2, section 3.2, has them as the measure of uncertainty). A logistic regression on
both, fitted on annotated videos, gives a probability, and a policy with hysteresis acts on it. The
published tracker has neither.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np

_LEAST_SCORE = 1e-6
_LEAST_SPREAD = 1e-4


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


class TargetState(str, Enum):
    """What is known of the target in a frame."""

    TRACKED = 'tracked'
    UNCERTAIN = 'uncertain'
    LOST = 'lost'

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ConfidenceModel:
    """Probability that the box is on the target (IoU of 0.5 or more), by logistic regression.

    ``sigmoid(bias + score * logit(s) + spread * log(r))`` of the score s and the relative spread r
    of the edges, see :func:`features`.

    Attributes:
        bias: The constant.
        score: Weight of the score's logit.
        spread: Weight of the logarithm of the spread; negative where wide edges mean doubt.
        calibrated_on: What the numbers were fitted on, for people; empty if they were not.

    Raises:
        ValueError: If a weight is not a finite number.
    """

    bias: float = 0.0
    score: float = 1.0
    spread: float = 0.0
    calibrated_on: str = ''

    def __post_init__(self) -> None:
        for name in ('bias', 'score', 'spread'):
            value = getattr(self, name)
            if not _is_number(value) or not math.isfinite(value):
                raise ValueError(f'confidence.{name} is {value!r}, expected a finite number')

    def __call__(self, score: float | None, edges: np.ndarray | None) -> float:
        """Confidence in [0, 1].

        Args:
            score: In [0, 1], or None.
            edges: Probabilities ``(4, bins)``, or None.
        """
        logit, spread = features(score, edges)
        x = self.bias + self.score * logit + self.spread * spread
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


# For models that were not calibrated: the score as it is, or the spread alone.
BY_SCORE = ConfidenceModel()
BY_SPREAD = ConfidenceModel(bias=-2.0, score=0.0, spread=-2.0)


def features(score: float | None, edges: np.ndarray | None) -> tuple[float, float]:
    """What the confidence is computed from.

    Args:
        score: In [0, 1], or None.
        edges: Probabilities ``(4, bins)``, ordered left, top, right, bottom, or None.

    Returns:
        The logit of the score; the logarithm of the mean standard deviation of the edges in units
        of ``sqrt(width * height)`` of the box. 0 for what is not there.
    """
    logit = spread = 0.0
    if score is not None:
        score = min(max(score, _LEAST_SCORE), 1 - _LEAST_SCORE)
        logit = math.log(score / (1 - score))
    if edges is not None:
        spread = math.log(max(relative_spread(edges), _LEAST_SPREAD))
    return logit, spread


def relative_spread(edges: np.ndarray) -> float:
    """Mean standard deviation of edge distributions ``(4, bins)`` over the size of their box."""
    positions = np.arange(edges.shape[1]) / edges.shape[1]
    mean = edges @ positions
    deviation = np.sqrt(np.maximum(edges @ positions**2 - mean**2, 0))
    width, height = np.maximum(mean[2:] - mean[:2], 1 / edges.shape[1])
    return float(deviation.mean() / math.sqrt(width * height))


@dataclass
class TargetMemory:
    """What the policy remembers of a target.

    Attributes:
        state: After the last frame.
        streak: Frames in a row that speak for a change of the state.
        promising: Whether the last box of a lost target is worth a closer look.
        anchor_xywh: Last box that was tracked, image pixels.
    """

    anchor_xywh: Sequence[float]
    state: TargetState = TargetState.TRACKED
    streak: int = 0
    promising: bool = False


@dataclass(frozen=True)
class StatePolicy:
    """From confidences to states, with hysteresis, and where to search next.

    A target is uncertain from the first frame below ``uncertain_below`` until one reaches
    ``tracked_above``; it is lost after ``patience`` frames in a row below ``lost_below``, and
    tracked again after ``confirm`` frames in a row that reach ``tracked_above``. While it is lost,
    the search region is ``lost_search_scale`` times as wide and lies where the target was tracked
    last, but where a box reaches ``lost_below``: that is looked at closely, in the next frame, in a
    region of the usual width. Templates are replaced only in tracked frames. The defaults are the
    best of some that were tried on rendered sequences, see ``docs/states.md``.

    Attributes:
        tracked_above: Confidence in [0, 1].
        uncertain_below: Confidence in [0, 1], at most ``tracked_above``.
        lost_below: Confidence in [0, 1], at most ``uncertain_below``.
        patience: Frames, 1 or more.
        confirm: Frames, 1 or more.
        lost_search_scale: Factor on ``search_factor`` while the target is lost, 1 or more.

    Raises:
        ValueError: If a value is out of range, or the three confidences are not in order.
    """

    tracked_above: float = 0.5
    uncertain_below: float = 0.4
    lost_below: float = 0.25
    patience: int = 4
    confirm: int = 1
    lost_search_scale: float = 1.5

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            whole = one.name in ('patience', 'confirm')
            if not _is_number(value) or (whole and not isinstance(value, numbers.Integral)):
                raise ValueError(
                    f'policy.{one.name} is {value!r}, expected a {"whole " * whole}number'
                )
        if not 0 <= self.lost_below <= self.uncertain_below <= self.tracked_above <= 1:
            raise ValueError(
                f'policy has lost_below={self.lost_below}, uncertain_below={self.uncertain_below}, '
                f'tracked_above={self.tracked_above}; expected them in this order, in [0, 1]'
            )
        for name in ('patience', 'confirm', 'lost_search_scale'):
            if not 1 <= getattr(self, name) < math.inf:
                raise ValueError(f'policy.{name} is {getattr(self, name)}, expected 1 or more')

    def step(self, memory: TargetMemory, confidence: float, box_xywh: Sequence[float]) -> None:
        """Take the confidence of a frame, in [0, 1], and its box into account."""
        sure = confidence >= self.tracked_above
        if memory.state is TargetState.LOST:
            memory.streak = memory.streak + 1 if sure else 0
            memory.promising = confidence >= self.lost_below
            if memory.streak >= self.confirm:
                memory.state, memory.streak = TargetState.TRACKED, 0
        elif confidence < self.lost_below:
            memory.state, memory.streak = TargetState.UNCERTAIN, memory.streak + 1
            if memory.streak >= self.patience:
                memory.state, memory.streak, memory.promising = TargetState.LOST, 0, False
        else:
            memory.streak = 0
            if sure:
                memory.state = TargetState.TRACKED
            elif confidence < self.uncertain_below:
                memory.state = TargetState.UNCERTAIN
        if memory.state is TargetState.TRACKED:
            memory.anchor_xywh = box_xywh

    def next_search(
        self, memory: TargetMemory, box_xywh: Sequence[float]
    ) -> tuple[Sequence[float], float]:
        """Around which box the next search region lies, and how many times as wide it is."""
        if memory.state is TargetState.LOST and not memory.promising:
            return memory.anchor_xywh, self.lost_search_scale
        return box_xywh, 1.0
