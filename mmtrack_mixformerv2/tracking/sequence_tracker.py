"""The tracking loop: one frame and the state of a sequence in, one box out.

The procedure is the online tracker of MixFormerV2 (arXiv 2305.15896; MCG-NJU/MixFormerV2 at
1041438): crop, predict, map back, clip, refresh the templates. It does not know what predicts:
a :class:`Predictor` may be a torch model, an exported one or a script. Deliberate differences,
none of which changes a box: templates are encoded when they change instead of at every frame,
and more than one online template works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .confidence import BY_SCORE, BY_SPREAD, TargetMemory, TargetState
from .crops import HostCrops
from .predictor import Prediction, Predictor, can_batch, encode_all, predict_all
from .region import clip_box, region_to_image, validate_box, validate_frame
from .settings import TrackingSettings
from .state import SequenceState
from .template import TemplateRefresh


class EdgeDistributions(NamedTuple):
    """The four edge distributions of a frame (MixFormerV2, Eq. 2), left, top, right, bottom.

    Attributes:
        probabilities: ``(4, bins)``, each row sums to 1.
        positions: ``(4, bins)``, where the bins lie in the image: x in pixels for left and right,
            y for top and bottom.
    """

    probabilities: np.ndarray
    positions: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each edge in image pixels, ``(4,)``."""
        mean = (self.probabilities * self.positions).sum(axis=1, keepdims=True)
        return np.sqrt((self.probabilities * (self.positions - mean) ** 2).sum(axis=1))


class TrackResult(NamedTuple):
    """What one frame gives.

    Attributes:
        box_xywh: x, y, width, height in image pixels, float64 of shape ``(4,)``.
        score: Output of the score head in [0, 1], or None from a model without one.
        template_updated: Whether the templates changed after this frame.
        state: Tracked, uncertain or lost; None without a policy.
        confidence: Probability in [0, 1] that the box is on the target; None if it is not asked
            for, by ``confidence`` or ``policy`` of the settings.
        edges: Where the network sees the edges, or None from a model without distributions.
    """

    box_xywh: np.ndarray
    score: float | None
    template_updated: bool
    state: TargetState | None = None
    confidence: float | None = None
    edges: EdgeDistributions | None = None


class Look(NamedTuple):
    """A frame and what the network is to see of it.

    Attributes:
        frame: What ``load`` of the predictor's crops made of it.
        crop: The search region, RGB uint8 ``(search_size, search_size, 3)``.
        resize_factor: Pixels of the crop per pixel of the frame.
    """

    frame: Any
    crop: Any
    resize_factor: float


class SequenceTracker:
    """Tracks any number of sequences with one predictor; keeps nothing of them itself.

    Args:
        predictor: The network.
        settings: Constants of the procedure.
    """

    def __init__(self, predictor: Predictor, settings: TrackingSettings) -> None:
        self.predictor = predictor
        self.settings = settings
        self.crops = getattr(predictor, 'crops', None) or HostCrops()
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
        return self.init_targets(frame, [box_xywh])[0]

    def init_targets(
        self, frame: np.ndarray, boxes_xywh: Sequence[Sequence[float]]
    ) -> list[SequenceState]:
        """As :meth:`init`, of several targets in one frame, with one forward for all."""
        states = self.begin_targets(frame, boxes_xywh)
        encode_all(self.predictor, states, batch=can_batch(self.predictor))
        return states

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
        return self.track_targets(frame, [state])[0]

    def track_targets(
        self, frame: np.ndarray, states: Sequence[SequenceState]
    ) -> list[TrackResult]:
        """As :meth:`track`, of several targets in one frame.

        There is one forward for all targets with as many templates, if the predictor is a
        :class:`~.predictor.BatchPredictor`; else one for each. Where one target raises, all stay
        as they were.
        """
        batch = len(states) > 1 and can_batch(self.predictor)
        looks = self.look_targets(frame, states)
        found = predict_all(self.predictor, [look.crop for look in looks], states, batch)
        for state, prediction in zip(states, found):
            _check_finite(state, prediction)
        results = [self.follow(*of_one) for of_one in zip(looks, states, found)]
        changed = [s for s, result in zip(states, results) if result.template_updated]
        encode_all(self.predictor, changed, batch)
        return results

    def first_result(self, box_xywh: Sequence[float]) -> TrackResult:
        """What the first frame gives: the given box, which a policy takes for tracked."""
        state = None if self.settings.policy is None else TargetState.TRACKED
        return TrackResult(np.array(box_xywh, np.float64), None, False, state)

    # The steps of init and track without the network, for those who call it themselves.

    def begin(self, frame: np.ndarray, box_xywh: Sequence[float]) -> SequenceState:
        """As :meth:`init`, but the state still needs a ``cache`` of its ``memory.templates``."""
        return self.begin_targets(frame, [box_xywh])[0]

    def begin_targets(
        self, frame: np.ndarray, boxes_xywh: Sequence[Sequence[float]]
    ) -> list[SequenceState]:
        """:meth:`begin` for several targets in one frame."""
        frame = validate_frame(frame)
        height, width = frame.shape[:2]
        boxes = [validate_box(box, height, width) for box in boxes_xywh]
        size, factor = self.predictor.template_size, self.settings.template_factor
        crops = self.crops.cut_all(self.crops.load(frame), boxes, factor, size)
        states = [
            SequenceState((height, width), box, self.refresh.start(crop), cache=None)
            for box, (crop, _) in zip(boxes, crops)
        ]
        if self.settings.policy is not None:
            for state in states:
                state.target = TargetMemory(anchor_xywh=state.box_xywh)
        return states

    def look(self, frame: np.ndarray, state: SequenceState) -> Look:
        """Cut out the search region of the next frame; raises as :meth:`track` does."""
        return self.look_targets(frame, [state])[0]

    def look_targets(self, frame: np.ndarray, states: Sequence[SequenceState]) -> list[Look]:
        """:meth:`look` for several targets in one frame."""
        frame = validate_frame(frame)
        for state in states:
            if frame.shape[:2] != state.frame_size:
                raise ValueError(
                    f'frame {state.frame_index + 1} is {frame.shape[1]} x {frame.shape[0]} px '
                    f'(width x height) but the sequence began with {state.frame_size[1]} x '
                    f'{state.frame_size[0]} px; resize the frames to one size, or start a new '
                    'sequence with init.'
                )
        size, factor = self.predictor.search_size, self.settings.search_factor
        loaded = self.crops.load(frame)
        boxes = [state.box_xywh for state in states]
        factors = [factor * state.search_scale for state in states]
        return [Look(loaded, *cut) for cut in self.crops.cut_all(loaded, boxes, factors, size)]

    def follow(self, look: Look, state: SequenceState, prediction: Prediction) -> TrackResult:
        """Move on to what the predictor saw; raises as :meth:`track` does.

        The state needs a new ``cache`` if the templates were updated.
        """
        _check_finite(state, prediction)
        score, size = prediction.score, self.predictor.search_size
        box = region_to_image(prediction.box, state.box_xywh, size, look.resize_factor)
        box = clip_box(box, *state.frame_size, margin=self.settings.clip_margin)
        edges = _place_edges(prediction.edges, state.box_xywh, size, look.resize_factor)
        state.frame_index += 1
        state.box_xywh = tuple(box.tolist())
        confidence = self._judge(state, prediction)
        target = state.target and state.target.state
        updated = score is not None and self.refresh.step(
            state.memory,
            state.frame_index,
            score,
            lambda: self._template(look.frame, box),
            trusted=target in (None, TargetState.TRACKED),
        )
        return TrackResult(box, score, updated, target, confidence, edges)

    def _judge(self, state: SequenceState, prediction: Prediction) -> float | None:
        """The confidence in the new box of ``state``; the policy may move the next search."""
        policy, confidence = self.settings.policy, self.settings.confidence
        _, score, edges = prediction
        if (policy is None and confidence is None) or (score is None and edges is None):
            return None
        confidence = confidence or (BY_SPREAD if score is None else BY_SCORE)
        sure = confidence(score, edges)
        if policy is not None:
            policy.step(state.target, sure, state.box_xywh)
            state.box_xywh, state.search_scale = policy.next_search(state.target, state.box_xywh)
        return sure

    def _template(self, frame: Any, box_xywh: Sequence[float]) -> Any:
        size, factor = self.predictor.template_size, self.settings.template_factor
        return self.crops.cut(frame, box_xywh, factor, size)[0]


def _place_edges(
    edges: np.ndarray | None, around_xywh: Sequence[float], size: int, resize_factor: float
) -> EdgeDistributions | None:
    """Edge distributions ``(4, bins)`` over the search region, with their places in the image."""
    if edges is None:
        return None
    first, last = (
        region_to_image((at, at, at, at), around_xywh, size, resize_factor)[[0, 1, 0, 1]]
        for at in (0.0, 1.0)
    )
    positions = first[:, None] + np.outer(last - first, np.arange(edges.shape[1]) / edges.shape[1])
    return EdgeDistributions(edges, positions)


def _check_finite(state: SequenceState, prediction: Prediction) -> None:
    box_norm, score, _ = prediction
    if not np.isfinite(box_norm).all() or (score is not None and not math.isfinite(score)):
        raise ValueError(
            f'the predictor gave box {box_norm} and score {score} at frame '
            f'{state.frame_index + 1}, expected finite numbers; check that the checkpoint '
            'belongs to the config, and try float32 if it runs in lower precision.'
        )
