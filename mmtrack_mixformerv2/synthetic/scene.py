"""The scene of a rendered sequence: what there is, how it moves, and one frame of it.

Actors are placed in image coordinates and drawn over a background that a moving camera looks at;
then come defocus, light and sensor noise. All random numbers are drawn when the scene is built, so
frames can be rendered in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from .difficulty import Difficulty
from .hiding import leave_frame, plan_hidings, slide_screen
from .motion import Actor, drift, wander
from .objects import make_object
from .sprites import (
    SpriteObject,
    alpha_inside,
    cast_shadow,
    draw_object,
    hide,
    overlap,
    paste,
)
from .textures import random_texture


class Scene:
    """Everything of one sequence that is drawn once; `frame` then renders any frame of it.

    Args:
        seed, index: Name the sequence.
        difficulty: Options, see `Difficulty`.
        num_frames: Number of frames.
        size: ``(width, height)`` in pixels.
        photographs: uint8 BGR images to cut textures from.
    """

    def __init__(
        self,
        seed: int,
        index: int,
        difficulty: Difficulty,
        num_frames: int,
        size: tuple[int, int],
        photographs: Sequence[np.ndarray] = (),
    ):
        self.seed, self.index, self.num_frames, self.size = seed, index, num_frames, size
        self.options, self.photographs = difficulty, photographs
        self.rng = rng = np.random.default_rng([seed, index])
        self.level = rng.uniform(0.33, 1.0)
        self.exposure = (
            difficulty.blur * self.level * rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.3, 0.7])
        )
        self._set_camera()
        self._paint_background()
        self.target = self._make_target()
        self.below, self.above = [], []
        self._add_distractors()
        self._add_occluders()
        if difficulty.hiding:
            self._hide_target()
        self._clear_first_frame()
        self._set_sensor()

    # What moves

    def _seeds(self, name: int) -> list[int]:
        return [self.seed, self.index, name]

    def _half_sizes(self, mean: float, aspect: float, strength: float) -> np.ndarray:
        """Half widths and heights over time ``(N, 2)`` of an object of mean size and log aspect."""
        scale = np.log(mean) + drift(self.rng, self.num_frames, strength * self.options.scale)
        aspect = aspect + drift(self.rng, self.num_frames, strength * self.options.aspect)
        return 0.5 * np.exp(np.stack([scale + aspect / 2, scale - aspect / 2], axis=1))

    def _make_actor(self, thing_seeds, mean, aspect, start, speed, margin) -> Actor:
        """A wandering object; ``start`` in [0, 1]^2 spans the places where it is in the frame."""
        rng, n, size = self.rng, self.num_frames, np.array(self.size)
        half = self._half_sizes(mean, aspect, self.level)
        room = np.minimum(half[0] * 1.15, size / 2)
        centre = wander(
            rng, n, room + start * (size - 2 * room), speed, np.full(2, margin), size - margin
        )
        angle = drift(rng, n, np.deg2rad(self.options.rotation) * self.level)
        angle = angle - angle[0] + rng.normal(0, 0.15)
        clock = rng.uniform(0, 6) + np.cumsum(np.full(n, rng.uniform(0.1, 0.7)))
        thing = make_object(
            *thing_seeds, half.max(), self.photographs, self.options.deformation * self.level
        )
        return Actor(thing, centre, half, angle, clock, self.exposure)

    def _make_target(self) -> Actor:
        rng, options = self.rng, self.options
        unit = np.sqrt(self.size[0] * self.size[1])
        self.mean = unit * np.exp(rng.uniform(np.log(options.size_min), np.log(options.size_max)))
        self.aspect = np.clip(rng.normal(0, 0.45), -1.0, 1.0)
        margin = min(0.35 * self.mean, 0.4 * min(self.size))
        speed = options.motion * self.level * self.mean * rng.uniform(0.4, 1.3)
        start = rng.uniform(0, 1, 2)
        target = self._make_actor(
            (self._seeds(1), self._seeds(2)), self.mean, self.aspect, start, speed, margin
        )
        self.shadow = (
            rng.uniform(-0.5, 0.5, 2) * self.mean * 0.4,
            rng.choice([0.0, rng.uniform(0.2, 0.6)], p=[0.6, 0.4]),
        )
        if rng.random() < options.leaving and self.num_frames >= 20:
            self._leave_once(target)
        return target

    def _leave_once(self, target: Actor) -> None:
        """Push the target over the nearest side of the frame for a while, later than the start."""
        n = self.num_frames
        width = self.rng.uniform(3, min(8, 0.2 * n))
        middle = max(self.rng.uniform(0.4, 0.95) * n, 3.3 * width)
        bump = np.clip(1.6 * np.exp(-0.5 * ((np.arange(n) - middle) / width) ** 2), 0, 1)
        nearest = target.centre[int(min(middle, n - 1))]
        distance = np.concatenate([nearest, np.array(self.size) - nearest])
        side = int(np.argmin(distance))
        push = (distance[side] + 1.2 * 2 * target.half[:, side % 2].max()) * (-1 if side < 2 else 1)
        target.centre[:, side % 2] += bump * push

    def _add_distractors(self) -> None:
        rng, options = self.rng, self.options
        for k in range(int(rng.integers(0, options.distractors + 1))):
            shape = self._seeds(1) if rng.random() < 0.6 else self._seeds(10 + k)
            paint = (
                self._seeds(2)
                if rng.random() < (0.5 if shape != self._seeds(1) else 0.25)
                else self._seeds(40 + k)
            )
            mean = self.mean * np.exp(rng.normal(0, 0.2))
            start = np.clip(self.target.centre[0] / self.size + rng.normal(0, 0.35, 2), -0.1, 1.1)
            speed = options.motion * self.level * mean
            actor = self._make_actor(
                (shape, paint), mean, self.aspect + rng.normal(0, 0.2), start, speed, 0.0
            )
            (self.above if rng.random() < 0.3 else self.below).append(actor)

    def _add_occluders(self) -> None:
        rng, n = self.rng, self.num_frames
        for k in range(max(1, round(n / 20))):
            if rng.random() >= self.options.occlusion:
                continue
            transit = rng.uniform(8, 26)  # frames from the first to the last contact
            middle = int(max(rng.uniform(0.1, 1.0) * n, 0.6 * transit + 2))
            at = self.target.centre[min(middle, n - 1)]
            own = 2 * self.target.half[min(middle, n - 1)]
            if rng.random() < 0.35:  # a post or a bar
                size = own.max() * np.array([rng.uniform(0.25, 0.9), rng.uniform(3, 6)])
                heading = rng.normal(0, 0.2) + rng.choice([0, np.pi / 2], p=[0.75, 0.25])
            else:
                size = own.mean() * rng.uniform(0.5, 1.5) * np.exp(rng.normal(0, 0.25, 2))
                heading = rng.uniform(0, 2 * np.pi)
            way = heading if size[1] > 2 * size[0] else rng.uniform(0, 2 * np.pi)
            velocity = (own.mean() + size[0]) / transit * np.array([np.cos(way), np.sin(way)])
            offset = rng.normal(0, 0.15, 2) * own
            centre = at + offset + velocity * (np.arange(n) - middle)[:, None]
            thing = make_object(
                self._seeds(70 + k),
                self._seeds(90 + k),
                min(size.max() / 2, 120.0),
                self.photographs,
            )
            actor = Actor(
                thing,
                centre,
                np.tile(size / 2, (n, 1)),
                np.full(n, heading),
                np.arange(n) * 0.2,
                self.exposure,
            )
            self.above.append(actor)

    def _hide_target(self) -> None:
        """Let the target disappear for a while; draws from a generator of its own."""
        rng = np.random.default_rng(self._seeds(150))
        for k, hiding in enumerate(plan_hidings(rng, self.num_frames, self.options.hiding)):
            if hiding.leaves:
                ramp = min(int(rng.integers(4, 10)), hiding.start - 1)
                leave_frame(self.target, hiding, self.size, ramp)
            else:
                seeds = self._seeds(151 + k)
                self.above.append(slide_screen(rng, self.target, hiding, seeds, self.photographs))

    def _clear_first_frame(self) -> None:
        """Leave out what would hide the target in the first frame, which shows what to follow."""
        patch = self.target.draw(0)
        height, width = patch.image.shape[:2]

        def is_clear(actor):
            cover = actor.draw(0, self.size)
            if cover is None:
                return True
            x0, y0, x1, y1 = overlap(cover, patch.left, patch.top, width, height)
            return x0 >= x1 or y0 >= y1

        self.above = [actor for actor in self.above if is_clear(actor)]

    # What stays

    def _set_camera(self) -> None:
        """Per frame: where the canvas is looked at (pixels from its centre), zoom and roll."""
        rng, n = self.rng, self.num_frames
        strength = self.options.camera * self.level
        width, height = self.size
        self.canvas_size = (int(width * 1.5), int(height * 1.5))
        pan = np.stack([drift(rng, n, 0.28 * strength * side) for side in self.size], axis=1)
        shake = rng.normal(0, rng.choice([0.0, 1.2]) * strength, (n, 2))
        self.pan = pan + shake
        self.zoom = np.exp(drift(rng, n, 0.22 * strength))
        self.roll = drift(rng, n, np.deg2rad(12) * strength)

    def _camera_matrix(self, t: int, shift: np.ndarray) -> np.ndarray:
        cos, sin = np.cos(self.roll[t]) * self.zoom[t], np.sin(self.roll[t]) * self.zoom[t]
        turn = np.array([[cos, -sin], [sin, cos]])
        look = np.array(self.canvas_size) / 2 + self.pan[t] + shift
        return np.column_stack([turn, np.array(self.size) / 2 - turn @ look])

    def _paint_background(self) -> None:
        rng, clutter = self.rng, self.options.clutter * self.rng.uniform(0.3, 1.0)
        width, height = self.canvas_size
        canvas = random_texture(rng, height, width, self.photographs, 0.55)
        if rng.random() < 0.3:  # ground and sky, or wall and floor
            other = random_texture(rng, height, width, self.photographs, 0.4)
            horizon = height * (0.5 + rng.uniform(-0.15, 0.15)) + _ridge(rng, width, 0.08 * height)
            row = np.arange(height, dtype=np.float32)[:, None]
            mask = np.clip(255 * (row - horizon[None]) + 128, 0, 255).astype(np.uint8)
            cv2.copyTo(other, mask, canvas)
        sigma = (1 - clutter) * rng.uniform(0, 4)
        if sigma > 0.5:
            canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
        kinds = int(rng.integers(0, 1 + round(7 * clutter)))
        for k in range(kinds):
            half = min(self.size) * np.exp(rng.uniform(np.log(0.05), np.log(0.28)))
            thing = make_object(self._seeds(110 + k), self._seeds(130 + k), half, self.photographs)
            for _ in range(int(rng.integers(1, 4))):
                self._stamp(canvas, thing, half * rng.uniform(0.6, 1.0))
        self.canvas = canvas

    def _stamp(self, canvas: np.ndarray, thing: SpriteObject, half: float) -> None:
        rng = self.rng
        angle, aspect = rng.normal(0, 0.5), np.exp(rng.normal(0, 0.25))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) * (half * aspect, half / aspect)
        patch = draw_object(thing, np.column_stack([turn, rng.uniform(0, 1, 2) * self.canvas_size]))
        paste(canvas, patch)

    # What the sensor does

    def _set_sensor(self) -> None:
        rng, n = self.rng, self.num_frames
        strength = self.options.illumination * self.level
        gain = np.exp(drift(rng, n, 0.5 * strength) + rng.normal(0, 0.1 * strength))
        bias = drift(rng, n, 25 * strength)
        cast = np.stack([np.exp(drift(rng, n, 0.12 * strength)) for _ in range(3)], axis=1)
        if rng.random() < 0.15 * strength:  # a light is switched
            gain[int(rng.uniform(0.2, 0.8) * n) :] *= rng.choice([0.55, 1.4])
        ramp = np.arange(256)[None, :, None]
        tables = ramp * (gain[:, None] * cast)[:, None] + bias[:, None, None]
        self.tables = np.clip(tables, 0, 255).astype(np.uint8)  # (N, 256, 3)
        self.is_lit = strength > 0.02
        focus = drift(rng, n, 1.0) * self.options.blur * self.level
        self.defocus = np.where(rng.random() < 0.5, np.clip(3.0 * focus - 0.6, 0, None), 0.0)
        self.grain = self.options.noise * self.level * rng.uniform(0.2, 1.0)
        self.noise = _scaled_noise(self.size, self.grain) if self.grain > 0.3 else None
        self.noise_at = rng.integers(0, _NOISE_SLACK, (n, 2))

    def _background(self, t: int) -> np.ndarray:
        flags = cv2.INTER_LINEAR
        before, after = max(t - 1, 0), min(t + 1, self.num_frames - 1)
        step = (self.pan[after] - self.pan[before]) / max(after - before, 1) * self.exposure
        length = float(np.hypot(*step)) * self.zoom[t]
        shots = 1 if length < 1.5 else 2 if length < 3 else 4
        frames = [
            cv2.warpAffine(
                self.canvas,
                self._camera_matrix(t, step * part),
                self.size,
                flags=flags,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for part in (np.arange(shots) + 0.5) / shots - 0.5
        ]
        while len(frames) > 1:
            frames = [cv2.addWeighted(a, 0.5, b, 0.5, 0) for a, b in zip(frames[::2], frames[1::2])]
        return frames[0]

    def frame(self, t: int) -> tuple[np.ndarray, np.ndarray, float, bool]:
        """Render frame ``t``.

        Returns:
            uint8 BGR ``(H, W, 3)``; box xywh float64 ``(4,)``; seen share of the silhouette in [0,
            1]; whether the border of the frame cuts the target.
        """
        width, height = self.size
        image = self._background(t)
        for actor in self.below:
            paste(image, actor.draw(t, self.size))
        patch = self.target.draw(t)
        if self.shadow[1]:
            paste(image, cast_shadow(patch, *self.shadow))
        paste(image, patch)
        seen = alpha_inside(patch, self.size)
        whole = float(cv2.sumElems(patch.image[..., 3])[0])
        for actor in self.above:
            cover = actor.draw(t, self.size)
            paste(image, cover)
            hide(seen, patch, cover)
        share = float(cv2.sumElems(seen)[0]) / max(whole, 1.0)
        if self.defocus[t] > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), float(self.defocus[t]))
        if self.is_lit:
            image = cv2.LUT(image, self.tables[t][:, None])
        if self.noise is not None:
            y, x = self.noise_at[t]
            image = cv2.add(image, self.noise[y : y + height, x : x + width], dtype=cv2.CV_8U)
        clipped = np.clip(patch.box, 0, (width, height, width, height))
        extent = clipped[2:] - clipped[:2]
        is_cut = bool(np.any(np.abs(clipped - patch.box) > 0.5))
        box = np.concatenate([clipped[:2], extent]) if extent.min() > 0 else np.zeros(4)
        return image, box, share, is_cut


def _ridge(rng: np.random.Generator, width: int, amplitude: float) -> np.ndarray:
    """A line that rises and falls like hills: float32 ``(width,)``."""
    columns_per_step = rng.choice([4, 12, 40])
    coarse = drift(rng, width // columns_per_step + 2, amplitude)
    return np.interp(np.arange(width) / columns_per_step, np.arange(len(coarse)), coarse).astype(
        np.float32
    )


_NOISE_SLACK = 48  # how many pixels the noise picture is larger than a frame


@lru_cache(maxsize=4)
def _unit_noise(size: tuple[int, int]) -> np.ndarray:
    """Slightly correlated normal noise, float32 ``(H, W, 3)``; frames cut it out."""
    shape = (size[1] + _NOISE_SLACK, size[0] + _NOISE_SLACK, 3)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (3, 3), 0.5)
    noise /= noise.std()
    noise.setflags(write=False)
    return noise


def _scaled_noise(size: tuple[int, int], sigma: float) -> np.ndarray:
    return np.clip(np.rint(_unit_noise(size) * np.float32(sigma)), -127, 127).astype(np.int8)
