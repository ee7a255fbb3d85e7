"""Small trackers of many sizes, for tests of what makes one out of another."""

from __future__ import annotations

import torch
from golden import make_input
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import BASES, MODEL


def settings(**backbone) -> dict:
    """Settings of the small tracker with changes to its backbone."""
    cfg = Config.fromfile(BASES / 'models' / 'mixformerv2-b.py')
    cfg.merge_from_dict({'model': MODEL})
    cfg.model.backbone.update({'mlp_ratio': 2.0, **backbone})
    return cfg.model.to_dict()


def build(seed: int = 0, **backbone):
    """Such a tracker with random weights."""
    torch.manual_seed(seed)
    return MODELS.build(settings(**backbone)).eval()


def loaded(state, **backbone):
    """Such a tracker with exactly these weights."""
    model = build(**backbone)
    model.load_state_dict(state, strict=True)
    return model


@torch.inference_mode()
def output(model) -> torch.Tensor:
    """Everything that a forward pass predicts."""
    inputs = {
        'img': make_input('template', (2, 3, 32, 32))[:, None],
        'search_img': make_input('search', (2, 3, 64, 64))[:, None],
    }
    out = model(inputs, mode='tensor')
    return torch.cat([out.boxes.flatten(), out.edge_logits.flatten(), out.score_logits.flatten()])
