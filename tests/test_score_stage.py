"""Only the score head trains: everything else comes out bit for bit as it went in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from stages import small_stage

from mmtrack_mixformerv2.engine import build_runner, check_training, load_from_local
from mmtrack_mixformerv2.models.distillation import tracker_settings


def stage(data: Path, folder: Path) -> Config:
    changes = {
        'load_from': str(folder / 'parent.pth'),
        'model.backbone.drop_path_rate': 0.5,
        'train_cfg.max_epochs': 2,
    }
    cfg = small_stage('mixformerv2-micro-b_st3-score', data, folder / 'run', **changes)
    settings = tracker_settings(cfg)
    settings.score_head = None
    torch.manual_seed(2)
    torch.save(dict(state_dict=MODELS.build(settings).state_dict()), folder / 'parent.pth')
    return cfg


def test_only_the_score_head_moves(rendered, tmp_path):
    cfg = stage(rendered, tmp_path)
    check_training(cfg)
    runner = build_runner(cfg)
    runner.train()
    before = load_from_local(tmp_path / 'parent.pth')['state_dict']
    after = load_from_local(tmp_path / 'run' / 'epoch_2.pth')['state_dict']
    head = {name for name in after if name.startswith('score_head.')}
    assert after.keys() - before.keys() == head
    assert all(torch.equal(before[name], after[name]) for name in before)
    first = load_from_local(tmp_path / 'run' / 'epoch_1.pth')['state_dict']
    assert all(not torch.equal(first[name], after[name]) for name in head)
    moved = set(map(id, runner.optim_wrapper.optimizer.state))
    assert moved == {id(p) for p in runner.model.score_head.parameters()}
    # The file is a whole tracker.
    plain = MODELS.build(tracker_settings(cfg))
    plain.load_state_dict(after)


def test_nothing_is_dropped_while_the_score_head_trains(rendered, tmp_path):
    model = MODELS.build(stage(rendered, tmp_path).model)
    model.train()
    assert model.score_head.training
    assert not any(module.training for module in model.backbone.modules())
    inputs = torch.randn(2, 1, 3, 32, 32), torch.randn(2, 3, 64, 64)
    one, other = (model.backbone(*inputs).tokens for _ in range(2))
    assert torch.equal(one, other)
    assert not one.requires_grad


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'model.trainable': ['score']}, 'trainable names score, expected some of'),
        ({'model.losses.loss_l1': dict(type='mmdet.L1Loss')}, 'loss_score comes alone'),
        ({'model.score_head': None}, 'score_head'),
    ],
)
def test_refusals(rendered, tmp_path, changes, message):
    cfg = stage(rendered, tmp_path)
    cfg.merge_from_dict(changes)
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg.model)
