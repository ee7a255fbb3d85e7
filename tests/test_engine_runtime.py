"""Mixed precision and several processes without a GPU; seeds; folders that must not be deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tools_loader import run_tool
from toy import write_config

from mmtrack_mixformerv2.engine import (
    TrainSeedHook,
    build_runner,
    check_training,
    init_cpu_process_group,
    load_from_local,
    read_config,
    use_mixed_precision,
)

cpu_only = pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')


def train(path, amp=False, **settings):
    """Train with a config file; return the runner afterwards."""
    cfg = read_config(path, settings)
    if amp:
        use_mixed_precision(cfg)
    check_training(cfg)
    runner = build_runner(cfg)
    runner.train()
    return runner


def test_mixed_precision_computes_in_bfloat16_and_stays_near(tmp_path):
    exact = train(write_config(tmp_path)).model
    runner = train(write_config(tmp_path), amp=True)
    mixed = runner.model
    assert type(runner.optim_wrapper).__name__ == 'BFloat16OptimWrapper'
    assert exact.dtype_in_loss == torch.float32
    assert mixed.dtype_in_loss == torch.bfloat16
    changed = False
    for a, b in zip(exact.parameters(), mixed.parameters()):
        assert b.dtype == torch.float32
        # 8 steps of AdamW move a weight by less than the sum of the rates, 0.064.
        assert (a - b).abs().max() < 0.01
        changed |= not torch.equal(a, b)
    assert changed


def test_mixed_precision_resumes(tmp_path):
    whole = train(write_config(tmp_path), amp=True)
    first = str(tmp_path / 'work_dir' / 'epoch_1.pth')
    resumed = train(write_config(tmp_path), amp=True, resume=True, load_from=first)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_gradients_are_accumulated_under_mixed_precision(tmp_path):
    # Two steps of batch 1 without an update in between are one step of batch 2.
    one = train(write_config(tmp_path, batch_size=2, epochs=1), amp=True)
    settings = {'optim_wrapper.accumulative_counts': 2, 'param_scheduler.end': 5}
    path = write_config(tmp_path, batch_size=1, epochs=1)
    two = train(path, amp=True, **settings, param_scheduler=None)
    assert one.iter == 4
    assert two.iter == 8
    steps = two.optim_wrapper.optimizer.state_dict()['state'][0]['step']
    assert steps == 4


@cpu_only
def test_other_launchers_are_refused_without_a_gpu():
    with pytest.raises(ValueError, match="use 'pytorch', which tools/dist_train.sh"):
        init_cpu_process_group(Config(), 'slurm')
    with pytest.raises(ValueError, match="processes that 'torchrun' starts"):
        init_cpu_process_group(Config(), 'pytorch')


@cpu_only
def test_two_processes_train_and_test_as_one(tmp_path):
    # Without shuffling, the two processes' halves of a step are the single process's batch.
    alone = train(write_config(tmp_path, batch_size=2), work_dir=str(tmp_path / 'alone'))
    error = alone.message_hub.get_scalar('val/error').current()
    both = write_config(tmp_path, batch_size=1)
    weights = tmp_path / 'both' / 'epoch_2.pth'
    run_tool('dist_train.sh', str(both), '2', '--work-dir', str(weights.parent))
    state = load_from_local(tmp_path / 'alone' / 'epoch_2.pth')['state_dict']
    trained = load_from_local(weights)
    assert trained['meta']['iter'] == 8
    for name, value in state.items():
        torch.testing.assert_close(trained['state_dict'][name], value, rtol=0, atol=1e-6)
    log = run_tool('dist_test.sh', str(both), str(weights), '2', '--work-dir', str(tmp_path / 't'))
    count, tested = re.search(r'Epoch\(test\).*count: (\d+)\s+error: ([\d.]+)', log).groups()
    assert int(count) == 8
    assert float(tested) == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize('method', ['train', 'test'])
def test_a_folder_with_files_is_not_taken_for_results(tmp_path, method):
    folder = tmp_path / 'results'
    folder.mkdir()
    settings = {f'{stage}_evaluator.outfile_prefix': str(folder) for stage in ('val', 'test')}
    getattr(build_runner(read_config(write_config(tmp_path), settings)), method)()  # it is empty
    (folder / 'mine.txt').write_text('precious')
    runner = build_runner(read_config(write_config(tmp_path), settings))
    with pytest.raises(ValueError, match='delete the folder; name one that does not exist'):
        getattr(runner, method)()
    assert runner.iter == 0
    assert (Path(folder) / 'mine.txt').read_text() == 'precious'


@pytest.mark.parametrize('method', ['train', 'test'])
def test_a_zip_file_with_results_is_not_replaced(tmp_path, method):
    settings = {f'{stage}_evaluator.outfile_prefix': 'boxes' for stage in ('val', 'test')}
    cfg = read_config(write_config(tmp_path), settings)
    Path(cfg.work_dir).mkdir()
    (Path(cfg.work_dir) / 'boxes.zip').write_text('precious')
    runner = build_runner(cfg)
    with pytest.raises(ValueError, match='work_dir/boxes.zip exists'):
        getattr(runner, method)()
    assert runner.iter == 0


def test_dropout_of_a_resumed_run_equals_that_of_an_uninterrupted_one(tmp_path):
    path = write_config(tmp_path, **{'model.drop': 0.5})
    whole = train(path)
    first = str(tmp_path / 'work_dir' / 'epoch_1.pth')
    torch.manual_seed(7)  # whatever was drawn before the training goes on
    resumed = train(write_config(tmp_path, **{'model.drop': 0.5}), resume=True, load_from=first)
    assert resumed.iter == whole.iter == 8
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)


def test_random_numbers_differ_between_iterations_processes_and_seeds(tmp_path, monkeypatch):
    runner, hook, drawn = build_runner(read_config(write_config(tmp_path))), TrainSeedHook(), []
    for rank, seed, iteration in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)]:
        monkeypatch.setattr('mmtrack_mixformerv2.engine.train_seed_hook.get_rank', lambda r=rank: r)
        runner._seed = seed
        runner.train_loop._iter = iteration
        hook.before_train_iter(runner, batch_idx=0)
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[4]
    assert len(set(drawn)) == 4
