"""The constants of the tracking loop."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any


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
    """

    search_factor: float = 5.0
    template_factor: float = 2.0
    num_online_templates: int = 1
    update_interval: int = 200
    score_threshold: float = 0.5
    max_score_decay: float = 1.0
    clip_margin: int = 10

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

    def _check(self, name: str, kind: type, valid: Any, expected: str) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, kind) or not valid(value):
            raise ValueError(f'{name} is {value!r}, expected {expected}; correct it in test_cfg.')
