"""MixFormer (CvT), and MixViT with its score prediction module: published settings and recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmtrack.registry import MODELS
from test_configs import load, tiny_training
from torch import nn

from mmtrack_mixformerv2.models import ScorePredictionModule

FIRST_STAGE = 'mixformer-cvt_st1_8xb32-500e_got10k-lasot-trackingnet-coco'

# Search factor, update interval, online templates, decay of the best score: section 3 of the facts
# about MixFormer (CvT) and of those about MixViT that this package was written from.
PUBLISHED = {
    'mixformer-cvt_test-lasot': (4.55, 200, 2, 1.0),
    'mixformer-cvt_test-trackingnet': (4.5, 25, 1, 1.0),
    'mixformer-cvt_test-got10k': (4.55, 10, 2, 0.98),
    'mixvit-b-score_test-lasot': (5.05, 200, 2, 1.0),
    'mixvit-b-score_test-trackingnet': (4.5, 25, 3, 1.0),
    'mixvit-b-score_test-got10k': (4.5, 200, 2, 1.0),
    'mixvit-l-score_test-lasot': (4.55, 200, 2, 1.0),
    'mixvit-l-score_test-trackingnet': (4.6, 25, 2, 1.0),
    'mixvit-l-score_test-got10k': (4.5, 200, 2, 1.0),
}
# Epochs, and after how many the rate drops: sections 7 and 4 of the same.
SCORE_STAGES = {'mixformer-cvt_st2-score': (30, 20), 'mixvit-b-score_st2-score': (50, 40)}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_numbers_of_the_test_configs(name):
    search_factor, update_interval, num_online_templates, decay = PUBLISHED[name]
    assert load(name).model.test_cfg == dict(
        search_factor=search_factor,
        template_factor=2.0,
        num_online_templates=num_online_templates,
        update_interval=update_interval,
        score_threshold=0.5,
        max_score_decay=decay,
        clip_margin=10,
    )


def test_recipe_of_the_first_stage():
    cfg = load(FIRST_STAGE)
    assert cfg.train_cfg.max_epochs == 500 and cfg.param_scheduler.milestones == [400]
    assert cfg.train_dataloader.sampler.samples_per_epoch == 60000
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4
    )
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=0.1))
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    losses = {name: (loss.type, loss.loss_weight) for name, loss in cfg.model.losses.items()}
    assert losses == dict(loss_l1=('mmdet.L1Loss', 5.0), loss_iou=('EdgeCIoULoss', 2.0))
    check_crops(cfg, 320, search_factor=5.0)


@pytest.mark.parametrize('name', SCORE_STAGES)
def test_recipe_of_the_score_stages(name):
    cfg, (epochs, drop) = load(name), SCORE_STAGES[name]
    assert cfg.train_cfg.max_epochs == epochs and cfg.param_scheduler.milestones == [drop]
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.model.trainable == ['score_head']
    assert list(cfg.model.losses) == ['loss_score']
    assert cfg.train_dataloader.dataset.negative_prob == 0.5
    check_crops(cfg, *((320, 5.0) if 'cvt' in name else (288, 4.5)))


def check_crops(cfg: ConfigDict, search_size: int, search_factor: float) -> None:
    """The crops of a training, which a backbone refuses if they have not its sizes."""
    crop = next(s for s in cfg.train_dataloader.dataset.pipeline if 'search_size' in s)
    assert (crop.search_size, crop.template_size) == (search_size, 128)
    assert (crop.search_factor, crop.template_factor) == (search_factor, 2.0)
    assert (crop.center_jitter, crop.scale_jitter) == (4.5, 0.5)


def small(name: str, folder: Path) -> ConfigDict:
    """A training config with tiny data, a thin model and small crops."""
    cfg = tiny_training(name, folder)
    sizes = dict(search_size=64, template_size=32)
    cfg.model.backbone.update(sizes)
    cfg.model.box_head.channels = 32  # with a single channel in its last layer it may be dead
    next(s for s in cfg.train_dataloader.dataset.pipeline if 'search_size' in s).update(sizes)
    return cfg


def take_a_step(cfg: ConfigDict) -> tuple[nn.Module, set[str]]:
    """The model after one step on two samples, and the names of all that has changed."""
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    losses = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))
    assert losses['loss'].isfinite()
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    return model, changed


def test_the_first_stage_trains_all_but_the_batch_norms_of_the_backbone(tmp_path):
    torch.manual_seed(0)
    model, changed = take_a_step(small(FIRST_STAGE, tmp_path))
    assert model.score_head is None
    frozen = {n for n in model.state_dict() if n.startswith('backbone.') and '.bn.' in n}
    assert len(frozen) == 3 * 3 * 5
    # A softmax does not change with a shift of all its logits, by a key's or the last bias.
    still = model.state_dict().keys() - changed
    assert {n for n in still if not n.endswith(('key.linear.bias', 'predict.bias'))} == frozen


def test_the_score_stage_moves_its_head_alone_and_reads_true_boxes(tmp_path, monkeypatch):
    torch.manual_seed(0)
    boxes, forward = [], ScorePredictionModule.forward

    def watched(self, features, given):
        boxes.append(given)
        return forward(self, features, given)

    monkeypatch.setattr(ScorePredictionModule, 'forward', watched)
    _, changed = take_a_step(small('mixformer-cvt_st2-score', tmp_path))
    assert changed and all(name.startswith('score_head.') for name in changed)
    (seen,) = boxes
    assert seen.shape == (2, 4) and (seen[:, 2:] > seen[:, :2]).all()
    assert seen.min() >= 0 and seen.max() <= 1
