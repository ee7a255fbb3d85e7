"""Losses and weights that are NaN or infinite stop a training before it saves them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmtrack.registry import HOOKS, MODELS
from mmtrack.structures import TrackDataSample
from test_crash_safety import config  # noqa: F401 (a fixture)
from tools_loader import TOOLS, load_tool
from toy import ToyModel, write_config

from mmtrack_mixformerv2.datasets import SampleKey
from mmtrack_mixformerv2.engine import NonFiniteError, build_runner, load_from_local, read_config


@MODELS.register_module()
class PoisonedToyModel(ToyModel):
    """A loss of ``value`` in a batch of a process; gradients and weights follow."""

    def __init__(self, at: int = 5, rank: int = 0, value: str = 'nan', **kwargs) -> None:
        super().__init__(**kwargs)
        self.at, self.here, self.value = at, int(os.environ.get('RANK', 0)) == rank, float(value)
        self.batches = 0

    def forward(self, inputs, target, mode='tensor'):
        result = super().forward(inputs, target, mode)
        if mode == 'loss':
            self.batches += 1
            factor = self.value if self.here and self.batches == self.at else 1.0
            result = dict(loss_a=result['loss'], loss_b=result['loss'] * factor, iou=torch.ones(1))
        return result


@HOOKS.register_module()
class SpoilWeightsHook(HOOKS.get('mmtrack.TrainSeedHook')):
    """Makes a weight infinite in the last iteration of the second epoch, and no loss."""

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter == 7:
            runner.model.head.bias.data.fill_(float('inf'))


def poisoned(folder: Path, **settings) -> Path:
    imports = dict(imports=['mmtrack_mixformerv2', 'toy', 'test_finite_loss'])
    model = dict(type='PoisonedToyModel', **settings.pop('model', {}))
    return write_config(folder, model=model, custom_imports=imports, **settings)


def fails(monkeypatch, *arguments) -> str:
    monkeypatch.setattr('sys.argv', ['train.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        load_tool('train').main()
    return str(stop.value)


def is_finite(checkpoint: Path) -> bool:
    return all(v.isfinite().all() for v in load_from_local(checkpoint)['state_dict'].values())


@pytest.mark.parametrize('value', ['nan', '-inf'])
def test_the_first_bad_loss_ends_the_training(monkeypatch, tmp_path, value):
    path = poisoned(tmp_path, model=dict(value=value))  # the first iteration of the second epoch
    message = fails(monkeypatch, path)
    assert message.startswith('error: the loss is not finite in iteration 5 (epoch 2): ')
    assert f'loss = {value}, loss_b = {value} for' in message  # loss_a and iou are numbers
    last = tmp_path / 'work_dir' / 'epoch_1.pth'
    assert f'the last good checkpoint is {last}. ' in message
    assert '\n' not in message
    assert [p.name for p in last.parent.glob('*.pth')] == ['epoch_1.pth']
    assert (last.parent / 'last_checkpoint').read_text() == str(last)
    assert is_finite(last)


def test_no_checkpoint_is_made_in_the_iteration_itself(monkeypatch, tmp_path):
    by_iteration = dict(interval=1, by_epoch=False, max_keep_ckpts=1)
    path = poisoned(tmp_path, default_hooks=dict(checkpoint=by_iteration))
    assert 'iter_4.pth' in fails(monkeypatch, path)
    assert [p.name for p in (tmp_path / 'work_dir').glob('*.pth')] == ['iter_4.pth']
    assert is_finite(tmp_path / 'work_dir' / 'iter_4.pth')


def test_before_the_first_checkpoint_there_is_none_to_name(monkeypatch, tmp_path):
    message = fails(monkeypatch, poisoned(tmp_path, model=dict(at=1)))
    assert 'in iteration 1 (epoch 1)' in message and 'there is no checkpoint yet' in message
    assert 'the samples without keys' in message


def test_a_resumed_training_names_where_it_went_on_from(monkeypatch, tmp_path):
    path = poisoned(tmp_path, model=dict(at=100), epochs=1)
    monkeypatch.setattr('sys.argv', ['train.py', str(path)])
    load_tool('train').main()
    moved = tmp_path / 'moved'
    (tmp_path / 'work_dir').rename(moved)
    again = poisoned(tmp_path, model=dict(at=1))
    message = fails(monkeypatch, again, '--resume', '--work-dir', moved)
    assert 'in iteration 5 (epoch 2)' in message
    assert f'the last good checkpoint is {moved / "epoch_1.pth"}. ' in message


def test_weights_that_are_not_finite_are_not_saved(monkeypatch, tmp_path):
    """Although the losses were, and the only other checkpoint would have been deleted."""
    path = poisoned(
        tmp_path,
        model=dict(at=100),
        custom_hooks=[dict(type='FiniteLossHook'), dict(type='SpoilWeightsHook')],
        **{'default_hooks.checkpoint.max_keep_ckpts': 1},
    )
    message = fails(monkeypatch, path)
    assert 'weights are not finite after iteration 8 (epoch 2): head.bias. ' in message
    last = tmp_path / 'work_dir' / 'epoch_1.pth'
    assert f'checkpoint is {last}. ' in message and is_finite(last)
    assert [p.name for p in last.parent.glob('*.pth')] == ['epoch_1.pth']


def test_samples_are_named_by_their_keys_and_their_files(config, tmp_path, monkeypatch):  # noqa: F811
    """In a training of the real model, whose loss is NaN in the second iteration of an epoch."""
    cfg = read_config(config, {'model.losses.loss_l1.loss_weight': 1.0}, str(tmp_path / 'run'))
    runner = build_runner(cfg)
    step, steps = runner.model.loss, []

    def loss(*args, **kwargs):
        steps.append(kwargs['data_samples'] if 'data_samples' in kwargs else args[1])
        losses = step(*args, **kwargs)
        return losses | (dict(loss_l1=losses['loss_l1'] * torch.nan) if len(steps) == 5 else {})

    monkeypatch.setattr(runner.model, 'loss', loss)
    with pytest.raises(NonFiniteError) as stop:
        runner.train()
    message = str(stop.value)
    assert 'in iteration 5 (epoch 2): loss = nan, loss_l1 = nan for the samples' in message
    assert 'the samples (seed 0, epoch 1) index 2, 3. ' in message
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    lines = re.findall(r'ERROR.* iteration 5 \(epoch 2\), process 0: (.*)', log)
    assert [sample.sample_key for sample in steps[-1]] == [SampleKey(0, 1, 2), SampleKey(0, 1, 3)]
    for line, sample in zip(lines, steps[-1]):
        assert sample.img_path in line and sample.search_img_path in line
    assert len(lines) == 2


def test_samples_of_other_collations_are_found(tmp_path):
    runner = build_runner(read_config(write_config(tmp_path)))
    runner.build_train_loop(runner._train_loop)
    hook = HOOKS.build(dict(type='FiniteLossHook'))
    samples = [TrackDataSample(metainfo=dict(sample_key=(3, e, i))) for e, i in [(0, 7), (1, 0)]]
    bad = dict(loss=torch.tensor(torch.nan))
    for batch in (dict(data_samples=samples), [dict(data_samples=s) for s in samples]):
        with pytest.raises(NonFiniteError, match=r'\(seed 3, epoch 0\) index 7 \(seed 3, epoch 1'):
            hook.after_train_iter(runner, 0, batch, bad)
    for outputs in (None, {}, dict(loss=torch.ones(()), accuracy=torch.tensor(torch.nan))):
        hook.after_train_iter(runner, 0, None, outputs)


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_all_processes_stop_at_the_loss_of_one(tmp_path):
    """Through torchrun and gloo: none goes on alone, and the main process saves nothing spoilt."""
    by_iteration = dict(interval=1, by_epoch=False, max_keep_ckpts=2)
    path = poisoned(tmp_path, model=dict(rank=1, at=3), default_hooks=dict(checkpoint=by_iteration))
    result = subprocess.run(
        ['bash', str(TOOLS / 'dist_train.sh'), str(path), '2'],
        env={
            **os.environ,
            'PYTHON': sys.executable,
            'PYTHONPATH': os.pathsep.join(map(str, (TOOLS.parent, TOOLS.parent / 'tests'))),
            'OMP_NUM_THREADS': '1',
        },
        capture_output=True,
        text=True,
        timeout=600,  # against waiting for ever
    )
    assert result.returncode == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert 'iteration 3 (epoch 2): loss = nan, loss_b = nan in process 1 for the' in errors[0]
    assert f'the last good checkpoint is {tmp_path}/work_dir/iter_2.pth. ' in errors[0]
    assert 'NonFiniteError' not in result.stderr  # no traceback of ours
    files = sorted(p.name for p in (tmp_path / 'work_dir').glob('*.pth'))
    assert files == ['iter_1.pth', 'iter_2.pth']
    assert is_finite(tmp_path / 'work_dir' / 'iter_2.pth')
