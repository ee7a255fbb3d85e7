"""A tracker of a few thousand random weights, as files: a config and a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from layouts import make_got10k
from mmengine.config import Config
from mmtrack.registry import MODELS

BASES = Path(__file__).resolve().parents[1] / 'configs' / '_base_'
MODEL = {
    'backbone': {
        'search_size': 64,
        'template_size': 32,
        'embed_dims': 32,
        'depth': 1,
        'num_heads': 2,
    },
    'box_head': {'in_channels': 32, 'num_bins': 16},
    'score_head': {'in_channels': 32},
    'test_cfg': {'update_interval': 3},
}


def write_small_tracker(folder: Path) -> tuple[Path, Path]:
    """Write ``small_test.py``, a test config, and ``weights.pth``; gives both paths."""
    bases = ['models/mixformerv2-b.py', 'datasets/sot_test.py', 'default_runtime.py']
    config, weights = folder / 'small_test.py', folder / 'weights.pth'
    config.write_text(
        f'_base_ = {json.dumps([str(BASES / base) for base in bases])}\nmodel = {MODEL}\n'
    )
    torch.manual_seed(0)
    state = MODELS.build(Config.fromfile(config).model).state_dict()
    torch.save({'state_dict': state}, weights)
    return config, weights


def lively_tracker(**backbone: int) -> torch.nn.Module:
    """Such a tracker in memory, whose boxes and scores differ from frame to frame.

    Args:
        backbone: Changes of its backbone.
    """
    config = Config.fromfile(BASES / 'models' / 'mixformerv2-b.py')
    config.merge_from_dict({'model': MODEL})
    config.model.backbone.update(backbone)
    model = MODELS.build(config.model).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def annotated_test(folder: Path, **data: int) -> Config:
    """A test of such a tracker on videos in GOT-10k's layout, all of it in ``folder``.

    Args:
        folder: Gets ``data``, the config and the weights.
        data: For ``make_got10k``.
    """
    make_got10k(folder / 'data', **data)
    return on_videos(*write_small_tracker(folder), folder / 'data')


def on_videos(config: Path, weights: Path, videos: Path) -> Config:
    """A test of a tracker on videos in GOT-10k's layout."""
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.update(
        type='AnnotatedGOT10kDataset',
        data_root=str(videos),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix={'img_path': ''},
    )
    cfg.load_from = str(weights)
    return cfg
