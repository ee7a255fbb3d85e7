"""The published forward of each system finds, on our weights, what the cached tracker finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from torch import nn

from mmtrack_mixformerv2.analysis import multiply_adds
from mmtrack_mixformerv2.benchmark.speed.contenders import (
    PUBLISHED,
    Contender,
    build_model,
    count_work,
)
from mmtrack_mixformerv2.published import publish

MODELS_FOLDER = Path(__file__).resolve().parents[1] / 'configs/_base_/models'
ROUNDING = 1e-5  # of float32, in boxes of [0, 1]
SYSTEMS = ('mixformerv2-tiny', 'mixvit-tiny_score', 'mixformer-cvt-tiny', 'mvt-tiny', 'fermt-tiny')


def build(name: str, online: int = 0, **options: object) -> nn.Module:
    """A tiny tracker with weights that differ from block to block, and lively batch norms."""
    cfg = Config.fromfile(MODELS_FOLDER / f'{name}.py')
    cfg.merge_from_dict(options)
    if name == 'mixformer-cvt-tiny':  # the tiny one has no scores
        cfg.model.score_head = dict(type='ScorePredictionModule', in_channels=96, num_heads=4)
    cfg.model.test_cfg.num_online_templates = online
    torch.manual_seed(2)
    model = MODELS.build(cfg.model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def crops_of(model: nn.Module, templates: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Different templates, and a search region."""
    rng = np.random.default_rng(5)
    sizes = [model.backbone.template_size] * templates + [model.backbone.search_size]
    *crops, search = (rng.integers(0, 256, (s, s, 3), dtype=np.uint8) for s in sizes)
    return crops, search


CASES = [(name, 1) for name in SYSTEMS]
CASES += [(name, count) for name in SYSTEMS[:2] for count in (2, 3)]


@pytest.mark.parametrize(('name', 'count'), CASES)
def test_it_finds_what_the_cached_tracker_finds(name, count):
    model = build(name, online=count - 1)
    templates, search = crops_of(model, count)
    ours, published = model.loop.predictor, publish(model)
    box, score, _ = ours.predict(search, ours.encode_templates(templates))
    expected, expected_score, _ = published.predict(search, published.encode_templates(templates))
    assert np.abs(box - expected).max() < ROUNDING
    assert score == pytest.approx(expected_score, abs=ROUNDING)
    other = [255 - crop for crop in templates]
    changed = published.predict(search, published.encode_templates(other)).box
    assert np.abs(np.subtract(changed, expected)).max() > ROUNDING


@pytest.mark.parametrize('design', ['A1', 'A2', 'A3', 'A4', 'A5'])
def test_every_design_of_attention_of_fermt_is_as_ours(design):
    attention = ['A3', design, 'A5', design, 'A4', 'A2']
    model = build('fermt-tiny', **{'model.backbone.attention': attention})
    templates, search = crops_of(model, 1)
    ours, published = model.loop.predictor, publish(model)
    box = ours.predict(search, ours.encode_templates(templates)).box
    expected = published.predict(search, published.encode_templates(templates)).box
    assert np.abs(np.subtract(box, expected)).max() < ROUNDING


@pytest.mark.parametrize('name', SYSTEMS)
def test_the_cache_saves_work(name):
    model = build(name)
    assert count_work(model, Contender('torch')) < count_work(model, PUBLISHED)


def test_several_templates_of_mixformer_cvt_are_kept_before_the_linear_layers():
    """Two go through everything at every frame; of three, only the linear layers see the keys."""
    model = build('mixformer-cvt-tiny', online=2)
    published = publish(model)

    def work(count: int) -> int:
        templates, search = crops_of(model, count)
        kept = published.encode_templates(templates)
        return multiply_adds(lambda: published.predict(search, kept))

    assert work(2) > work(1) and work(3) < work(2)


def test_a_backbone_that_nobody_published_is_named():
    model = build('fermt-tiny')
    model.backbone = nn.Identity()
    with pytest.raises(ValueError, match='backbone is Identity.*PMAMViT, MixCvT, SiamMobileViT'):
        publish(model)


def test_batch_norms_of_random_weights_have_statistics():
    """Scores of all cells saturate without, and rounding would choose the box."""
    model = build_model(Config.fromfile(MODELS_FOLDER / 'mvt-tiny.py'), None)
    norms = [one for one in model.modules() if isinstance(one, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert norms and not any(norm.training or norm.momentum == 1 for norm in norms)
    assert not any(torch.equal(norm.running_var, torch.ones_like(norm.bias)) for norm in norms)
