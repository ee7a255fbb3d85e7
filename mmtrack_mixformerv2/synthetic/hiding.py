"""Targets that are wholly out of sight for a while and come back.

A target disappears behind a screen, a solid plate that slides over it, or over a side of the
frame. Where and for how long is planned first, and the way of the screen or of the target is then
made to fit; so a planned frame really shows nothing of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .motion import Actor
from .objects import make_screen

MIN_HIDDEN, MAX_HIDDEN = 8, 25  # frames
_FRAMES_PER_HIDING = 60
_LEAVING_SHARE = 0.3  # the others go behind a screen
# What the rounded corners of a screen leave of its sides, for a rectangle that fits in.
_INNER_SHARE = 0.92


class Hiding(NamedTuple):
    """Frames ``start`` to ``stop - 1`` show nothing of the target, which then comes back."""

    start: int
    stop: int
    leaves: bool  # the frame, instead of going behind a screen


def plan_hidings(rng: np.random.Generator, frames: int, probability: float) -> list[Hiding]:
    """When the target is out of sight: at most once in each 60 frames, never at the ends.

    Args:
        rng: Generator of its own, so that nothing else of the scene depends on this.
        frames: Length of the sequence, at least 20 for anything to happen.
        probability: Of each of the possible times.
    """
    count = max(1, round(frames / _FRAMES_PER_HIDING)) if frames >= 20 else 0
    plans = []
    for k in range(count):
        first, last = (round(frames * part / count) for part in (k, k + 1))
        longest = min(MAX_HIDDEN, int(0.4 * (last - first)))
        length = int(rng.integers(MIN_HIDDEN, longest + 1))
        lead = max(6, round(0.15 * (last - first)))
        latest = max(first + lead, last - length - round(0.25 * (last - first)))
        start = int(rng.integers(first + lead, latest + 1))
        happens, leaves = rng.random() < probability, rng.random() < _LEAVING_SHARE
        if happens:
            plans.append(Hiding(start, start + length, bool(leaves)))
    return plans


def leave_frame(target: Actor, hiding: Hiding, size: tuple[int, int], ramp: int) -> None:
    """Push the target over the nearest side of the frame; ``ramp`` frames each way."""
    boxes = _boxes(target, hiding)
    middle = target.centre[(hiding.start + hiding.stop) // 2]
    side = int(np.argmin(np.concatenate([middle, np.array(size) - middle])))
    axis = side % 2
    if side < 2:
        push = -(boxes[:, 2 + axis].max() + _blur_margin(target, hiding))
    else:
        push = size[axis] - boxes[:, axis].min() + _blur_margin(target, hiding)
    time = np.arange(len(target.centre))
    distance = np.maximum(hiding.start - time, time - (hiding.stop - 1))  # frames to the hiding
    part = np.clip(1 - distance / ramp, 0, 1)
    target.centre[:, axis] += push * part * part * (3 - 2 * part)


def slide_screen(
    rng: np.random.Generator,
    target: Actor,
    hiding: Hiding,
    seeds: Sequence[int],
    photographs: Sequence[np.ndarray] = (),
) -> Actor:
    """A screen that covers the target from ``hiding.start`` to ``hiding.stop``."""
    boxes = _boxes(target, hiding)
    axis, sign = int(rng.integers(2)), rng.choice([-1.0, 1.0])
    own = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    # The screen needs this many frames to cover the target; one that hides it for long is slow,
    # or it would be as large as the frame.
    approach = max(rng.uniform(4, 10), (hiding.stop - hiding.start) / 2)
    approach = min(approach, max(hiding.start - 3, 2))
    way = np.arange(len(target.centre)) - (hiding.start + hiding.stop - 1) / 2
    path = cv2.blur(target.centre, (1, 9), borderType=cv2.BORDER_REPLICATE)
    path[:, axis] += sign * own[axis] / approach * way
    covered = path[hiding.start : hiding.stop]
    reach = np.maximum(covered - boxes[:, :2], boxes[:, 2:] - covered).max(axis=0)
    half = (reach + _blur_margin(target, hiding)) / _INNER_SHARE
    half[1 - axis] *= rng.uniform(1, 1.5)
    frames = len(path)
    return Actor(
        make_screen(seeds, min(half.max(), 120.0), photographs),
        path,
        np.tile(half, (frames, 1)),
        np.zeros(frames),
        np.zeros(frames),
    )


def _boxes(target: Actor, hiding: Hiding) -> np.ndarray:
    """Tight xyxy boxes ``(frames, 4)`` of the target where it is to be hidden, pixels."""
    return np.stack([target.draw(t).box for t in range(hiding.start, hiding.stop)])


def _blur_margin(target: Actor, hiding: Hiding) -> float:
    """Pixels around a box that motion blur and the soft rim of a sprite may reach."""
    steps = np.abs(np.diff(target.centre[hiding.start - 1 : hiding.stop + 1], axis=0))
    return 3.0 + min(0.5 * target.exposure * float(steps.max()), 8.0)
