"""A checkpoint that does not fit stops a run before its first iteration."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy import ToyModel, write_config

from mmtrack_mixformerv2.engine import StrictLoadHook, build_runner, read_config


@pytest.fixture
def weights(tmp_path):
    """File with the weights of a toy model of the size in the config."""
    torch.save(dict(state_dict=ToyModel().state_dict()), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


def check(model, checkpoint, whole=True, **settings):
    """Compare a model and a checkpoint as the hook does."""
    StrictLoadHook(**settings).check(model, checkpoint, source='weights.pth', whole=whole)


def test_fitting_weights_pass():
    state = ToyModel().state_dict()
    check(ToyModel(), dict(state_dict=state))
    check(ToyModel(), state)
    check(ToyModel(), {f'module.{name}': value for name, value in state.items()})


def test_distributed_wrapper_is_looked_through():
    model = ToyModel()
    wrapped = nn.DataParallel(model)
    check(wrapped, model.state_dict())


def test_other_sizes_are_named():
    with pytest.raises(ValueError, match=r'head.weight \(1, 16\) instead of \(1, 8\)') as error:
        check(ToyModel(), ToyModel(hidden=16).state_dict())
    assert '3 of another shape' in str(error.value)
    assert 'weights.pth does not fit the model ToyModel' in str(error.value)


def test_another_depth_is_named():
    message = r'blocks has 3 entries in the checkpoint and 1 in the model'
    with pytest.raises(ValueError, match=message) as error:
        check(ToyModel(), ToyModel(depth=3).state_dict())
    names = 'blocks.1.weight, blocks.1.bias, blocks.2.weight, blocks.2.bias'
    assert f'4 only in the checkpoint: {names}' in str(error.value)


def test_long_lists_are_cut():
    with pytest.raises(ValueError, match=r'6 only in the checkpoint: (\S+, ){3}\S+ and 2 more'):
        check(ToyModel(), ToyModel(depth=4).state_dict())


def test_missing_parts_are_allowed_only_when_named_and_training():
    state = ToyModel().state_dict()
    del state['head.weight'], state['head.bias']
    check(ToyModel(), state, whole=False, allow_missing=['head'])
    with pytest.raises(ValueError, match='2 only in the model: head.weight, head.bias'):
        check(ToyModel(), state, whole=True, allow_missing=['head'])
    with pytest.raises(ValueError, match='2 only in the model'):
        check(ToyModel(), state, whole=False, allow_missing=['hea'])  # not a part of the model
    with pytest.raises(TypeError, match=r"\['head'\]"):
        StrictLoadHook(allow_missing='head')


def test_unexpected_parts_are_never_allowed():
    state = dict(ToyModel().state_dict(), extra=torch.ones(1))
    with pytest.raises(ValueError, match='1 only in the checkpoint: extra'):
        check(ToyModel(), state, whole=False, allow_missing=['extra'])


@pytest.mark.parametrize('content', [[1, 2], dict(state_dict=[1])])
def test_something_else_is_refused(content):
    with pytest.raises(ValueError, match='expected a state dict'):
        check(ToyModel(), content)


def test_runner_stops_before_the_first_iteration(tmp_path, weights):
    model = dict(hidden=16)
    for method in ('train', 'test'):
        path = write_config(tmp_path, load_from=str(weights), model=model)
        runner = build_runner(read_config(path))
        before = runner.model.head.weight.detach().clone()
        with pytest.raises(ValueError, match=r'weights.pth does not fit'):
            getattr(runner, method)()
        assert runner.iter == 0
        if method == 'test':
            torch.testing.assert_close(runner.model.head.weight, before)


def test_runner_trains_with_a_missing_part_but_does_not_test(tmp_path):
    state = ToyModel().state_dict()
    del state['head.weight'], state['head.bias']
    torch.save(dict(state_dict=state), tmp_path / 'body.pth')
    settings = dict(
        load_from=str(tmp_path / 'body.pth'),
        custom_hooks=[dict(type='StrictLoadHook', allow_missing=['head'])],
    )
    runner = build_runner(read_config(write_config(tmp_path, epochs=1, **settings)))
    runner.train()
    assert runner.iter == 4
    runner = build_runner(read_config(write_config(tmp_path, **settings)))
    with pytest.raises(ValueError, match='2 only in the model: head.weight, head.bias'):
        runner.test()
