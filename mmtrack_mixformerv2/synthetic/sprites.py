"""Sprites of rendered sequences: placing, drawing and blending them with soft edges.

The outline points that make an object's picture also give, transformed exactly, its box. Pixel
``i`` covers ``[i, i + 1)`` in box coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PAD = 3  # transparent border of a sprite, pixels


@dataclass(frozen=True)
class Part:
    """One piece of an object.

    Attributes:
        outline: ``(K, 2)`` in unit coordinates.
        sprites: premultiplied uint8 BGRA pictures, each half the size of the one before.
        joint: ``(2,)`` point in unit coordinates about which the part swings.
        swing: amplitude in radians, 0 for a fixed part.
        phase: phase of the swing in radians.
        resolution: pixels of the first sprite per unit.
    """

    outline: np.ndarray
    sprites: tuple[np.ndarray, ...]
    joint: np.ndarray
    swing: float
    phase: float
    resolution: float

    def place(self, clock: float) -> np.ndarray:
        """2x3 matrix of the part's swing about its joint at ``clock`` radians of the rhythm."""
        angle = self.swing * np.sin(clock + self.phase)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([turn, self.joint - turn @ self.joint])

    def from_sprite(self, level: int) -> np.ndarray:
        """2x3 matrix from pixels of ``sprites[level]`` to unit coordinates."""
        scale = 2.0**level / self.resolution
        shift = self.outline.min(axis=0) + (0.5 * (2.0**level - 1) - PAD) / self.resolution
        return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


@dataclass(frozen=True)
class SpriteObject:
    """Parts in drawing order.

    Attributes:
        wobble: Amplitude of a travelling wave in units (single-part objects only).
        waves: Its wave number, radians per unit.
    """

    parts: tuple[Part, ...]
    wobble: float = 0.0
    waves: float = 2.0

    def bend(self, points: np.ndarray, clock: float) -> np.ndarray:
        """Wave unit coordinates ``(..., 2)``; two shears, which `unbend` inverts exactly."""
        x = points[..., 0] + self.wobble * np.sin(self.waves * points[..., 1] + clock)
        return np.stack(
            [x, points[..., 1] + self.wobble * np.sin(self.waves * x + 1.7 * clock)], axis=-1
        )

    def unbend(self, x: np.ndarray, y: np.ndarray, clock: float) -> tuple[np.ndarray, np.ndarray]:
        y = y - self.wobble * np.sin(self.waves * x + 1.7 * clock)
        return x - self.wobble * np.sin(self.waves * y + clock), y


@dataclass(frozen=True)
class Patch:
    """A drawn object.

    ``image`` is premultiplied uint8 BGRA, its first pixel is pixel ``(left, top)`` of the frame.
    ``box`` is the tight xyxy box of the outlines in frame coordinates, float64, not clipped.
    """

    image: np.ndarray
    left: int
    top: int
    box: np.ndarray


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Affine map that applies ``second``, then ``first`` (both 2x3)."""
    result = first[:, :2] @ second
    result[:, 2] += first[:, 2]
    return result


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def cast_shadow(patch: Patch, offset: np.ndarray, strength: float) -> Patch:
    """The soft shadow of an object, ``offset`` = (dx, dy) pixels away; ``strength`` in [0, 1]."""
    alpha = cv2.convertScaleAbs(np.ascontiguousarray(patch.image[..., 3]), alpha=strength)
    alpha = cv2.blur(alpha, (5, 5), borderType=cv2.BORDER_CONSTANT)
    empty = np.zeros_like(alpha)
    dx, dy = (int(v) for v in np.rint(offset))
    return Patch(
        cv2.merge([empty, empty, empty, alpha]),
        patch.left + dx,
        patch.top + dy,
        patch.box + (dx, dy, dx, dy),
    )


def blend_over(canvas: np.ndarray, image: np.ndarray) -> None:
    """Lay premultiplied BGRA ``image`` over ``canvas`` (uint8, 3 or 4 channels) in place."""
    clear = cv2.bitwise_not(np.ascontiguousarray(image[..., 3]))
    if canvas.shape[2] == 4:
        canvas[...] = cv2.add(cv2.multiply(canvas, cv2.merge([clear] * 4), scale=1 / 255), image)
    else:
        colour = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
        canvas[...] = cv2.add(cv2.multiply(canvas, cv2.merge([clear] * 3), scale=1 / 255), colour)


def streak_kernel(step: np.ndarray) -> np.ndarray | None:
    """Kernel that smears along ``step`` = (dx, dy) pixels; ``None`` where nothing would be seen."""
    length = float(np.hypot(*step))
    if length < 1.5:
        return None
    step = step * (min(length, 15.0) / length)
    radius = int(np.ceil(np.abs(step).max() / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    offsets = np.linspace(-0.5, 0.5, 4 * radius + 1)[:, None] * step + radius  # (samples, 2)
    low = np.floor(offsets).astype(int)
    part = offsets - low
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
        index = np.minimum(low + (dx, dy), 2 * radius)
        np.add.at(kernel, (index[:, 1], index[:, 0]), weight)
    return kernel / kernel.sum()


def draw_object(
    thing: SpriteObject,
    matrix: np.ndarray,
    clock: float = 0.0,
    kernel: np.ndarray | None = None,
    frame_size: tuple[int, int] | None = None,
) -> Patch | None:
    """Draw an object into a patch of its own.

    Args:
        matrix: 2x3, unit coordinates -> pixel centres.
        clock: Phase of swinging and wobbling, radians.
        kernel: Motion blur of the object, from `streak_kernel`.
        frame_size: ``(width, height)`` of a frame outside of which nothing has to be drawn.

    Returns:
        The patch; ``None`` where ``frame_size`` is given and nothing falls inside.
    """
    places = [compose(matrix, part.place(clock)) for part in thing.parts]
    rings = [
        part.outline if not thing.wobble else thing.bend(part.outline, clock)
        for part in thing.parts
    ]
    points = np.concatenate([apply(place, ring) for place, ring in zip(places, rings)])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 2 + (0 if kernel is None else kernel.shape[0] // 2)
    first, last = np.floor(low) - margin, np.ceil(high) + margin + 1
    if frame_size is not None:
        first, last = np.maximum(first, -margin), np.minimum(last, np.add(frame_size, margin))
        if (last <= first).any():
            return None
    left, top, width, height = (int(v) for v in (*first, *(last - first)))
    to_patch = np.array([[1.0, 0, -left], [0, 1.0, -top]])
    level = _sprite_level(thing.parts[0], matrix)
    image = None
    for part, place in zip(thing.parts, places):
        to_sprite = cv2.invertAffineTransform(part.from_sprite(level))
        if thing.wobble:
            layer = _warp_wobbling(
                thing,
                part.sprites[level],
                to_sprite,
                compose(to_patch, place),
                clock,
                width,
                height,
            )
        else:
            forward = cv2.invertAffineTransform(
                compose(to_sprite, cv2.invertAffineTransform(compose(to_patch, place)))
            )
            layer = cv2.warpAffine(
                part.sprites[level], forward, (width, height), flags=cv2.INTER_LINEAR
            )
        if image is None:
            image = layer
        else:
            blend_over(image, layer)
    if kernel is not None:
        image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return Patch(image, left, top, np.concatenate([low, high]) + 0.5)


def _sprite_level(part: Part, matrix: np.ndarray) -> int:
    """The sprite whose resolution is nearest to what ``matrix`` asks for, rather too fine."""
    wanted = max(abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]) ** 0.5, 1e-3)
    return int(np.clip(np.log2(part.resolution / wanted) + 0.3, 0, len(part.sprites) - 1))


def _warp_wobbling(thing, sprite, to_sprite, place, clock, width, height):
    inverse = cv2.invertAffineTransform(place).astype(np.float32)
    columns, rows = (
        np.arange(width, dtype=np.float32)[None],
        np.arange(height, dtype=np.float32)[:, None],
    )
    x = inverse[0, 0] * columns + inverse[0, 1] * rows + inverse[0, 2]
    y = inverse[1, 0] * columns + inverse[1, 1] * rows + inverse[1, 2]
    x, y = thing.unbend(x, y, np.float32(clock))
    x = np.float32(to_sprite[0, 0]) * x + np.float32(to_sprite[0, 2])
    y = np.float32(to_sprite[1, 1]) * y + np.float32(to_sprite[1, 2])
    return cv2.remap(sprite, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)


def overlap(
    patch: Patch, left: int, top: int, width: int, height: int
) -> tuple[int, int, int, int]:
    """Common rectangle of a patch and another one, xyxy in frame pixels (may be inside out)."""
    rows, columns = patch.image.shape[:2]
    return (
        max(patch.left, left),
        max(patch.top, top),
        min(patch.left + columns, left + width),
        min(patch.top + rows, top + height),
    )


def paste(image: np.ndarray, patch: Patch | None) -> None:
    if patch is None:
        return
    x0, y0, x1, y1 = overlap(patch, 0, 0, image.shape[1], image.shape[0])
    if x0 < x1 and y0 < y1:
        blend_over(
            image[y0:y1, x0:x1],
            patch.image[y0 - patch.top : y1 - patch.top, x0 - patch.left : x1 - patch.left],
        )


def alpha_inside(patch: Patch, size: tuple[int, int]) -> np.ndarray:
    """Alpha of a patch where it lies inside the frame, 0 elsewhere: uint8."""
    alpha = np.zeros(patch.image.shape[:2], np.uint8)
    x0, y0, x1, y1 = overlap(patch, 0, 0, *size)
    if x0 < x1 and y0 < y1:
        where = np.s_[y0 - patch.top : y1 - patch.top, x0 - patch.left : x1 - patch.left]
        alpha[where] = patch.image[..., 3][where]
    return alpha


def hide(seen: np.ndarray, patch: Patch, cover: Patch | None) -> None:
    """Take from ``seen`` (alpha over ``patch``) what ``cover`` hides, in place."""
    if cover is None:
        return
    x0, y0, x1, y1 = overlap(cover, patch.left, patch.top, seen.shape[1], seen.shape[0])
    if x0 < x1 and y0 < y1:
        clear = cv2.bitwise_not(
            np.ascontiguousarray(
                cover.image[y0 - cover.top : y1 - cover.top, x0 - cover.left : x1 - cover.left, 3]
            )
        )
        where = np.s_[y0 - patch.top : y1 - patch.top, x0 - patch.left : x1 - patch.left]
        seen[where] = cv2.multiply(np.ascontiguousarray(seen[where]), clear, scale=1 / 255)
