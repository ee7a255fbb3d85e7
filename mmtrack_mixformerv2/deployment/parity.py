"""How far an exported tracker is from the torch model that it was made of, over a clip.

Step by step, the exported network is given the very crops and templates that the model saw, so
that one frame's difference does not move the next search region. Running freely, both trackers
follow their own boxes, and small differences may add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..synthetic import render_sequence
from ..tracking.predictor import Prediction, Predictor
from ..tracking.region import validate_box, validate_frame
from ..tracking.sequence_tracker import SequenceTracker
from ..video import read_frames

# Largest difference step by step, in pixels of the crop, that an edge of a box may have.
BOUNDS = {'float32': 1e-3, 'bfloat16': 1.0, 'float16': 1.0, 'int8': 1.0}
RENDERED = 'rendered'  # source of a clip that is in no file
_RENDERED_SIZE = 640, 360
_UPDATES = 4  # of the templates, at least, in a clip


class Clip(NamedTuple):
    """A short video and the target in its first frame.

    Attributes:
        source: File or folder, or ``RENDERED``.
        frames: RGB uint8 ``(height, width, 3)``.
        box_xywh: x, y, width, height in pixels.
    """

    source: str
    frames: Sequence[np.ndarray]
    box_xywh: Sequence[float]


class Step(NamedTuple):
    """A frame as the model saw it, and what it said.

    Attributes:
        crop: The search region, RGB uint8.
        templates: The templates; the very list of the step before if they are the same.
        resize_factor: Pixels of the crop per pixel of the frame.
        box_norm: xyxy in [0, 1] of the crop.
        score: In [0, 1], or None.
        box_xywh: The box in pixels of the frame, clipped.
    """

    crop: np.ndarray
    templates: list[np.ndarray]
    resize_factor: float
    box_norm: np.ndarray
    score: float | None
    box_xywh: np.ndarray


class Difference(NamedTuple):
    """Largest and mean difference over the frames; of a box, of that edge which is furthest off."""

    largest: float
    mean: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Difference:
        """Of one value per frame."""
        values = np.array(list(values), np.float64)
        return cls(float(values.max()), float(values.mean()))


@dataclass(frozen=True)
class Parity:
    """Differences of an exported tracker from the model.

    Attributes:
        crop: Step by step, pixels of the crop; this one is bounded.
        frame: Step by step, pixels of the frame.
        score: Step by step; None without a score head.
        free: Both running freely, pixels of the frame; None if the exported one cannot go on.
        bound: What ``crop.largest`` may be.
    """

    crop: Difference
    frame: Difference
    score: Difference | None
    free: Difference | None
    bound: float

    @property
    def passed(self) -> bool:
        """Whether it is within the bound; what is not a number is not."""
        return self.crop.largest <= self.bound

    def as_record(self) -> dict[str, dict[str, float] | float | None]:
        """For a JSON file."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value._asdict() if isinstance(value, Difference) else value
            for name, value in values.items()
        }


def read_clip(source: str | Path, box_xywh: Sequence[float], *, frames: int) -> Clip:
    """The beginning of a video file, or of a folder of pictures in order of name.

    Raises:
        FileNotFoundError: If there is no such file, or no picture in the folder.
        ValueError: If it cannot be decoded, has one frame only or frames of several sizes, or the
            box is outside of the first one.
    """
    pictures = [frame[..., ::-1] for frame in islice(read_frames(source), frames)]
    sizes = {validate_frame(frame).shape[:2] for frame in pictures}
    if len(pictures) < 2 or len(sizes) > 1:
        raise ValueError(
            f'{source} has {len(pictures)} frames of {len(sizes)} sizes, expected at least 2 of '
            'one size; give another clip.'
        )
    return Clip(str(source), pictures, validate_box(box_xywh, *sizes.pop()))


def render_clip(frames: int) -> Clip:
    """A clip of our own making, always the same one."""
    sequence = render_sequence(0, 0, 'medium', frames, _RENDERED_SIZE)
    return Clip(RENDERED, [frame[..., ::-1] for frame in sequence.frames], sequence.boxes_xywh[0])


def refreshing(loop: SequenceTracker, clip: Clip) -> SequenceTracker:
    """The loop with templates that are replaced within the clip, if it replaces them at all."""
    often = max(1, len(clip.frames) // (_UPDATES + 1))
    interval = min(loop.settings.update_interval, often)
    return SequenceTracker(loop.predictor, replace(loop.settings, update_interval=interval))


def record(loop: SequenceTracker, clip: Clip) -> list[Step]:
    """Track a clip and keep what the network saw and said; a step for each frame but the first."""
    state = loop.begin(clip.frames[0], clip.box_xywh)
    templates = state.memory.templates
    state.cache = loop.predictor.encode_templates(templates)
    steps = []
    for frame in clip.frames[1:]:
        look = loop.look(frame, state)
        found = Prediction(*loop.predictor.predict(look.crop, state.cache))
        result = loop.follow(look, state, found)
        seen = look.crop, templates, look.resize_factor
        steps.append(Step(*seen, found.box, found.score, result.box_xywh))
        if result.template_updated:
            templates = state.memory.templates
            state.cache = loop.predictor.encode_templates(templates)
    return steps


def compare(
    loop: SequenceTracker, predictor: Predictor, clip: Clip, steps: Sequence[Step], *, bound: float
) -> Parity:
    """Run an exported tracker on a clip, step by step and freely.

    Args:
        loop: Of the model; its settings are those of both trackers.
        predictor: The exported network.
        clip: What the model has tracked.
        steps: What :func:`record` gave for it.
        bound: Pixels of the crop.
    """
    crop, frame, score = [], [], []
    templates = cache = None
    for step in steps:
        if step.templates is not templates:
            templates = step.templates
            cache = predictor.encode_templates(templates)
        found = predictor.predict(step.crop, cache)
        crop.append(np.abs(found.box - step.box_norm).max() * predictor.search_size)
        frame.append(crop[-1] / step.resize_factor)
        if step.score is not None:
            score.append(abs(found.score - step.score))
    finite = np.isfinite(crop + score).all()
    return Parity(
        crop=Difference.of(crop),
        frame=Difference.of(frame),
        score=Difference.of(score) if score else None,
        free=_run_freely(SequenceTracker(predictor, loop.settings), clip, steps)
        if finite
        else None,
        bound=bound,
    )


def _run_freely(tracker: SequenceTracker, clip: Clip, steps: Sequence[Step]) -> Difference:
    state = tracker.init(clip.frames[0], clip.box_xywh)
    differences = []
    for frame, step in zip(clip.frames[1:], steps):
        box = tracker.track(frame, state).box_xywh
        differences.append(np.abs(_corners(box) - _corners(step.box_xywh)).max())
    return Difference.of(differences)


def _corners(box_xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([box_xywh[:2], box_xywh[:2] + box_xywh[2:]])
