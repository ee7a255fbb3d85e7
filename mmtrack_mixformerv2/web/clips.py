"""Clips for the page: uploaded videos and generated ones. What goes wrong is said in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ..synthetic import PRESETS, render_sequence
from ..tracking.region import validate_box
from ..video import FrameSource, open_source

VIDEOS = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')
GENERATED_FRAMES = 90
GENERATED_SIZE = (480, 360)  # width, height
RATE = 25.0  # frames per second, where a clip does not say
LARGEST_SEED = 9999
LARGEST_SIDE = 4096  # pixels


@dataclass(frozen=True)
class Clip:
    """A clip and its first frame.

    Attributes:
        name: Short, fit for a file name.
        source: File, or frames, uint8 BGR ``(N, height, width, 3)``.
        first_frame: uint8 BGR ``(height, width, 3)``.
        rate: Frames per second.
        count: Number of frames, or None if the file does not say.
        truth_xywh: True boxes ``(N, 4)`` of a generated clip, in pixels; zeros where nothing of
            the target is in the frame.
    """

    name: str
    source: Path | np.ndarray
    first_frame: np.ndarray
    rate: float = RATE
    count: int | None = None
    truth_xywh: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.first_frame.shape[1], self.first_frame.shape[0]

    def open(self) -> AbstractContextManager[FrameSource]:
        """All its frames, from the first one on."""
        return open_source(self.source)


def open_clip(path: str | Path | None) -> Clip:
    """An uploaded video.

    Args:
        path: The file.

    Raises:
        ValueError: If there is none, or it is not a video of at least two frames that can be
            decoded.
    """
    if path is None:
        raise ValueError('There is no clip yet: choose a video file first.')
    path = Path(path)
    if path.suffix.lower() not in VIDEOS:
        raise ValueError(
            f'{path.name} is not a video file; choose one that ends with {", ".join(VIDEOS)}.'
        )
    try:
        with open_source(path) as source:
            first, more = [*islice(source, 2), None, None][:2]
    except (OSError, ValueError):
        first = None
    if first is None:
        raise ValueError(f'{path.name} cannot be read as a video; convert it, for instance to mp4.')
    if more is None:
        raise ValueError(f'{path.name} has a single frame; a clip needs two or more.')
    if max(first.shape) > LARGEST_SIDE:
        raise ValueError(
            f'{path.name} has frames of {first.shape[1]} x {first.shape[0]} px; up to '
            f'{LARGEST_SIDE} px on a side can be shown here. Use `mixformerv2 track` for it.'
        )
    return Clip(source.name, path, first, source.rate or RATE, source.count)


def render_clip(difficulty: str, seed: float | None, num_frames: int = GENERATED_FRAMES) -> Clip:
    """A generated clip, always the same for the same arguments.

    Args:
        difficulty: Name of a preset of :mod:`~mmtrack_mixformerv2.synthetic`.
        seed: A whole number from 0 to ``LARGEST_SEED``.
        num_frames: At least 2.

    Raises:
        ValueError: If an argument is out of range.
    """
    if difficulty not in PRESETS:
        raise ValueError(f'{difficulty!r} is no kind of clip; choose from {", ".join(PRESETS)}.')
    if seed is None or not 0 <= seed <= LARGEST_SEED or seed != int(seed):
        raise ValueError(f'The number is {seed}; give a whole number from 0 to {LARGEST_SEED}.')
    rendered = render_sequence(int(seed), 0, difficulty, num_frames, GENERATED_SIZE)
    return Clip(
        f'{difficulty}-{int(seed)}',
        rendered.frames,
        rendered.frames[0],
        count=num_frames,
        truth_xywh=np.where(rendered.absence[:, None], 0.0, rendered.boxes_xywh),
    )


def check_box(clip: Clip | None, values: Sequence[float | None]) -> tuple[float, ...]:
    """The box of a target in a clip's first frame.

    Args:
        clip: The clip, or None.
        values: x, y, width, height in pixels; None for a number that was not given.

    Raises:
        ValueError: If there is no clip, no box, or none that overlaps the first frame.
    """
    if clip is None:
        raise ValueError('There is no clip yet: make one, or upload a video file.')
    width, height = clip.size
    if any(value is None or not math.isfinite(value) for value in values) or not any(values):
        raise ValueError('No object is marked: drag a box around one on the first frame.')
    x, y, w, h = values
    if w <= 0 or h <= 0:
        raise ValueError(
            f'The box is {w:g} x {h:g} px; width and height must be above 0. Drag a box around '
            'the object.'
        )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(
            f'The box is outside of the frame, which is {width} x {height} px. Drag a box around '
            'the object.'
        )
    return validate_box(values, height, width)
