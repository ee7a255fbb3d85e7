"""Chains of trainings: what is checked first, what runs, and what the table says."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmtrack.registry import HOOKS
from tools_loader import TOOLS, load_tool
from toy import ROOT, ToyModel, write_config

from mmtrack_mixformerv2.engine import check_parents, load_from_local
from mmtrack_mixformerv2.engine.chain import (
    Stage,
    command_of,
    parents_of,
    read_chain,
    run_to_end,
    table,
    which_config_makes,
)

TINY = ROOT / 'configs' / 'mixformerv2' / 'tiny'


@HOOKS.register_module()
class InterruptParentHook(Hook):
    """What Ctrl-C does to the chain, in the second epoch of a stage; then waits to be ended."""

    def before_train_epoch(self, runner) -> None:
        if runner.epoch == 1:
            os.kill(os.getppid(), signal.SIGINT)
            signal.pause()


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """Stages are processes of their own, which have to find the toy model."""
    paths = map(str, (TOOLS.parent, TOOLS.parent / 'tests'))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(paths))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def write_stage(folder: Path, name: str, **settings) -> Path:
    """Config ``name.py`` with the work directory ``work_dirs/name`` of the folder it runs in."""
    hooks = ['mmtrack_mixformerv2', 'toy', 'test_train_chain', 'test_finite_loss']
    path = write_config(
        folder,
        work_dir=f'work_dirs/{name}',
        custom_imports=dict(imports=hooks),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        **settings,
    )
    return path.rename(folder / f'{name}.py')


def write_chain(folder: Path) -> list[Path]:
    """Three stages: the second starts from the first, and the third loads the second's weights."""
    init = dict(type='Pretrained', checkpoint='work_dirs/second/epoch_2.pth')
    return [
        write_stage(folder, 'first'),
        write_stage(folder, 'second', load_from='work_dirs/first/epoch_2.pth'),
        write_stage(folder, 'third', epochs=1, model=dict(init_cfg=init)),
    ]


def run(monkeypatch, tool: str, *arguments) -> None:
    """Run a tool with a command line, in this process; stages are processes anyway."""
    monkeypatch.setattr('sys.argv', [f'{tool}.py', *map(str, arguments)])
    load_tool(tool).main()


def files_in(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def test_a_chain_skips_resumes_and_starts(monkeypatch, capfd, tmp_path):
    chain, root = write_chain(tmp_path), tmp_path / 'runs'
    run(monkeypatch, 'train', chain[0], '--work-dir', root / 'first')
    half = [
        f'load_from={root / "first" / "epoch_2.pth"}',
        'train_cfg.max_epochs=1',
        'experiment_name=half',
    ]
    run(monkeypatch, 'train', chain[1], '--work-dir', root / 'second', '--cfg-options', *half)
    before = files_in(root)
    capfd.readouterr()
    arguments = [*chain, '--work-root', root]
    run(monkeypatch, 'train_chain', *arguments, '--dry-run')
    lines = capfd.readouterr().out.splitlines()[-3:]
    assert lines[0].startswith('first   finished')
    assert lines[1].startswith('second  interrupted at epoch 1 of 2') and lines[1].endswith('first')
    assert lines[2].startswith('third   to do') and lines[2].endswith('second')
    assert 'loss=' in lines[1] and 'loss=' not in lines[2]
    assert files_in(root) == before

    run(monkeypatch, 'train_chain', *arguments, '--quiet', '--cfg-options', 'log_level=WARNING')
    out = capfd.readouterr().out
    assert [line for line in out.splitlines() if line.startswith('stage ')][1::2] == [
        'stage 2 of 3: second',
        'stage 3 of 3: third',
    ]
    assert [line.split()[1] for line in out.splitlines()[-3:]] == ['finished'] * 3
    after = files_in(root)
    assert {path: after[path] for path in before if 'first' in path.parts} == {
        path: time for path, time in before.items() if 'first' in path.parts
    }
    assert (root / 'second.log').is_file() and (root / 'third.log').is_file()
    # The second went on after its first epoch, and each began with what the one before ended with.
    weights = {p.name: load_from_local(root / p.stem / 'epoch_1.pth') for p in chain}
    assert before[root / 'second' / 'epoch_1.pth'] == after[root / 'second' / 'epoch_1.pth']
    assert load_from_local(root / 'second' / 'epoch_2.pth')['meta']['iter'] == 8
    assert weights['third.py']['meta']['cfg'].count(str(root / 'second' / 'epoch_2.pth')) == 1

    run(monkeypatch, 'train_chain', *arguments)  # nothing is left to do
    assert files_in(root) == after


def test_a_stage_that_fails_ends_the_chain_and_says_where_its_log_is(monkeypatch, capfd, tmp_path):
    bad = write_stage(tmp_path, 'bad', model=dict(type='PoisonedToyModel'))
    late = write_stage(tmp_path, 'late', load_from='work_dirs/bad/epoch_2.pth')
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'train_chain', bad, late, '--work-root', tmp_path, '--quiet')
    out, err = capfd.readouterr()
    assert stop.value.code == 1
    log = tmp_path / 'bad.log'
    assert err.splitlines()[-1] == f'error: bad ended with exit status 1; its output is in {log}'
    assert 'error: the loss is not finite in iteration 5 (epoch 2)' in log.read_text()
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [
        ['bad', 'interrupted'],
        ['late', 'to'],
    ]


@pytest.fixture
def interruptible():
    """What was started in the background ignores interruptions from the keyboard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_chain_ends_its_stage_and_goes_on_later(
    monkeypatch, capfd, tmp_path, interruptible
):
    hooks = [dict(type='InterruptParentHook')]
    chain = [write_stage(tmp_path, 'slow', custom_hooks=hooks)]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'train_chain', *chain, '--work-root', tmp_path)
    assert stop.value.code == 130
    said = 'interrupted: slow is interrupted at epoch 1 of 2; the same command goes on'
    assert capfd.readouterr().out.splitlines()[-1] == said


def test_a_command_that_is_waited_for_dies_with_the_waiting(tmp_path, interruptible):
    script = (
        'import os, signal; print(os.getpid(), flush=True); '
        'os.kill(os.getppid(), signal.SIGINT); signal.pause()'
    )
    with pytest.raises(KeyboardInterrupt):
        run_to_end([sys.executable, '-c', script], tmp_path / 'log')
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / 'log').read_text()), 0)
    kill = 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)'
    assert run_to_end([sys.executable, '-c', kill]) == 128 + signal.SIGKILL


def errors(monkeypatch, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'train_chain', *arguments)
    assert str(stop.value).startswith('error: ')
    return str(stop.value)


def test_a_chain_that_cannot_work_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    first, second, third = write_chain(tmp_path)
    (tmp_path / 'broken.py').write_text('a = 1 +\n')
    (tmp_path / 'other').mkdir()
    same = shutil.copy(first, tmp_path / 'other')
    late = write_stage(tmp_path, 'late', load_from='work_dirs/first/epoch_1.pth')
    foreign = write_stage(tmp_path, 'foreign', load_from='downloads/weights.pth')
    own = write_stage(tmp_path, 'own', load_from='work_dirs/own/epoch_2.pth')
    iterations = write_stage(tmp_path, 'iterations', train_cfg=dict(_delete_=True, max_iters=3))
    data = {'train_dataloader.dataset': dict(type='GOT10kDataset', ann_file='list.txt')}
    nodata = write_stage(tmp_path, 'nodata', **data)
    tests = write_stage(tmp_path, 'tests', train_cfg=None)
    missing = 'does not exist (setting load_from)'
    cases = [
        ('no.py does not exist', 'no.py'),
        ('broken.py cannot be read: SyntaxError', first, 'broken.py'),
        ('tests.py has no train_cfg; use a training config', tests),
        ('no annotation file list.txt', first, nodata),
        ('have the same work directory, work_dirs/first', first, same),
        ('have the same work directory', first, first),
        (f'stage second: the checkpoint file work_dirs/first/epoch_2.pth {missing}', second),
        ('or name that config before this one', second, third),
        ('first makes it and has to come before', second, first),
        ('own makes it and has to come before', own),
        ('weights.pth does not exist (setting load_from)', foreign),
        ('setting model.init_cfg.checkpoint', first, third),
        ('epoch_1.pth does not exist .*; first ends with work_dirs/first/epoch_2.pth', first, late),
        ('trains by iteration and saves otherwise', iterations),
    ]
    before = files_in(tmp_path)
    for message, *arguments in cases:
        found = errors(monkeypatch, *arguments)
        assert all(part in found for part in message.split('.*')), found
        assert ('name that config' in found) <= ('/epoch_' in found)
    assert files_in(tmp_path) == before
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'train_chain', first, '--gpus', '0')
    assert stop.value.code == 2


def checkpoint(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=ToyModel().state_dict()), path)
    return path


@pytest.mark.filterwarnings('ignore:.*last_checkpoint is missing')
def test_states_of_a_stage(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    first, second, _ = write_chain(tmp_path)

    def state(config, **options) -> str:
        options = {name.replace('__', '.'): value for name, value in options.items()}
        return read_chain([config], options)[0].state

    assert state(first) == 'to do'
    final = checkpoint(tmp_path / 'work_dirs' / 'first' / 'epoch_2.pth')
    assert state(first) == 'finished'
    # Told to train longer, it goes on; told to stop before, it cannot.
    assert state(first, train_cfg__max_epochs=5) == 'interrupted at epoch 2 of 5'
    with pytest.raises(ValueError, match='trained for 2 epochs and its config says 1, but there'):
        state(first, train_cfg__max_epochs=1)
    checkpoint(final.with_name('epoch_1.pth'))
    final.write_bytes(final.read_bytes()[:-1])
    with pytest.warns(UserWarning, match='going on from .*epoch_1.pth'):
        assert state(first) == 'interrupted at epoch 1 of 2'
    by_iteration = dict(type='SafeCheckpointHook', interval=1, by_epoch=False)
    settings = dict(default_hooks=dict(checkpoint=by_iteration))
    loop = {'train_cfg.by_epoch': False, 'train_cfg.max_iters': 6, 'train_cfg.max_epochs': None}
    iterations = write_stage(tmp_path, 'iterations', **settings, **loop)
    (tmp_path / 'work_dirs' / 'iterations').mkdir()
    checkpoint(tmp_path / 'work_dirs' / 'iterations' / 'iter_4.pth')
    with pytest.warns(UserWarning, match='last_checkpoint is missing'):
        assert state(iterations) == 'interrupted at iteration 4 of 6'


def test_a_stage_that_has_begun_no_longer_needs_what_it_started_from(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, second, third = write_chain(tmp_path)
    final = checkpoint(tmp_path / 'work_dirs' / 'second' / 'epoch_2.pth')
    read_chain([second, third])
    final.rename(final.with_name('epoch_1.pth'))
    (final.parent / 'last_checkpoint').write_text('epoch_1.pth')
    read_chain([second, third])
    (final.parent / 'epoch_1.pth').unlink()
    with pytest.raises(FileNotFoundError, match='first/epoch_2.pth'), pytest.warns(UserWarning):
        read_chain([second, third])


def test_parents_are_found_wherever_a_config_names_them():
    cfg = Config.fromfile(TINY / 'mixformerv2-micro-b_st1.py')
    teacher = 'work_dirs/mixvit-micro_synthetic/epoch_20.pth'
    assert parents_of(cfg) == {
        'model.teacher_checkpoint': teacher,
        'model.backbone.init_cfg.checkpoint': teacher,
    }
    init = dict(type='Pretrained', checkpoint='a.pth')
    url = dict(type='Pretrained', checkpoint='https://a/b.pth')
    model = dict(parts=[dict(init_cfg=[url, init])], teacher=dict(init_cfg=init), init_cfg=None)
    assert parents_of(Config(dict(load_from='b.pth', model=model))) == {
        'load_from': 'b.pth',
        'model.parts.0.init_cfg.1.checkpoint': 'a.pth',
    }


def test_the_whole_work_root_moves(tmp_path):
    """Also the paths of parents; what is not in work_dirs stays where it is."""
    stages = read_toy_chain(tmp_path, tmp_path / 'elsewhere')
    root = tmp_path / 'elsewhere'
    assert [stage.work_dir for stage in stages] == [root / n for n in ('first', 'second', 'third')]
    assert stages[1].moved == {'load_from': str(root / 'first' / 'epoch_2.pth')}
    assert stages[2].moved == {'model.init_cfg.checkpoint': str(root / 'second' / 'epoch_2.pth')}
    command = command_of(stages[1], Path('tools'), amp=True, options=['randomness.seed=3'])
    assert command[1:] == [
        *('tools/train.py', stages[1].config, '--resume', '--work-dir', str(root / 'second')),
        *('--amp', '--cfg-options', 'randomness.seed=3', f'load_from={root}/first/epoch_2.pth'),
    ]
    command = command_of(stages[0], Path('tools'), gpus=4)
    assert command[:4] == ['bash', 'tools/dist_train.sh', stages[0].config, '4']
    assert '--cfg-options' not in command


def read_toy_chain(folder: Path, root: Path) -> list[Stage]:
    return read_chain([str(path) for path in write_chain(folder)], work_root=root)


def test_the_table_takes_what_a_killed_training_left(tmp_path):
    stages = read_toy_chain(tmp_path, tmp_path)
    for name, lines in (('20260101_000000', '{"loss": 9}\n'), ('20260102_000000', '{"lr": 1}\n')):
        log = tmp_path / 'first' / name / f'{name}.log'
        scalars = log.parent / 'vis_data' / 'scalars.json'
        scalars.parent.mkdir(parents=True)
        log.write_text('log')
        scalars.write_text(lines + '{"loss": 2.0, "loss_a": 0.5, "iou": 1, "lr": 1}\n{"loss": 1.')
    assert stages[0].losses == dict(loss=2.0, loss_a=0.5)
    assert stages[0].log == log
    assert 'loss=2 loss_a=0.5' in table(stages)


def test_a_missing_parent_is_refused_with_what_makes_it(monkeypatch, tmp_path):
    path = 'work_dirs/mixvit-micro_synthetic/epoch_20.pth'
    config = 'configs/mixformerv2/tiny/mixvit-micro_synthetic.py'
    monkeypatch.chdir(ROOT)
    assert which_config_makes(path) == config
    assert which_config_makes('work_dirs/mixvit-micro_synthetic/weights.pth') is None
    assert which_config_makes('work_dirs/unknown/epoch_20.pth') is None
    monkeypatch.chdir(tmp_path)  # without the configs, and without the file
    cfg = Config(dict(model=dict(teacher_checkpoint=path)))
    with pytest.raises(FileNotFoundError, match='setting model.teacher_checkpoint'):
        check_parents(cfg)
    stage = write_stage(tmp_path, 'stage', load_from=path)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'train', stage)
    assert (
        f'error: the checkpoint file {path} does not exist (setting load_from)' in stop.value.code
    )
    assert f'; run: python tools/train.py {os.path.relpath(ROOT / config)}' in stop.value.code
    assert not (tmp_path / 'work_dirs').exists()
