"""Renders short tracking sequences: a textured target among clutter, distractors and occluders.

Every sequence is a pure function of (seed, index, difficulty, frames, size, photographs); workers
and order do not matter. The ground-truth box is the tight box of the target's whole silhouette,
clipped to the frame; `cover` counts the pixels of the target that are really seen, in GOT-10k's
classes. NumPy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from .scene import Scene

# A target of which less than this share is seen counts as hidden, and one of which all but this
# share is seen as whole: the rims of anti-aliased shapes never add up to exactly nothing or
# everything.
SEEN_TOLERANCE = 0.02
_COVER_STEP = 0.15  # width of GOT-10k's cover classes


@dataclass(frozen=True)
class Difficulty:
    """What makes a sequence hard; each draws its own level between a third of this and all of it.

    Attributes:
        motion: Typical displacement per frame, in target sizes.
        scale: Largest change of the logarithm of the size, to either side of the mean.
        aspect: The same for the aspect ratio.
        rotation: Largest in-plane turn to either side, degrees.
        deformation: Amplitude of the wobble of soft targets, as a share of half the target.
        occlusion: Probability that an occluder passes, for each 20 frames.
        leaving: Probability that the target leaves the frame once.
        distractors: Largest number of moving look-alikes.
        blur: Motion blur and defocus, 0 (none) to 1 (long exposure).
        illumination: Change of brightness, contrast and colour over the sequence, 0 to 1.
        clutter: Structure and objects in the background, 0 to 1.
        camera: Pan, zoom and roll of the camera, 0 to 1.
        noise: Standard deviation of the sensor noise, gray levels.
        size_min, size_max: Range of the target's mean size, as a share of the square root of the
            frame's area.
    """

    motion: float = 0.08
    scale: float = 0.3
    aspect: float = 0.25
    rotation: float = 30.0
    deformation: float = 0.08
    occlusion: float = 0.3
    leaving: float = 0.03
    distractors: int = 2
    blur: float = 0.5
    illumination: float = 0.5
    clutter: float = 0.6
    camera: float = 0.5
    noise: float = 5.0
    size_min: float = 0.09
    size_max: float = 0.36

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f'{field.name}={value} but a difficulty option is a number >= 0.')
        for name in ('occlusion', 'leaving', 'blur', 'illumination', 'clutter', 'camera'):
            if getattr(self, name) > 1:
                raise ValueError(f'{name}={getattr(self, name)} but it lies between 0 and 1.')
        if int(self.distractors) != self.distractors:
            raise ValueError(f'distractors={self.distractors} but it is a whole number of objects.')
        if not 0.03 <= self.size_min <= self.size_max <= 0.9:
            raise ValueError(
                f'size_min={self.size_min}, size_max={self.size_max}; '
                'expected 0.03 <= size_min <= size_max <= 0.9.'
            )


PRESETS = {
    'easy': Difficulty(
        motion=0.04,
        scale=0.12,
        aspect=0.08,
        rotation=8,
        deformation=0.03,
        occlusion=0,
        leaving=0,
        distractors=0,
        blur=0.1,
        illumination=0.15,
        clutter=0.2,
        camera=0.2,
        noise=2,
        size_min=0.12,
    ),
    'medium': Difficulty(),
    'hard': Difficulty(
        motion=0.16,
        scale=0.6,
        aspect=0.45,
        rotation=90,
        deformation=0.15,
        occlusion=0.6,
        leaving=0.25,
        distractors=5,
        blur=1,
        illumination=1,
        clutter=1,
        camera=1,
        noise=10,
        size_min=0.07,
    ),
}


def make_difficulty(preset: str = 'medium', **overrides: float) -> Difficulty:
    """A preset (``'easy'``, ``'medium'``, ``'hard'``) with single options replaced.

    Raises:
        ValueError: If the preset or an option is unknown, or a value is out of range.
    """
    if preset not in PRESETS:
        raise ValueError(f'difficulty {preset!r} is unknown; choose from {", ".join(PRESETS)}.')
    known = [field.name for field in fields(Difficulty)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(
            f'difficulty has no option {", ".join(unknown)}; choose from {", ".join(known)}.'
        )
    return replace(PRESETS[preset], **overrides)


class RenderedSequence(NamedTuple):
    """Frames and labels of one sequence of ``N`` frames.

    Attributes:
        frames: uint8 BGR ``(N, H, W, 3)``.
        boxes_xywh: float64 ``(N, 4)``, pixels, clipped to the frame; zeros where the target is
            wholly outside.
        cover: int ``(N,)`` in 0..8: seen share of the silhouette 0, (0, 15%], (15%, 30%], ...,
            (90%, 100%), 100%.
        absence: bool ``(N,)``, true where nothing of the target is seen (``cover == 0``).
        cut_by_image: bool ``(N,)``, true where the border of the frame cuts the target.
    """

    frames: np.ndarray
    boxes_xywh: np.ndarray
    cover: np.ndarray
    absence: np.ndarray
    cut_by_image: np.ndarray


def cover_class(seen: float) -> int:
    """GOT-10k's cover class (0..8) of a seen share in [0, 1]."""
    if seen < SEEN_TOLERANCE:
        return 0
    if seen > 1 - SEEN_TOLERANCE:
        return 8
    return int(np.clip(np.ceil(seen / _COVER_STEP - 1e-9), 1, 7))


def render_sequence(
    seed: int,
    index: int,
    difficulty: Difficulty | str = 'medium',
    num_frames: int = 60,
    size: tuple[int, int] = (320, 240),
    photographs: Sequence[np.ndarray] = (),
) -> RenderedSequence:
    """Render one sequence.

    Args:
        seed, index: Non-negative integers that name the sequence.
        difficulty: A `Difficulty` or the name of a preset.
        num_frames: Number of frames, at least 1.
        size: ``(width, height)`` in pixels, at least 64 each.
        photographs: uint8 BGR images to cut textures from; see `load_photographs`.

    Raises:
        ValueError: If an argument is out of range.
    """
    if isinstance(difficulty, str):
        difficulty = make_difficulty(difficulty)
    if seed < 0 or index < 0:
        raise ValueError(f'seed={seed}, index={index}; expected integers >= 0.')
    if num_frames < 1 or min(size) < 64:
        raise ValueError(
            f'num_frames={num_frames}, size={size}; expected at least 1 frame of 64 x 64 pixels.'
        )
    scene = Scene(seed, index, difficulty, num_frames, tuple(size), photographs)
    images, boxes, shares, cuts = zip(*(scene.frame(t) for t in range(num_frames)))
    cover = np.array([cover_class(share) for share in shares])
    cover[np.stack(boxes)[:, 2] <= 0] = 0
    return RenderedSequence(np.stack(images), np.stack(boxes), cover, cover == 0, np.array(cuts))
