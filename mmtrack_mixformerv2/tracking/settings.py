"""The constants of the tracking loop."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .confidence import ConfidenceModel, StatePolicy


@dataclass(frozen=True)
class TrackingSettings:
    """What the online tracker may be told; the same names are the keys of ``test_cfg``.

    Attributes:
        search_factor: Side of the search region in units of the box's ``sqrt(width * height)``.
        template_factor: The same for templates.
        num_online_templates: How many templates are refreshed; 1 is published, 0 none.
        update_interval: Frames from one refresh to the next.
        score_threshold: Least score of a new template, exclusive.
        max_score_decay: Factor on the best score per frame.
        clip_margin: Pixels of a box that stay inside of the image; also its least size.
        confidence: How the confidence is computed, or a dict of its values; None leaves it out, or
            takes what needs no calibration where there is a policy.
        policy: What follows from the confidence, or a dict of its values; None, as published: the
            target is tracked, whatever happens.
    """

    search_factor: float = 5.0
    template_factor: float = 2.0
    num_online_templates: int = 1
    update_interval: int = 200
    score_threshold: float = 0.5
    max_score_decay: float = 1.0
    clip_margin: int = 10
    confidence: ConfidenceModel | None = None
    policy: StatePolicy | None = None

    def __post_init__(self) -> None:
        self._check('search_factor', numbers.Real, lambda v: 0 < v < math.inf, 'a positive number')
        self._check(
            'template_factor', numbers.Real, lambda v: 0 < v < math.inf, 'a positive number'
        )
        self._check('num_online_templates', numbers.Integral, lambda v: v >= 0, 'an integer >= 0')
        self._check('update_interval', numbers.Integral, lambda v: v >= 1, 'an integer >= 1')
        self._check('score_threshold', numbers.Real, lambda v: 0 <= v <= 1, 'a number in [0, 1]')
        self._check('max_score_decay', numbers.Real, lambda v: 0 < v <= 1, 'a number in (0, 1]')
        self._check('clip_margin', numbers.Integral, lambda v: v >= 1, 'an integer >= 1')
        self._build('confidence', ConfidenceModel)
        self._build('policy', StatePolicy)

    def _build(self, name: str, kind: type) -> None:
        """Make a value of a dict, as configs have it."""
        value = getattr(self, name)
        if isinstance(value, Mapping):
            try:
                object.__setattr__(self, name, kind(**value))
            except TypeError as error:
                raise ValueError(f'{name} is {dict(value)}: {error}') from error
        elif value is not None and not isinstance(value, kind):
            raise ValueError(
                f'{name} is {value!r}, expected a {kind.__name__}, a dict of its values, or None'
            )

    def _check(self, name: str, kind: type, valid: Any, expected: str) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, kind) or not valid(value):
            raise ValueError(f'{name} is {value!r}, expected {expected}; correct it in test_cfg.')
