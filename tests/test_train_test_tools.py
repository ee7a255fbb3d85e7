"""The command lines of tools/train.py and tools/test.py, and what they check first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from published import small_published
from stages import MICRO
from tools_loader import load_tool
from toy import ROOT, ToyModel, write_config

from mmtrack_mixformerv2.checkpoints import convert_state_dict
from mmtrack_mixformerv2.engine import (
    WorkDirLock,
    check_test,
    check_training,
    load_from_local,
    read_config,
    use_learning_rate_scaling,
    use_mixed_precision,
    use_resume,
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
    assert load_from_local(work_dir / 'epoch_2.pth')['meta']['iter'] == 8
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
    (tmp_path / 'code.py').write_text('a = 1 +\n')
    nodata = {'dataset.type': 'GOT10kDataset', 'dataset.ann_file': 'list.txt'}
    tests = write_config(tmp_path, **{f'test_dataloader.{key}': v for key, v in nodata.items()})
    trains = write_config(tmp_path, **{f'train_dataloader.{key}': v for key, v in nodata.items()})
    only_tests = write_config(tmp_path, train_cfg=None, optim_wrapper=None)
    only_trains = write_config(tmp_path, test_dataloader=None, test_cfg=None, test_evaluator=None)
    cases = [
        ('no.py does not exist', 'train', tmp_path / 'no.py'),
        ('code.py cannot be read: SyntaxError', 'train', tmp_path / 'code.py'),
        ('broken.pth is a file', 'train', path, '--work-dir', tmp_path / 'broken.pth'),
        ('cannot be built: .*Wrong', 'train', path, '--cfg-options', 'model.type=Wrong'),
        ('cannot be built: .*wrong', 'train', path, '--cfg-options', 'model.wrong=1'),
        ('cannot be built: .*wrong', 'test', path, weights, '--cfg-options', 'model.wrong=1'),
        ('no annotation file list.txt', 'train', trains),
        ('no annotation file list.txt', 'test', tests, weights),
        ('no.pth does not exist', 'train', path, '--resume', tmp_path / 'no.pth'),
        ('no.pth does not exist', 'train', path, '--cfg-options', f'load_from={tmp_path}/no.pth'),
        ('broken.pth .* cannot be read', 'test', path, tmp_path / 'broken.pth'),
        (r'\(1, 8\) instead of \(1, 16\)', 'test', big, weights),
        (r'\(1, 8\) instead of \(1, 16\)', 'train', big, '--cfg-options', f'load_from={weights}'),
        ('weights without the state of a training', 'train', path, '--resume', weights),
        ('--auto-scale-lr needs the batch size', 'train', path, '--auto-scale-lr'),
        ('no train_cfg and no optim_wrapper; use a training config', 'train', only_tests),
        ('no train_cfg and no optim_wrapper', 'train', only_tests, '--amp', '--auto-scale-lr'),
        ('no test_dataloader and no test_cfg .*use a test config', 'test', only_trains, weights),
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


def test_options_that_are_none_are_named(monkeypatch, tmp_path, capsys):
    for words in (['model.hidden', '8'], ['=8']):
        with pytest.raises(SystemExit):
            run(monkeypatch, 'train', write_config(tmp_path), '--cfg-options', *words)
        assert f'{words[0]!r} is no KEY=VALUE' in capsys.readouterr().err


def test_a_model_for_other_crops_is_refused(tmp_path):
    cfg = Config.fromfile(MICRO / 'mixvit-micro_synthetic.py')
    for name, size in (('search_size', 96), ('template_size', 48)):
        changed = deepcopy(cfg)
        changed.work_dir, changed.train_dataloader.dataset.datasets = str(tmp_path / 'run'), []
        changed.model.backbone[name] = size
        with pytest.raises(ValueError, match=f'{name}=.* the model has {name}={size}'):
            check_training(changed)


def test_a_folder_takes_one_training_at_a_time(monkeypatch, tmp_path):
    """Whoever is killed lets go at once, also when a loading process of his lives on."""
    path, work_dir = write_config(tmp_path, epochs=1), tmp_path / 'work_dir'
    code = (
        'import os, signal, sys, mmtrack_mixformerv2.engine as engine\n'
        'engine.WorkDirLock().take(sys.argv[1], create=True)\n'
        'child = os.fork()\n'
        'print(child, flush=True) if child else signal.pause()\n'
        'signal.pause()\n'
    )
    command = [sys.executable, '-c', code, str(work_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        child = int(other.stdout.readline())
        try:
            for options in ([], ['--resume']):
                message = fails(monkeypatch, 'train', path, *options)
                assert f'another training is running in {work_dir}' in message
            assert not list(work_dir.iterdir())
        finally:
            other.kill()
            other.wait()
            try:
                run(monkeypatch, 'train', path, '--resume')
            finally:
                os.kill(child, signal.SIGKILL)
    assert (work_dir / 'epoch_1.pth').is_file()
    monkeypatch.setenv('RANK', '1')
    with WorkDirLock() as first, WorkDirLock() as second:
        first.take(work_dir)
        second.take(work_dir)  # only the first process of a training asks for it
        monkeypatch.delenv('RANK')
        second.take(work_dir)
        with pytest.raises(ValueError, match='another training is running'):
            first.take(work_dir)


def test_resume_without_a_checkpoint_starts_anew(monkeypatch, tmp_path):
    run(monkeypatch, 'train', write_config(tmp_path, epochs=1), '--resume')
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


def test_resume_replaces_load_from_only_by_a_checkpoint(tmp_path, weights):
    cfg = read_config(write_config(tmp_path, load_from=str(weights)))
    use_resume(cfg)
    assert (cfg.resume, cfg.load_from) == (False, str(weights))
    use_resume(cfg, 'named.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'named.pth')
    last = tmp_path / 'work_dir' / 'epoch_3.pth'
    last.parent.mkdir()
    torch.save(dict(state_dict={}), last)
    (last.parent / 'last_checkpoint').write_text(str(last))
    use_resume(cfg)
    assert (cfg.resume, cfg.load_from) == (True, str(last))


def test_an_interrupted_start_from_weights_starts_from_them_again(monkeypatch, tmp_path, weights):
    settings = {'load_from': str(weights), 'optim_wrapper.optimizer.lr': 0.0}
    run(monkeypatch, 'train', write_config(tmp_path, epochs=1, **settings), '--resume')
    trained = load_from_local(tmp_path / 'work_dir' / 'epoch_1.pth')['state_dict']
    for name, value in torch.load(weights)['state_dict'].items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    'hooks',
    [
        [],
        [dict(type='StrictLoadHook', allow_missing=['head'])],
        [dict(type='mmtrack.StrictLoadHook', allow_missing=['head'])],
    ],
)
def test_a_checkpoint_is_checked_whatever_hooks_there_are(tmp_path, hooks):
    body = {k: v for k, v in ToyModel().state_dict().items() if not k.startswith('head')}
    torch.save(dict(state_dict=body, meta=1, message_hub=1, optimizer=1), tmp_path / 'body.pth')
    path = write_config(tmp_path, custom_hooks=hooks, load_from=str(tmp_path / 'body.pth'))
    with pytest.raises(ValueError, match='2 only in the model: head.weight, head.bias'):
        check_test(read_config(path))
    with pytest.raises(ValueError, match='2 only in the model: head.weight, head.bias'):
        check_training(read_config(path, dict(resume=True)))
    check_training(read_config(path))  # may lack the head


def test_initial_weights_that_do_not_fit_are_refused(tmp_path):
    small = ToyModel(depth=2).state_dict()
    file = tmp_path / 'initial.pth'

    def check(state, **settings):
        torch.save(dict(state_dict=state), file)
        init = dict(type='Pretrained', checkpoint=str(file), **settings.pop('init', {}))
        model = dict(depth=2, init_cfg=init)
        check_training(read_config(write_config(tmp_path, model=model, **settings)))

    check(small)
    check(ToyModel(depth=3).state_dict())  # the first layers of a deeper model
    check({f'module.{name}': value for name, value in small.items()})
    check(
        {f'net.{k}': v for k, v in small.items()} | {'other': torch.ones(1)},
        init=dict(prefix='net'),
    )
    body = {name: value for name, value in small.items() if name.startswith('blocks')}
    check(body, custom_hooks=[dict(type='mmtrack.StrictLoadHook', allow_missing=['head'])])
    with pytest.raises(ValueError, match='2 only in the model: head.weight, head.bias'):
        check(body)
    with pytest.raises(ValueError, match=r'blocks.0.weight \(16, 4\) instead of \(8, 4\)'):
        check(ToyModel(hidden=16, depth=2).state_dict())
    with pytest.raises(ValueError, match='2 only in the model: blocks.1.weight, blocks.1.bias'):
        check(ToyModel(depth=1).state_dict())
    with pytest.raises(ValueError, match='1 only in the checkpoint: extra'):
        check(dict(small, extra=torch.ones(1)))
    with pytest.raises(ValueError, match="no weights whose names begin with 'backbone.'"):
        check(small, init=dict(prefix='backbone.'))
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'no.pth'))
    for inits in (init, [init]):
        with pytest.raises(FileNotFoundError, match='no.pth does not exist'):
            check_training(read_config(write_config(tmp_path, model=dict(init_cfg=inits))))
    assert not (tmp_path / 'work_dir').exists()


def test_a_backbone_starts_from_a_vit_of_its_width(tmp_path):
    sizes = dict(search_size=64, template_size=32, embed_dims=32, num_heads=2)
    vit = MODELS.build(dict(type='PMAMViT', depth=2, **sizes)).state_dict()
    vit = {n: v for n, v in vit.items() if n.startswith(('blocks.', 'patch_embed.'))}
    file = tmp_path / 'vit.pth'
    torch.save(dict(state_dict={f'backbone.{n}': v for n, v in vit.items()}), file)
    init = dict(type='Pretrained', checkpoint=str(file), prefix='backbone.')
    base = Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / 'mixformerv2-b.py').model
    for width in (32, 48):
        base.backbone.update(sizes, embed_dims=width, depth=1, init_cfg=init)
        base.box_head.in_channels = base.score_head.in_channels = width
        cfg = read_config(write_config(tmp_path))
        cfg.model = base
        if width == 32:
            check_training(cfg)
        else:
            with pytest.raises(ValueError, match=r'patch_embed.weight \(32, 3, 16, 16\) instead'):
                check_training(cfg)
    base = Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / 'fermt.py').model
    cfg.model = base
    base.backbone.update(sizes, attention='A2', depth=1, init_cfg=init)
    base.box_head.in_channels = 32
    norm = {'backbone.norm.weight': torch.ones(32), 'backbone.norm.bias': torch.zeros(32)}
    vit = {f'backbone.{name}': value for name, value in vit.items()}
    torch.save(dict(state_dict={**vit, **norm}), file)
    check_training(cfg)  # no ViT has a Dual Attention Unit
    torch.save({'net': small_published('mvt')}, file)
    with pytest.raises(ValueError, match="names begin with 'backbone.'|does not fit") as error:
        check_training(cfg)
    assert 'It holds MVT (as published, not converted). Convert it first' in str(error.value)
    torch.save({'state_dict': convert_state_dict(small_published('mvt')).state_dict}, file)
    with pytest.raises(ValueError, match=r'It holds MVT \(converted\)'):
        check_training(cfg)


def test_results_are_written_to_the_work_directory(tmp_path):
    settings = {f'{stage}_evaluator.outfile_prefix': 'boxes' for stage in ('val', 'test')}
    path = write_config(tmp_path, **settings)
    cfg = read_config(path, work_dir='here')
    assert cfg.test_evaluator.outfile_prefix == cfg.val_evaluator.outfile_prefix == 'here/boxes'
    several = [dict(type='ToyMetric'), dict(type='ToyMetric', outfile_prefix='/there/boxes')]
    cfg = read_config(path, dict(test_evaluator=several), work_dir='here')
    assert cfg.test_evaluator[1].outfile_prefix == '/there/boxes'


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
    state = load_from_local(tmp_path / 'work_dir' / 'epoch_1.pth')
    assert state['optimizer']['param_groups'][0]['lr'] == pytest.approx(0.01 * 2 / 16)
