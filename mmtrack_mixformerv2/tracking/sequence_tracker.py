"""The tracking loop: one frame and the state of a sequence in, one box out.

The procedure is the online tracker of MixFormerV2 (arXiv 2305.15896; MCG-NJU/MixFormerV2 at
1041438): crop, predict, map back, clip, refresh the templates. It does not know what predicts:
a :class:`Predictor` may be a torch model, an exported one or a script. Deliberate differences,
none of which changes a box: templates are encoded when they change instead of at every frame,
and more than one online template works.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .region import clip_box, crop_region, region_to_image, validate_box, validate_frame
from .template import TemplateMemory, TemplateRefresh


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


class Predictor(Protocol):
    """A network as the loop sees it.

    Attributes:
        search_size: Side of the search crop it wants, pixels.
        template_size: Side of the template crops it wants, pixels.
    """

    search_size: int
    template_size: int

    def encode_templates(self, crops: list[np.ndarray]) -> Any:
        """Encode RGB uint8 crops ``(template_size, template_size, 3)``, the static one first."""

    def predict(self, search_crop: np.ndarray, cache: Any) -> tuple[Sequence[float], float | None]:
        """Find the target in an RGB uint8 crop ``(search_size, search_size, 3)``.

        Returns:
            left, top, right, bottom in [0, 1] of the crop, and the score in [0, 1] or None from
            a model without a score head (its templates are then never refreshed).
        """


class TrackResult(NamedTuple):
    """What one frame gives.

    Attributes:
        box_xywh: x, y, width, height in image pixels, float64 of shape ``(4,)``.
        score: Confidence in [0, 1], or None.
        template_updated: Whether the templates changed after this frame.
    """

    box_xywh: np.ndarray
    score: float | None
    template_updated: bool


class Look(NamedTuple):
    """A frame and what the network is to see of it.

    Attributes:
        frame: RGB uint8 ``(height, width, 3)``.
        crop: The search region, RGB uint8 ``(search_size, search_size, 3)``.
        resize_factor: Pixels of the crop per pixel of the frame.
    """

    frame: np.ndarray
    crop: np.ndarray
    resize_factor: float


@dataclass
class SequenceState:
    """Everything that is known about one sequence; :meth:`SequenceTracker.track` changes it.

    Attributes:
        frame_size: Height and width of the frames in pixels.
        box_xywh: Last box, image pixels.
        memory: The templates.
        cache: What the predictor made of the templates.
        frame_index: Number of frames tracked; 0 after the first one.
    """

    frame_size: tuple[int, int]
    box_xywh: Sequence[float]
    memory: TemplateMemory
    cache: Any
    frame_index: int = 0


class SequenceTracker:
    """Tracks any number of sequences with one predictor; keeps nothing of them itself.

    Args:
        predictor: The network.
        settings: Constants of the procedure.
    """

    def __init__(self, predictor: Predictor, settings: TrackingSettings) -> None:
        self.predictor = predictor
        self.settings = settings
        self.refresh = TemplateRefresh(
            capacity=settings.num_online_templates,
            interval=settings.update_interval,
            threshold=settings.score_threshold,
            decay=settings.max_score_decay,
        )

    def init(self, frame: np.ndarray, box_xywh: Sequence[float]) -> SequenceState:
        """Start a sequence.

        Args:
            frame: First frame, RGB uint8 ``(height, width, 3)``, any strides; one and four
                channels are taken as :func:`~.region.validate_frame` says.
            box_xywh: The target: x, y, width, height in pixels.

        Returns:
            The state to pass to :meth:`track`.

        Raises:
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame's shape or the box is not usable.
        """
        state = self.begin(frame, box_xywh)
        state.cache = self.predictor.encode_templates(state.memory.templates)
        return state

    def track(self, frame: np.ndarray, state: SequenceState) -> TrackResult:
        """Find the target in the next frame.

        Args:
            frame: Of the kind and size that :meth:`init` got.
            state: Changed in place.

        Returns:
            The clipped box in image pixels, the score, and whether the templates changed.

        Raises:
            TypeError: If the frame is not a uint8 array.
            ValueError: If the frame's size is not that of the first frame, or the predictor
                gives values that are not finite.
        """
        look = self.look(frame, state)
        result = self.follow(look, state, *self.predictor.predict(look.crop, state.cache))
        if result.template_updated:
            state.cache = self.predictor.encode_templates(state.memory.templates)
        return result

    # The steps of init and track without the network, for those who call it themselves.

    def begin(self, frame: np.ndarray, box_xywh: Sequence[float]) -> SequenceState:
        """As :meth:`init`, but the state still needs a ``cache`` of its ``memory.templates``."""
        frame = validate_frame(frame)
        height, width = frame.shape[:2]
        box = validate_box(box_xywh, height, width)
        memory = self.refresh.start(self._template(frame, box))
        return SequenceState((height, width), box, memory, cache=None)

    def look(self, frame: np.ndarray, state: SequenceState) -> Look:
        """Cut out the search region of the next frame; raises as :meth:`track` does."""
        frame = validate_frame(frame)
        if frame.shape[:2] != state.frame_size:
            raise ValueError(
                f'frame {state.frame_index + 1} is {frame.shape[1]} x {frame.shape[0]} px (width '
                f'x height) but the sequence began with {state.frame_size[1]} x '
                f'{state.frame_size[0]} px; resize the frames to one size, or start a new '
                'sequence with init.'
            )
        size, factor = self.predictor.search_size, self.settings.search_factor
        return Look(frame, *crop_region(frame, state.box_xywh, factor, size))

    def follow(
        self, look: Look, state: SequenceState, box_norm: Sequence[float], score: float | None
    ) -> TrackResult:
        """Move on to what the predictor saw; raises as :meth:`track` does.

        The state needs a new ``cache`` if the templates were updated.
        """
        if not np.isfinite(box_norm).all() or (score is not None and not math.isfinite(score)):
            raise ValueError(
                f'the predictor gave box {box_norm} and score {score} at frame '
                f'{state.frame_index + 1}, expected finite numbers; check that the checkpoint '
                'belongs to the config, and try float32 if it runs in lower precision.'
            )
        size = self.predictor.search_size
        box = region_to_image(box_norm, state.box_xywh, size, look.resize_factor)
        box = clip_box(box, *state.frame_size, margin=self.settings.clip_margin)
        state.frame_index += 1
        state.box_xywh = tuple(box.tolist())
        updated = score is not None and self.refresh.step(
            state.memory, state.frame_index, score, lambda: self._template(look.frame, box)
        )
        return TrackResult(box, score, updated)

    def _template(self, frame: np.ndarray, box_xywh: Sequence[float]) -> np.ndarray:
        size = self.predictor.template_size
        return crop_region(frame, box_xywh, self.settings.template_factor, size)[0]
