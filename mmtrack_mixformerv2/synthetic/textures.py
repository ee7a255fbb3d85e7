"""Textures for rendered sequences: noise, patterns and photographs (NumPy and OpenCV only).

Everything drawn here is a pure function of the generator that is passed in and of the photographs.
Images are uint8, BGR, height x width x channels.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

# Photographs that widely installed packages ship: (package, folder inside it, file names).
PACKAGED_PHOTOGRAPHS = (
    ('sklearn', 'datasets/images', ('china.jpg', 'flower.jpg')),
    ('matplotlib', 'mpl-data/sample_data', ('grace_hopper.jpg',)),
    ('skimage', 'data', ('astronaut.png', 'chelsea.png', 'coffee.png', 'rocket.jpg')),
)
PHOTOGRAPH_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
_PHOTOGRAPH_SIDE = 640  # longer side in memory, pixels


def find_photographs(folder: str | Path | None = None) -> list[Path]:
    """Photographs to cut textures from, in an order that does not depend on the machine.

    Args:
        folder: The user's own photographs (searched without subfolders); ``None`` takes those that
            ship inside installed packages. The packages are located, not imported.

    Returns:
        Paths sorted by file name; empty where no package ships any.

    Raises:
        FileNotFoundError: If ``folder`` does not exist or holds no image.
    """
    if folder is not None:
        folder = Path(folder)
        found = []
        if folder.is_dir():
            found = [p for p in folder.iterdir() if p.suffix.lower() in PHOTOGRAPH_SUFFIXES]
        if not found:
            raise FileNotFoundError(
                f'no photographs in {folder}: expected a folder with files ending in '
                f'{", ".join(PHOTOGRAPH_SUFFIXES)}; leave the option out to use those of installed '
                'packages.'
            )
        return sorted(found, key=lambda p: p.name)
    found = []
    for package, inside, names in PACKAGED_PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        root = Path(next(iter(spec.submodule_search_locations))) / inside
        found += [root / name for name in names if (root / name).is_file()]
    return sorted(found, key=lambda p: p.name)


def photograph_fingerprints(paths: Sequence[Path]) -> dict[str, str]:
    """File name -> first 12 hex digits of the SHA-256 of the file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in paths}


def load_photographs(paths: Sequence[Path]) -> tuple[np.ndarray, ...]:
    """Decode photographs to uint8 BGR arrays whose longer side is at most 640 px.

    Raises:
        ValueError: If a file is not an image that OpenCV reads.
    """
    return tuple(_load_photograph(str(path)) for path in paths)


@lru_cache(maxsize=64)
def _load_photograph(path: str) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(
            f'{path} is not an image that OpenCV can decode; remove it from the photographs.'
        )
    scale = _PHOTOGRAPH_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image.setflags(write=False)
    return image


def value_noise(
    rng: np.random.Generator, height: int, width: int, cell: float, octaves: int, gain: float
) -> np.ndarray:
    """Sum of smooth noise at halving cell sizes, stretched to [0, 1].

    Args:
        cell: Size of the coarsest noise cell in pixels.
        gain: Amplitude of each octave relative to the one before.

    Returns:
        float32 array of shape ``(height, width)``.
    """
    total = np.zeros((height, width), np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        rows, columns = max(2, round(height / cell)) + 1, max(2, round(width / cell)) + 1
        grid = rng.random((rows, columns), dtype=np.float32) * np.float32(amplitude)
        smooth = cv2.INTER_CUBIC if cell > 6 else cv2.INTER_LINEAR
        total += cv2.resize(grid, (width, height), interpolation=smooth)
        amplitude *= gain
        cell /= 2
        if cell < 1.5:
            break
    return cv2.normalize(total, None, 0, 1, cv2.NORM_MINMAX)


def random_colour(rng: np.random.Generator, photographs: Sequence[np.ndarray]) -> np.ndarray:
    """A BGR colour, float64 ``(3,)`` in [0, 255]: a pixel of a photograph or a subdued hue."""
    if photographs and rng.random() < 0.5:
        photograph = photographs[rng.integers(len(photographs))]
        pixel = photograph[rng.integers(photograph.shape[0]), rng.integers(photograph.shape[1])]
        return pixel.astype(np.float64)
    hue, saturation, value = rng.random() * 6, rng.beta(1.3, 2.2), rng.uniform(0.12, 1.0)
    channels = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)  # R, G, B
    return (255 * value * (1 - saturation * (1 - channels)))[::-1]


def random_palette(
    rng: np.random.Generator,
    photographs: Sequence[np.ndarray],
    colours: int = 4,
    hard: bool = False,
) -> np.ndarray:
    """Periodic table from gray to BGR, in steps (``hard``) or blends: uint8 ``(256, 1, 3)``."""
    stops = np.stack([random_colour(rng, photographs) for _ in range(colours)])
    if rng.random() < 0.5:  # related colours: what one material looks like
        stops = stops[0] + (stops - stops[0]) * rng.uniform(0.2, 0.6)
    position = np.arange(256) / 256 * colours
    if hard:
        table = stops[position.astype(int) % colours]
    else:
        first = position.astype(int)
        part = (position - first)[:, None]
        table = stops[first % colours] * (1 - part) + stops[(first + 1) % colours] * part
    return np.clip(table, 0, 255).astype(np.uint8)[:, None]


def _noise_texture(rng, height, width, photographs):
    cell = max(4.0, min(height, width) * rng.uniform(0.08, 0.6))
    noise = value_noise(rng, height, width, cell, int(rng.integers(2, 6)), rng.uniform(0.4, 0.75))
    table = random_palette(rng, photographs, int(rng.integers(2, 6)), hard=rng.random() < 0.2)
    return cv2.applyColorMap(np.uint8(noise * rng.uniform(140, 255)), table)


def _phase(rng, height, width, period, wobble):
    """Gray levels that grow along a random direction and wrap every ``period`` pixels: uint8."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) * 256 / period)
    y = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle) * 256 / period)
    phase = x[None] + y[:, None]
    if wobble:
        phase = phase + np.float32(256 * wobble) * value_noise(
            rng, height, width, 3 * period, 2, 0.5
        )
    return phase.astype(np.int32).astype(np.uint8)


def _stripe_texture(rng, height, width, photographs):
    period = max(6.0, min(height, width) * rng.uniform(0.06, 0.5))
    table = random_palette(rng, photographs, int(rng.integers(2, 5)), hard=rng.random() < 0.6)
    return cv2.applyColorMap(_phase(rng, height, width, period, rng.choice([0.0, 0.3, 1.0])), table)


def _checker_texture(rng, height, width, photographs):
    period = max(8.0, min(height, width) * rng.uniform(0.1, 0.5))
    first, second = (_phase(rng, height, width, period, 0.0) for _ in range(2))
    table = random_palette(rng, photographs, int(rng.integers(2, 5)), hard=True)
    return cv2.applyColorMap((first & 128) ^ (second & 128) | (first & 64), table)


def _gradient_texture(rng, height, width, photographs):
    corners = np.stack([random_colour(rng, photographs) for _ in range(4)]).reshape(2, 2, 3)
    return cv2.resize(corners.astype(np.float32), (width, height)).clip(0, 255).astype(np.uint8)


def _cell_texture(rng, height, width, photographs):
    """Voronoi cells: patches of plain colour with irregular straight borders."""
    seeds = np.full((height, width), 255, np.uint8)
    count = int(rng.integers(6, 60))
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    _, labels = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    shades = rng.integers(0, 256, count + 1).astype(np.uint8)
    return cv2.applyColorMap(
        shades[labels], random_palette(rng, photographs, int(rng.integers(2, 6)))
    )


def photograph_texture(
    rng: np.random.Generator, height: int, width: int, photograph: np.ndarray
) -> np.ndarray:
    """A turned, scaled and recoloured piece of a photograph, uint8 BGR ``(height, width, 3)``."""
    rows, columns = photograph.shape[:2]
    fit = max(height / rows, width / columns)
    scale = fit * np.exp(
        rng.uniform(0.0, np.log(max(1.8, 1.8 / fit)))
    )  # from the whole picture to 1.8x zoom
    angle = rng.choice([0.0, rng.uniform(-0.3, 0.3), rng.uniform(0, 2 * np.pi)], p=[0.5, 0.3, 0.2])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    centre = rng.uniform(0.1, 0.9, 2) * (columns, rows)
    matrix = np.column_stack([turn, np.array([width, height]) / 2 - turn @ centre])
    texture = cv2.warpAffine(
        photograph,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if rng.random() < 0.2:
        return texture
    mix = np.eye(3) + rng.normal(0, 0.15, (3, 3))
    if rng.random() < 0.15:
        mix = mix[rng.permutation(3)]
    mix *= rng.uniform(0.75, 1.2) / mix.sum(axis=1, keepdims=True).clip(0.5)
    offset = rng.uniform(-15, 15, (3, 1))
    return cv2.transform(texture, np.hstack([mix, offset]))


def _leaf_texture(rng, height, width, photographs):
    """Dead leaves: overlapping blobs with power-law sizes, close to the statistics of nature."""
    texture = _gradient_texture(rng, height, width, photographs)
    side = min(height, width)
    count = int(rng.integers(30, 70) + 0.0008 * height * width)
    largest, smallest = 0.3 * side, max(2.0, 0.02 * side)
    power = rng.random(count)
    radius = (
        smallest * largest / (largest - power * (largest - smallest))
    )  # density falls with the square
    radius = np.sort(radius)[::-1] * rng.uniform(0.9, 1.1, count)
    order = np.argsort(
        np.arange(count) + rng.uniform(0, 0.5 * count, count)
    )  # small ones mostly on top
    table = random_palette(rng, photographs, int(rng.integers(3, 7)))[:, 0].astype(int)
    shades = np.clip(table[rng.integers(0, 256, count)] + rng.integers(-12, 13, (count, 1)), 0, 255)
    centres = (rng.random((count, 2)) * (width, height) * 16).astype(int)
    axes = np.maximum(
        radius[:, None] * np.exp(rng.normal(0, rng.uniform(0.05, 0.6), (count, 2))) * 16, 16
    ).astype(int)
    angles = rng.uniform(0, 180, count) * rng.choice([0.0, 1.0])
    for i in order:
        cv2.ellipse(
            texture,
            centres[i].tolist(),
            axes[i].tolist(),
            float(angles[i]),
            0,
            360,
            shades[i].tolist(),
            -1,
            cv2.LINE_AA,
            shift=4,
        )
    return texture


_PATTERNS = (
    _noise_texture,
    _stripe_texture,
    _checker_texture,
    _gradient_texture,
    _cell_texture,
    _leaf_texture,
)
_PATTERN_ODDS = np.array([0.30, 0.15, 0.08, 0.10, 0.12, 0.25])


def random_texture(
    rng: np.random.Generator,
    height: int,
    width: int,
    photographs: Sequence[np.ndarray] = (),
    photograph_odds: float = 0.5,
) -> np.ndarray:
    """A texture of a random kind.

    Args:
        photographs: uint8 BGR images; without any, all textures are procedural.
        photograph_odds: Probability of a piece of a photograph.

    Returns:
        uint8 BGR array of shape ``(height, width, 3)``.
    """
    texture = _one_texture(rng, height, width, photographs, photograph_odds)
    mixing = rng.random()
    if mixing < 0.25:  # two materials mixed everywhere
        other = _one_texture(rng, height, width, photographs, photograph_odds / 2)
        texture = cv2.addWeighted(texture, 0.65, other, 0.35, 0)
    elif mixing < 0.45:  # or each in its own places
        other = _one_texture(rng, height, width, photographs, photograph_odds)
        mask = value_noise(rng, height, width, max(6.0, 0.5 * min(height, width)), 3, 0.4)
        cv2.copyTo(other, np.uint8(mask > rng.uniform(0.4, 0.65)), texture)
    grain = rng.uniform(0, 10)
    speckle = rng.integers(0, 256, (height, width, 1), dtype=np.uint8)
    speckle = cv2.GaussianBlur(speckle, (3, 3), 0)
    return cv2.addWeighted(
        texture, 1.0, cv2.cvtColor(speckle, cv2.COLOR_GRAY2BGR), grain / 128, -grain
    )


def _one_texture(rng, height, width, photographs, photograph_odds):
    use_photograph = rng.random() < photograph_odds
    if use_photograph and photographs:
        return photograph_texture(rng, height, width, photographs[rng.integers(len(photographs))])
    return _PATTERNS[rng.choice(len(_PATTERNS), p=_PATTERN_ODDS)](rng, height, width, photographs)
