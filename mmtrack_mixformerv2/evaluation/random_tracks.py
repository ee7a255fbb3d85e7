"""Annotations and results by chance, to compare rules of evaluation on them."""

from __future__ import annotations

import numpy as np

IMAGE_SIZE = (240, 320)  # height, width


def random_truth(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Boxes ``(frames, 4)`` of a target that wanders, all inside the image, x and y above 0."""
    height, width = IMAGE_SIZE
    steps = rng.normal(0, [6, 5, 2, 2], (frames, 4))
    steps[0] = [width / 2, height / 2, 60, 45]
    boxes = np.clip(np.cumsum(steps, axis=0), [1, 1, 8, 8], [width - 90, height - 80, 80, 70])
    return np.round(boxes, 1)


def random_result(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """A result that is near at first and drifts away, with what result files keep: 3 decimals."""
    noise = rng.normal(0, 1, truth.shape) * np.linspace(1, 30, len(truth))[:, None]
    result = np.nan_to_num(truth) + noise * rng.uniform(0.2, 1)
    result[:, 2:] = np.maximum(result[:, 2:], 1)
    result[0] = np.nan_to_num(truth[0])
    return np.round(result, 3)
