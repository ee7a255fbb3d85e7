"""How actors of rendered sequences move: smooth drifts, bouncing walks, and an actor's track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sprites import Patch, SpriteObject, draw_object, streak_kernel


def drift(rng: np.random.Generator, frames: int, amplitude: float) -> np.ndarray:
    """A smooth random function of time ``(frames,)`` within ``[-amplitude, amplitude]``."""
    periods = np.exp(rng.uniform(np.log(15), np.log(150), 3))
    weights = rng.uniform(0.2, 1, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    time = np.arange(frames)[:, None]
    return amplitude * (np.sin(2 * np.pi * time / periods + phases) @ (weights / weights.sum()))


def wander(
    rng: np.random.Generator,
    frames: int,
    start: np.ndarray,
    speed: float,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """A walk with inertia and sudden pushes, bouncing in ``[low, high]``: ``(frames, 2)``."""
    keep = rng.uniform(0.8, 0.97)
    push = rng.normal(0, speed * np.sqrt(1 - keep**2), (frames, 2))
    push[rng.random(frames) < 0.04] *= 4
    velocity = rng.normal(0, speed, 2)
    position = np.clip(start, low, high)
    path = np.empty((frames, 2))
    for t in range(frames):
        path[t] = position
        velocity = keep * velocity + push[t]
        position = position + velocity
        outside = (position < low) | (position > high)
        velocity = np.where(outside, -velocity, velocity)
        position = np.clip(position, low, high)
    return path


@dataclass
class Actor:
    """An object and its track over ``N`` frames.

    Attributes:
        centre, half: Centres and half sizes ``(N, 2)``, pixels.
        angle, clock: Turn and phase of swinging parts ``(N,)``, radians.
        exposure: Share of the time between frames in which the shutter is open.
    """

    thing: SpriteObject
    centre: np.ndarray
    half: np.ndarray
    angle: np.ndarray
    clock: np.ndarray
    exposure: float = 0.0

    def matrix(self, t: int) -> np.ndarray:
        cos, sin = np.cos(self.angle[t]), np.sin(self.angle[t])
        turn = np.array([[cos, -sin], [sin, cos]]) * self.half[t]
        return np.column_stack([turn, self.centre[t]])

    def draw(self, t: int, frame_size: tuple[int, int] | None = None) -> Patch | None:
        kernel = None
        if self.exposure:
            after, before = min(t + 1, len(self.centre) - 1), max(t - 1, 0)
            step = (self.centre[after] - self.centre[before]) / max(after - before, 1)
            kernel = streak_kernel(step * self.exposure)
        return draw_object(self.thing, self.matrix(t), self.clock[t], kernel, frame_size)
