"""Objects of rendered sequences: random outlines and figures, cut out of textures.

An object lives in a unit square ``[-1, 1]^2``. It has one or more parts, each with a closed outline
and a texture; parts may swing about a joint, and a single-part object may wobble.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .sprites import PAD, Part, SpriteObject
from .textures import random_texture


def _smooth_ring(points: np.ndarray, rounds: int) -> np.ndarray:
    """Cut the corners of a closed outline (Chaikin's scheme)."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack(
            [0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1
        ).reshape(-1, 2)
    return points


def _fit_unit(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) / np.maximum((high - low) / 2, 1e-6)


def rounded_box(
    half_width: float, half_height: float, power: float = 4.0, points: int = 48
) -> np.ndarray:
    """Super-ellipse outline ``(points, 2)``: power 2 is an ellipse, large ones near a rectangle."""
    angle = np.arange(points) * (2 * np.pi / points)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.sign(ring) * np.abs(ring) ** (2 / power) * (half_width, half_height)


def random_outline(rng: np.random.Generator) -> np.ndarray:
    """A closed outline ``(K, 2)`` that touches all four sides of the unit square."""
    kind = rng.choice(4, p=[0.35, 0.15, 0.2, 0.3])
    if kind == 0:  # blob: a circle with a few harmonics
        angle = np.arange(72) * (2 * np.pi / 72)
        order = np.arange(2, 7)
        size = rng.normal(0, 0.35, 5) / order
        radius = 1 + (size * np.cos(angle[:, None] * order + rng.uniform(0, 2 * np.pi, 5))).sum(
            axis=1
        )
        ring = np.clip(radius, 0.25, None)[:, None] * np.stack(
            [np.cos(angle), np.sin(angle)], axis=1
        )
    elif kind == 1:
        ring = rounded_box(1, 1, 2.0)
    elif kind == 2:
        ring = rounded_box(1, 1, rng.uniform(2.5, 8))
    else:  # rounded polygon, sometimes star-like
        corners = int(rng.integers(3, 10))
        angle = np.sort(
            (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * (2 * np.pi / corners)
        )
        radius = rng.uniform(rng.uniform(0.3, 0.9), 1.0, corners)
        ring = _smooth_ring(
            radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1),
            int(rng.integers(1, 4)),
        )
    return _fit_unit(ring)


def _make_part(
    rng: np.random.Generator,
    outline: np.ndarray,
    texture: np.ndarray,
    resolution: float,
    joint: Sequence[float] = (0, 0),
    swing: float = 0.0,
    phase: float = 0.0,
) -> Part:
    """Cut an outline out of a texture (at least as large as the part) and shade it."""
    low = outline.min(axis=0)
    width, height = (
        int(v) for v in np.ceil((outline.max(axis=0) - low) * resolution) + 2 * PAD + 1
    )
    colour = texture[:height, :width]
    if colour.shape[:2] != (height, width):
        colour = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)
    # Filled four times larger, since OpenCV paints half a pixel beyond an outline.
    pixels = np.round((((outline - low) * resolution + PAD) * 4 + 1.5) * 16).astype(np.int32)
    alpha = np.zeros((4 * height, 4 * width), np.uint8)
    cv2.fillPoly(alpha, [pixels], 255, shift=4)
    alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    shade = cv2.resize(rng.uniform(0.62, 1.12, (2, 2)).astype(np.float32), (width, height))
    if rng.random() < 0.4:  # darker towards the rim, as round things are
        rim = cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.12 * min(width, height)))
        shade = shade * (0.35 + rim.astype(np.float32) * (0.75 / 255))
    alpha = cv2.GaussianBlur(alpha, (3, 3), rng.uniform(0.4, 0.9))
    premultiplied = colour * (shade * alpha.astype(np.float32) * (1 / 255))[..., None]
    sprite = np.dstack([np.minimum(premultiplied, alpha[..., None]).astype(np.uint8), alpha])
    sprites = [sprite]
    while len(sprites) < 3:
        sprites.append(_halve(sprites[-1]))
    return Part(outline, tuple(sprites), np.asarray(joint, float), swing, phase, resolution)


def _halve(sprite: np.ndarray) -> np.ndarray:
    odd_rows, odd_columns = sprite.shape[0] % 2, sprite.shape[1] % 2
    if odd_rows or odd_columns:
        sprite = cv2.copyMakeBorder(
            sprite, 0, odd_rows, 0, odd_columns, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0)
        )
    return cv2.resize(
        sprite, (sprite.shape[1] // 2, sprite.shape[0] // 2), interpolation=cv2.INTER_AREA
    )


def _figure(rng):
    """Outlines of a walking figure: (outline, joint, swing, phase, texture index) per part."""
    leg, arm = rng.uniform(0.13, 0.22), rng.uniform(0.10, 0.17)
    swing, hip = rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.3)
    head = rng.uniform(0.2, 0.3)
    parts = []
    for side, phase in ((-1, 0.0), (1, np.pi)):
        parts.append(
            (
                rounded_box(leg, 0.48, 4, 24) + (side * 0.16, 0.52),
                (side * 0.16, hip),
                swing,
                phase,
                1,
            )
        )
    parts.append((rounded_box(arm, 0.38, 3, 24) + (-0.36, -0.12), (-0.34, -0.42), swing, np.pi, 0))
    parts.append(
        (
            rounded_box(rng.uniform(0.32, 0.45), 0.46, rng.uniform(2.5, 6), 32) + (0, -0.15),
            (0, 0),
            0.0,
            0.0,
            0,
        )
    )
    parts.append((rounded_box(head * 0.85, head, 2.2, 24) + (0, -1 + head), (0, -0.6), 0.1, 1.0, 2))
    parts.append((rounded_box(arm, 0.38, 3, 24) + (0.36, -0.12), (0.34, -0.42), swing, 0.0, 0))
    return parts


def _vehicle(rng):
    roof, wheel = rng.uniform(0.4, 0.75), rng.uniform(0.22, 0.34)
    shift = rng.uniform(-0.25, 0.2)
    cabin = _smooth_ring(
        np.array([[-roof, 0.1], [-roof * 0.7, -1], [roof * 0.75, -1], [roof, 0.1]]), 2
    ) + (shift, 0)
    parts = [
        (cabin, (0, 0), 0.0, 0.0, 1),
        (rounded_box(1, 0.48, rng.uniform(3, 7), 40) + (0, 0.25), (0, 0), 0.0, 0.0, 0),
    ]
    parts += [
        (rounded_box(wheel * 0.8, wheel, 2, 24) + (x, 0.72), (x, 0.72), 0.0, 0.0, 2)
        for x in (-0.58, 0.58)
    ]
    return parts


def _animal(rng):
    body, leg = rng.uniform(0.32, 0.5), rng.uniform(0.06, 0.12)
    swing = rng.uniform(0.2, 0.6)
    parts = [
        (rounded_box(leg, 0.42, 4, 20) + (x, 0.55), (x, 0.2), swing, phase, 1)
        for x, phase in ((-0.5, 0.0), (-0.32, np.pi), (0.3, 1.4), (0.48, 4.5))
    ]
    parts.append((rounded_box(0.3, 0.06, 2.5, 20) + (-0.8, -0.2), (-0.6, -0.1), 0.5, 2.0, 1))
    parts.append((rounded_box(0.68, body, 2.4, 40) + (0, 0.02), (0, 0), 0.0, 0.0, 0))
    parts.append(
        (
            rounded_box(0.28, rng.uniform(0.22, 0.34), 2.2, 28) + (0.68, -0.45),
            (0.5, -0.2),
            0.25,
            0.0,
            2,
        )
    )
    return parts


def _cluster(rng):
    """A random object of two to four overlapping pieces."""
    parts = [(random_outline(rng) * 0.75, (0, 0), 0.0, 0.0, 0)]
    for i in range(int(rng.integers(1, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        centre = 0.6 * np.array([np.cos(angle), np.sin(angle)])
        parts.append(
            (
                random_outline(rng) * rng.uniform(0.2, 0.5, 2) + centre,
                tuple(centre * 0.5),
                rng.choice([0.0, rng.uniform(0.1, 0.5)]),
                rng.uniform(0, 6),
                i + 1,
            )
        )
    return parts


def make_screen(
    seed: Sequence[int], half_size: float, photographs: Sequence[np.ndarray] = ()
) -> SpriteObject:
    """A solid plate with rounded corners, which hides all that is behind it.

    Args:
        seed: For ``np.random.default_rng``.
        half_size: Half the larger side at which it will be drawn, in pixels.
        photographs: uint8 BGR images to cut textures from.
    """
    rng = np.random.default_rng(seed)
    resolution = float(max(half_size, 8))
    side = int(2.4 * resolution) + 2 * PAD + 2
    texture = random_texture(rng, side, side, photographs)
    return SpriteObject((_make_part(rng, rounded_box(1, 1, 10.0, 96), texture, resolution),))


def make_object(
    shape_seed: Sequence[int],
    texture_seed: Sequence[int],
    half_size: float,
    photographs: Sequence[np.ndarray] = (),
    wobble: float = 0.0,
) -> SpriteObject:
    """Build an object; two that share one of the two seeds look alike in shape or in texture.

    Args:
        shape_seed, texture_seed: Seeds for ``np.random.default_rng``.
        half_size: Half the largest size at which it will be drawn, in pixels.
        wobble: Largest amplitude of deformation, as a share of half the object.
    """
    shape, paint = np.random.default_rng(shape_seed), np.random.default_rng(texture_seed)
    resolution = float(max(half_size, 8))
    side = int(2.4 * resolution) + 2 * PAD + 2
    kind = shape.random()
    if kind < 0.5:
        texture = random_texture(paint, side, side, photographs)
        part = _make_part(paint, random_outline(shape), texture, resolution)
        bends = wobble * shape.uniform(0.2, 1) if shape.random() < 0.6 else 0.0
        return SpriteObject((part,), wobble=float(bends), waves=float(shape.uniform(1.2, 3)))
    build = (_figure, _vehicle, _animal, _cluster)[int((kind - 0.5) / 0.125)]
    pieces = build(shape)
    rings = np.concatenate([ring for ring, *_ in pieces])
    low, high = rings.min(axis=0), rings.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    textures = [random_texture(paint, side, side, photographs, 0.4) for _ in range(3)]
    flip = shape.choice([-1.0, 1.0])
    parts = []
    for ring, joint, swing, phase, index in pieces:
        ring, joint = (ring - middle) / half, (np.asarray(joint) - middle) / half
        parts.append(
            _make_part(
                paint,
                ring * (flip, 1),
                textures[index % 3],
                resolution,
                joint * (flip, 1),
                flip * swing,
                phase,
            )
        )
    return SpriteObject(tuple(parts))
