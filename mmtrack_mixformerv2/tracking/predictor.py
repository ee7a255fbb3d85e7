"""The network as the tracking loop sees it: one target at a time, or several in one forward."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np

from .state import SequenceState


class Prediction(NamedTuple):
    """What a network says about one search crop.

    Attributes:
        box: left, top, right, bottom in [0, 1] of the crop.
        score: In [0, 1], or None from a model without a score head.
        edges: Distributions of the four edges, ordered as in ``box``: probabilities of shape
            ``(4, bins)``, where bin ``i`` stands for ``i / bins`` of the crop (MixFormerV2, Eq. 2).
            None from a model that has none.
    """

    box: Sequence[float]
    score: float | None = None
    edges: np.ndarray | None = None


class Predictor(Protocol):
    """A network as the loop sees it.

    It may have ``crops``, a :class:`~.crops.Crops` that cuts out what it is to see; crops are then
    whatever that gives.

    Attributes:
        search_size: Side of the search crop it wants, pixels.
        template_size: Side of the template crops it wants, pixels.
    """

    search_size: int
    template_size: int

    def encode_templates(self, crops: list[Any]) -> Any:
        """Encode RGB uint8 crops ``(template_size, template_size, 3)``, the static one first."""

    def predict(self, search_crop: Any, cache: Any) -> Prediction:
        """Find the target in an RGB uint8 crop ``(search_size, search_size, 3)``.

        A plain tuple with a box and a score will do. Without scores the templates are never
        refreshed.
        """


class BatchPredictor(Predictor, Protocol):
    """A :class:`Predictor` that can do several targets in one forward."""

    def encode_templates_batch(self, crops: Sequence[list[Any]]) -> list[Any]:
        """What ``encode_templates`` gives for each list of as many crops."""

    def predict_batch(self, search_crops: Sequence[Any], caches: Sequence[Any]) -> list[Prediction]:
        """What ``predict`` gives for each pair of crop and cache."""


def can_batch(predictor: Predictor) -> bool:
    """Whether it is a :class:`BatchPredictor`."""
    return hasattr(predictor, 'predict_batch')


def predict_all(
    predictor: Predictor, search_crops: Sequence[Any], states: Sequence[SequenceState], batch: bool
) -> list[Prediction]:
    """Find each target in its crop: one forward for all with as many templates, if ``batch``."""
    if not batch:
        return [
            Prediction(*predictor.predict(crop, s.cache)) for crop, s in zip(search_crops, states)
        ]
    predictions = [None] * len(states)
    for group in _by_templates(states):
        crops, caches = [search_crops[i] for i in group], [states[i].cache for i in group]
        for i, prediction in zip(group, predictor.predict_batch(crops, caches)):
            predictions[i] = Prediction(*prediction)
    return predictions


def encode_all(predictor: Predictor, states: Sequence[SequenceState], batch: bool) -> None:
    """Give each state the ``cache`` of its templates, in as few forwards as :func:`predict_all`."""
    for group in _by_templates(states):
        crops = [states[i].memory.templates for i in group]
        if batch:
            caches = predictor.encode_templates_batch(crops)
        else:
            caches = [predictor.encode_templates(one) for one in crops]
        for i, cache in zip(group, caches):
            states[i].cache = cache


def _by_templates(states: Sequence[SequenceState]) -> list[list[int]]:
    """Indices of states with equal numbers of templates, which fit into one batch."""

    def count(index: int) -> int:
        return len(states[index].memory.templates)

    return [list(group) for _, group in groupby(sorted(range(len(states)), key=count), key=count)]
