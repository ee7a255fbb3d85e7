"""How hard the rendered sequences are: one number per kind of difficulty, and some presets."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


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
        hiding: Probability that the target is wholly out of sight for 8 to 25 frames and comes
            back, for each 60 frames.
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
    hiding: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f'{field.name}={value} but a difficulty option is a number >= 0.')
        for name in ('occlusion', 'leaving', 'hiding', 'blur', 'illumination', 'clutter', 'camera'):
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
    # Medium, but the target always disappears for a while, and is small enough to be covered.
    'occlusion': Difficulty(hiding=1, leaving=0, distractors=1, size_max=0.24),
}


def make_difficulty(preset: str = 'medium', **overrides: float) -> Difficulty:
    """A preset (``'easy'``, ``'medium'``, ...) with single options replaced.

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
