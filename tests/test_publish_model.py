"""The tool that makes a training checkpoint small."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import write_small_tracker
from tools_loader import load_tool

from mmtrack_mixformerv2.checkpoints import publish_state_dict
from mmtrack_mixformerv2.checkpoints.publish import FIXED_TABLES
from mmtrack_mixformerv2.position import sincos_position_table


def test_only_the_weights_of_the_tracker_are_kept_in_half_precision(tmp_path, capsys):
    source, target = tmp_path / 'epoch_1.pth', tmp_path / 'small.pth'
    weight = torch.linspace(-1, 1, 6).reshape(2, 3)
    state = {'head.weight': weight, 'steps': torch.tensor(3)}
    state['auxiliary.norm.weight'] = torch.ones(2)
    torch.save({'state_dict': state, 'optimizer': {'state': {0: weight}}, 'meta': {}}, source)
    tool = load_tool('model_converters/publish_model')
    assert tool.main([str(source), str(target)]) == 0
    assert '1 auxiliary tensors dropped' in capsys.readouterr().out
    published = torch.load(target, weights_only=True)
    assert set(published) == {'state_dict', 'meta'}
    assert torch.equal(published['state_dict']['head.weight'], weight.half())
    assert published['state_dict']['steps'].dtype == torch.int64
    assert set(published['state_dict']) == {'head.weight', 'steps'}

    assert tool.main([str(source), str(target), '--float32']) == 1
    assert 'use --force to replace it' in capsys.readouterr().err
    assert tool.main([str(source), str(target), '--float32', '--force']) == 0
    exact = torch.load(target, weights_only=True)['state_dict']['head.weight']
    assert torch.equal(exact, weight)


@pytest.mark.parametrize('half', [True, False])
def test_position_tables_stay_exact_and_the_input_as_it_is(half):
    state = {
        'backbone.search_pos_embed': sincos_position_table(3, 8),
        'backbone.template_pos_embed': sincos_position_table(2, 8),
        'backbone.prediction_pos_embed': torch.full((1, 4, 8), 0.1),
        'auxiliary.norm.bias': torch.ones(2),
    }
    before = {name: tensor.clone() for name, tensor in state.items()}
    published = publish_state_dict(state, half=half)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    assert list(published) == list(state)[:3]
    for name in list(state)[:2]:
        assert published[name].dtype == torch.float32
        assert torch.equal(published[name], state[name])
    learned = published['backbone.prediction_pos_embed']
    assert learned.dtype == (torch.float16 if half else torch.float32)


def test_tables_that_stay_exact_are_those_that_a_tracker_never_trains(tmp_path):
    config, _ = write_small_tracker(tmp_path)
    model = MODELS.build(Config.fromfile(config).model)
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == set(FIXED_TABLES)
