"""The tool that makes a training checkpoint small."""

from __future__ import annotations

import torch
from tools_loader import load_tool


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
