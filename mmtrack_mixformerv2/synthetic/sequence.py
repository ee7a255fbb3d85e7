"""Renders short tracking sequences: a textured target among clutter, distractors and occluders.

Every sequence is a pure function of (seed, index, difficulty, frames, size, photographs); workers
and order do not matter. The ground-truth box is the tight box of the target's whole silhouette,
clipped to the frame; `cover` counts the pixels of the target that are really seen, in GOT-10k's
classes. NumPy and OpenCV only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .difficulty import Difficulty, make_difficulty
from .scene import Scene

# A target of which less than this share is seen counts as hidden, and one of which all but this
# share is seen as whole: the rims of anti-aliased shapes never add up to exactly nothing or
# everything.
SEEN_TOLERANCE = 0.02
_COVER_STEP = 0.15  # width of GOT-10k's cover classes


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
