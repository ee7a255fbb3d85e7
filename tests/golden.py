"""Golden outputs of the published implementations, and the rule that made their weights.

The files lie beside a checkout, in ``../shared/golden`` or where ``MIXFORMERV2_GOLDEN`` says.
Tests that need them are marked ``needs_golden``; small own fixtures in ``tests/data`` cover the
same code elsewhere. Weights and inputs are never stored: they are drawn from a generator that
depends on nothing but their name and a seed.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

_FOLDER = Path(
    os.environ.get('MIXFORMERV2_GOLDEN')
    or Path(__file__).resolve().parents[2] / 'shared' / 'golden'
)
GOLDEN = _FOLDER if _FOLDER.is_dir() else None

needs_golden = pytest.mark.skipif(
    GOLDEN is None,
    reason='golden files of the published implementations are not in ../shared/golden',
)


def golden_path(name: str) -> Path:
    """Path of a golden file, e.g. ``mixformerv2/f_crops.npz``."""
    return GOLDEN / name


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of a golden file, e.g. ``mixformerv2/f_crops.npz``."""
    with np.load(golden_path(name)) as arrays:
        return {key: arrays[key] for key in arrays.files}


def load_manifest(name: str) -> dict:
    """Names and shapes of a published state dict, e.g. ``mixformerv2/c_full_b.manifest.json``."""
    return json.loads(golden_path(name).read_text())


def _generator(name: str, seed: int) -> np.random.RandomState:
    return np.random.RandomState((zlib.crc32(name.encode()) + 7919 * seed) % 2**32)


def fill_tensor(name: str, shape, seed: int = 0) -> torch.Tensor:
    """A float32 parameter: norm scales near 1, biases small, matrices N(0, 1) / sqrt(fan in)."""
    generator, shape = _generator(name, seed), tuple(shape)
    if name.endswith('running_var'):
        values = generator.uniform(0.5, 1.5, shape)
    elif len(shape) <= 1:
        noise = generator.standard_normal(shape)
        values = 1 + 0.1 * noise if name.endswith('weight') else 0.05 * noise
    else:
        fan_in = max(1, int(np.prod(shape[1:])))
        values = generator.standard_normal(shape) / np.sqrt(fan_in)
    return torch.from_numpy(np.asarray(values, np.float32))


def fill_state_dict(manifest: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    """All tensors that a manifest lists under ``float`` (drawn) and ``int`` (zeros)."""
    state = {name: fill_tensor(name, shape, seed) for name, shape in manifest['float'].items()}
    for name, shape in manifest.get('int', {}).items():
        state[name] = torch.zeros(shape, dtype=torch.long)
    return state


def make_input(name: str, shape, seed: int = 0) -> torch.Tensor:
    """A standard-normal float32 input."""
    values = _generator('input:' + name, seed).standard_normal(tuple(shape))
    return torch.from_numpy(values.astype(np.float32))


def noise_frame(name: str, shape=(120, 160, 3)) -> np.ndarray:
    """A uint8 noise image, as the golden crops and tracker runs use it."""
    values = make_input(name, shape).numpy()
    return np.clip(np.floor(40 * values + 128), 0, 255).astype(np.uint8)
