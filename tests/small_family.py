"""One tracker of a few thousand random weights for each design of the family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from golden import fill_tensor
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import BASES

from mmtrack_mixformerv2.tracking import Prediction
from mmtrack_mixformerv2.tracking.predictor import BatchPredictor

TARGETS = 5  # of a comparison

SIZES = {'search_size': 64, 'template_size': 32}
_FERMT = {
    'backbone': {
        **SIZES,
        'embed_dims': 24,
        'depth': 2,
        'num_heads': 3,
        'mlp_ratio': 2.0,
        'attention': ['A2', 'A5'],
    },
    'box_head': {'in_channels': 24, 'channels': 16},
}
# By the name of the base config: how it is made small.
FAMILY = {
    'mixformer-cvt': {
        'backbone': {
            **SIZES,
            'stage_dims': [8, 16],
            'num_heads': [1, 2],
            'depths': [1, 1],
            'embed_convs': [(7, 4, 2), (3, 2, 1)],
            'drop_path_rates': [0.0, 0.0],
            'mlp_ratio': 2.0,
        },
        'box_head': {'in_channels': 16, 'channels': 16},
        'score_head': {'in_channels': 16, 'num_heads': 2},
        'test_cfg': {'update_interval': 3, 'score_threshold': 0.0, 'num_online_templates': 2},
    },
    'mvt': {
        'backbone': {
            **SIZES,
            'widths': [4, 8, 8, 12, 16],
            'dims': [16, 24],
            'depths': [1, 1],
            'expansion': 2,
        },
        'neck': {'in_channels': 16, 'out_channels': 24, 'template_tokens': 4},
        'box_head': {'in_channels': 24, 'channels': 16},
    },
    'fermt': _FERMT,
    'fermt-corner': _FERMT,
    'fermt-corner-reweighted': {**_FERMT, 'neck': {'in_channels': 24}},
    'mixvit-b_score': {
        'backbone': {**SIZES, 'embed_dims': 32, 'depth': 2, 'num_heads': 2},
        'box_head': {'in_channels': 32, 'channels': 16},
        'score_head': {'in_channels': 32, 'num_heads': 2},
        'test_cfg': {'update_interval': 3, 'score_threshold': 0.0},
    },
}


def small_config(name: str) -> Config:
    """The small model of a system, as a config with ``model``."""
    config = Config.fromfile(BASES / 'models' / f'{name}.py')
    config.merge_from_dict({'model': FAMILY[name]})
    return config


# Whose boxes have an area and move; scores of boxes without area are all the same.
_SEEDS = {'mvt': 0, 'fermt': 4}


def small_member(name: str) -> torch.nn.Module:
    """Such a tracker in memory, whose boxes and scores differ from frame to frame.

    Batch norms have statistics, as after training, and the last layers of heads weights so large
    that their maps have peaks.
    """
    model = MODELS.build(small_config(name).model).eval()
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            in_backbone = key.startswith('backbone.') and value.ndim == 4
            last = key.endswith(('predict.weight', 'fc3.weight'))
            gain = 1.3 if in_backbone else 6 if last else 1
            value.copy_(gain * fill_tensor(key, value.shape, _SEEDS.get(name, 9)))
    return model


def write_small_member(folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``test.py``, a test config, and ``weights.pth``; gives both paths."""
    bases = [f'models/{name}.py', 'datasets/sot_test.py', 'default_runtime.py']
    config, weights = folder / 'test.py', folder / 'weights.pth'
    config.write_text(
        f'_base_ = {json.dumps([str(BASES / base) for base in bases])}\nmodel = {FAMILY[name]}\n'
    )
    torch.save({'state_dict': small_member(name).state_dict()}, weights)
    return config, weights


def blotches(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """An RGB frame of random squares; convolutions average noise away, but not these."""
    small = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3))
    return small.astype(np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width]


def templates_of(model: torch.nn.Module) -> list[list[np.ndarray]]:
    """As many for each target as the tracker keeps."""
    count = 1 + model.loop.settings.num_online_templates
    size = SIZES['template_size']
    return [[blotches(100 * i + j, size, size) for j in range(count)] for i in range(TARGETS)]


def searches() -> list[np.ndarray]:
    return [blotches(i, SIZES['search_size'], SIZES['search_size']) for i in range(TARGETS)]


def predict(predictor: BatchPredictor, templates: Sequence) -> list[Prediction]:
    return predictor.predict_batch(searches(), predictor.encode_templates_batch(templates))


def boxes_of(found: Sequence[Prediction]) -> np.ndarray:
    """In pixels of the crop."""
    return np.stack([one.box for one in found]) * SIZES['search_size']


def assert_same(found: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    """To a thousandth of a pixel, which is what an export must keep."""
    assert len(found) == len(expected)
    np.testing.assert_allclose(boxes_of(found), boxes_of(expected), atol=1e-3)
    for one, other in zip(found, expected):
        assert (one.score is None) == (other.score is None)
        np.testing.assert_allclose(one.score or 0, other.score or 0, atol=1e-4)
        assert (one.edges is None) == (other.edges is None)
        if one.edges is not None:
            np.testing.assert_allclose(one.edges, other.edges, atol=1e-4)
