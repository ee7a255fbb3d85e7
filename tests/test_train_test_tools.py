"""The command lines of tools/train.py and tools/test.py, and what they check first."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from tools_loader import load_tool
from toy import ToyModel, write_config

from mmtrack_mixformerv2.engine import (
    read_config,
    use_learning_rate_scaling,
    use_mixed_precision,
)


def run(monkeypatch, tool, *arguments):
    """Run a tool with a command line, in this process."""
    monkeypatch.setattr('sys.argv', [f'{tool}.py', *map(str, arguments)])
    load_tool(tool).main()


def fails(monkeypatch, tool, *arguments) -> str:
    """Run a tool that has to stop with an error; return the message."""
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tool, *arguments)
    assert str(stop.value).startswith('error: ')  # a text is printed, and the exit status is 1
    return str(stop.value)


@pytest.fixture
def weights(tmp_path):
    """File with the weights of a toy model of the size in the config."""
    torch.save(dict(state_dict=ToyModel().state_dict()), tmp_path / 'weights.pth')
    return tmp_path / 'weights.pth'


def test_train_then_resume_then_test(monkeypatch, tmp_path):
    path, work_dir = write_config(tmp_path), tmp_path / 'runs'
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    run(monkeypatch, 'train', path, '--work-dir', work_dir, *options)
    assert sorted(p.name for p in work_dir.glob('*.pth')) == ['epoch_1.pth']
    options = ['--cfg-options', 'experiment_name=second']
    run(monkeypatch, 'train', path, '--work-dir', work_dir, '--resume', *options)
    assert sorted(p.name for p in work_dir.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
    assert torch.load(work_dir / 'epoch_2.pth', weights_only=False)['meta']['iter'] == 8
    options = ['--cfg-options', 'experiment_name=third']
    run(monkeypatch, 'test', path, work_dir / 'epoch_2.pth', '--work-dir', work_dir, *options)
    assert len(list(work_dir.glob('*/*.json'))) == 1  # the metrics of the test


def test_checkpoint_may_be_given_in_both_ways(monkeypatch, tmp_path, weights):
    path, message = write_config(tmp_path), 'named.pth does not exist'
    assert message in fails(monkeypatch, 'test', path, tmp_path / 'named.pth')
    assert message in fails(monkeypatch, 'test', path, '--checkpoint', tmp_path / 'named.pth')
    assert 'name a checkpoint' in fails(monkeypatch, 'test', path)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'test', path, weights, '--checkpoint', weights)
    assert stop.value.code == 2


@pytest.mark.parametrize('spelling', ['--local_rank', '--local-rank'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_both_spellings_of_the_rank_are_taken(monkeypatch, tmp_path, tool, spelling):
    message = fails(monkeypatch, tool, tmp_path / 'no.py', spelling, '0', '--launcher', 'pytorch')
    assert 'no.py does not exist' in message


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_help_shows_examples(monkeypatch, capsys, tool):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tool, '--help')
    assert stop.value.code == 0
    assert f'python tools/{tool}.py CONFIG' in capsys.readouterr().out


def test_bad_inputs_are_found_before_anything_is_written(monkeypatch, tmp_path, weights):
    path, work_dir = write_config(tmp_path), tmp_path / 'work_dir'
    big = write_config(tmp_path, model=dict(hidden=16))
    (tmp_path / 'broken.pth').write_bytes(weights.read_bytes()[:-100])
    nodata = {'dataset.type': 'GOT10kDataset', 'dataset.ann_file': 'list.txt'}
    tests = write_config(tmp_path, **{f'test_dataloader.{key}': v for key, v in nodata.items()})
    trains = write_config(tmp_path, **{f'train_dataloader.{key}': v for key, v in nodata.items()})
    cases = [
        ('no.py does not exist', 'train', tmp_path / 'no.py'),
        ('no annotation file list.txt', 'train', trains),
        ('no annotation file list.txt', 'test', tests, weights),
        ('no.pth does not exist', 'train', path, '--resume', tmp_path / 'no.pth'),
        ('no.pth does not exist', 'train', path, '--cfg-options', f'load_from={tmp_path}/no.pth'),
        ('broken.pth .* cannot be read', 'test', path, tmp_path / 'broken.pth'),
        (r'\(1, 8\) instead of \(1, 16\)', 'test', big, weights),
        (r'\(1, 8\) instead of \(1, 16\)', 'train', big, '--cfg-options', f'load_from={weights}'),
        ('weights without the state of a training', 'train', path, '--resume', weights),
        ('--auto-scale-lr needs the batch size', 'train', path, '--auto-scale-lr'),
    ]
    for message, *arguments in cases:
        with pytest.raises(SystemExit, match=f'(?s)error: .*{message}'):
            run(monkeypatch, *arguments)
    if not torch.cuda.is_available():
        message = fails(monkeypatch, 'train', path, '--launcher', 'slurm')
        assert '--launcher slurm needs GPUs' in message
    assert not work_dir.exists()


def test_a_failed_start_leaves_the_run_in_the_folder_as_it_was(monkeypatch, tmp_path):
    path, work_dir = write_config(tmp_path, epochs=1), tmp_path / 'work_dir'
    run(monkeypatch, 'train', path)
    before = {p: p.stat().st_mtime_ns for p in work_dir.rglob('*') if p.is_file()}
    options = ['--cfg-options', 'model.hidden=16']
    assert 'does not fit' in fails(monkeypatch, 'train', path, '--resume', *options)
    assert {p: p.stat().st_mtime_ns for p in work_dir.rglob('*') if p.is_file()} == before


def test_resume_without_a_checkpoint_starts_anew(monkeypatch, tmp_path):
    run(monkeypatch, 'train', write_config(tmp_path, epochs=1), '--resume')
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


def test_work_dir_is_named_after_the_config_by_default(tmp_path):
    path = write_config(tmp_path, work_dir=None)
    assert read_config(path).work_dir == f'work_dirs/{path.stem}'
    assert read_config(path, work_dir='here').work_dir == 'here'


def test_mixed_precision_is_not_forced_on_other_wrappers():
    for kind in ('AmpOptimWrapper', 'BFloat16OptimWrapper'):
        cfg = Config(dict(optim_wrapper=dict(type=kind)))
        use_mixed_precision(cfg)
        assert cfg.optim_wrapper.type == kind
    with pytest.raises(ValueError, match='not with DeepSpeedOptimWrapper'):
        use_mixed_precision(Config(dict(optim_wrapper=dict(type='DeepSpeedOptimWrapper'))))


def test_learning_rate_is_scaled_with_the_batch(monkeypatch, tmp_path):
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    use_learning_rate_scaling(cfg)
    assert cfg.auto_scale_lr.enable
    settings = dict(auto_scale_lr=dict(base_batch_size=16), param_scheduler=None)
    path = write_config(tmp_path, epochs=1, batch_size=2, **settings)
    run(monkeypatch, 'train', path, '--auto-scale-lr')
    state = torch.load(tmp_path / 'work_dir' / 'epoch_1.pth', weights_only=False)
    assert state['optimizer']['param_groups'][0]['lr'] == pytest.approx(0.01 * 2 / 16)
