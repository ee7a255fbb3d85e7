"""Trainings that are killed, at moments that are the same every time, and resumed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import save_checkpoint
from mmtrack.registry import HOOKS
from test_training import TRAINING
from tools_loader import load_tool
from toy import write_config

from mmtrack_mixformerv2.engine import latest_checkpoint, load_from_local, read_config, use_resume

# Where the second of three epochs ends, of three iterations each; one checkpoint is kept.
MOMENTS = [
    'first-epoch',  # there is no checkpoint yet
    'mid-epoch',
    'before-saving',
    'half-written',
    'not-renamed',
    'before-pointer',
    'pointer-half-written',
    'before-removal',
]


@HOOKS.register_module()
class CrashHook(Hook):
    """Kills its process, as the kernel or a power cut would: nothing is cleaned up."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if (runner.iter, self.moment) in ((1, 'first-epoch'), (4, 'mid-epoch')):
            _die()

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if checkpoint['meta']['epoch'] < 2:
            return
        if self.moment == 'before-saving':
            _die()
        fsync, replace, remove = os.fsync, os.replace, os.remove

        def half(file: int) -> None:
            name = os.readlink(f'/proc/self/fd/{file}')
            if ('pointer' in self.moment) == ('last_checkpoint' in name):
                os.truncate(file, os.fstat(file).st_size // 2)
                _die()
            fsync(file)

        def rename(old, new) -> None:
            moment = 'before-pointer' if Path(new).name == 'last_checkpoint' else 'not-renamed'
            if moment == self.moment:
                _die()
            replace(old, new)

        def delete(path, **kwargs) -> None:
            if self.moment == 'before-removal':
                _die()
            remove(path, **kwargs)

        os.replace, os.remove = rename, delete
        if self.moment.endswith('half-written'):
            os.fsync = half


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _train(*arguments: str) -> None:
    """In a process of its own: ``tools/train.py`` with a command line."""
    torch.set_num_threads(1)
    sys.argv = ['train.py', *arguments]
    load_tool('train').main()


def run(*arguments) -> int:
    """Exit status of a training in a process that can be killed."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmtrack_mixformerv2'])  # forking is quicker than importing
    process = context.Process(target=_train, args=[str(argument) for argument in arguments])
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope='module')
def config(rendered, tmp_path_factory) -> Path:
    """The tiny config, made tinier: three epochs of three iterations, with drop path."""
    folder = tmp_path_factory.mktemp('crash')
    cfg = Config.fromfile(TRAINING)
    source = dict(
        type='GOT10kDataset',
        data_root=str(rendered),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )
    cfg.merge_from_dict(
        {
            'model.backbone.embed_dims': 16,
            'model.backbone.depth': 2,
            'model.backbone.drop_path_rate': 0.5,
            'model.box_head.in_channels': 16,
            'model.auxiliary.in_channels': 16,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.sampler.samples_per_epoch': 6,
            'train_dataloader.dataset.datasets': [source],
            'train_dataloader.dataset.weights': None,
            'train_cfg.max_epochs': 3,
            'default_hooks.checkpoint.max_keep_ckpts': 1,
        }
    )
    cfg.dump(folder / 'tinier.py')
    return folder / 'tinier.py'


@pytest.fixture(scope='module')
def uninterrupted(config) -> dict:
    """The last checkpoint of a training that nobody kills."""
    work_dir = config.parent / 'uninterrupted'
    assert run(config, '--work-dir', work_dir) == 0
    return load_from_local(work_dir / 'epoch_3.pth')


def assert_equal(one, other, where: str = '') -> None:
    """Compare nested values bit by bit."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other)):
            assert_equal(*pair, f'{where}.{index}')
    else:
        assert one == other, where


@pytest.mark.skipif(not Path('/proc/self/fd').is_dir(), reason='needs /proc')
@pytest.mark.parametrize('moment', MOMENTS)
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    config, uninterrupted, tmp_path, moment
):
    work_dir = tmp_path / 'run'
    crash = ['default_hooks.crash.type=CrashHook', f'default_hooks.crash.moment={moment}']
    assert run(config, '--work-dir', work_dir, '--cfg-options', *crash) == -signal.SIGKILL
    if moment != 'first-epoch':
        assert load_from_local(latest_checkpoint(work_dir))['meta']['epoch'] in (1, 2)
    assert run(config, '--work-dir', work_dir, '--resume') == 0
    files = sorted(path.name for path in work_dir.iterdir() if path.is_file())
    assert files == ['epoch_3.pth', 'last_checkpoint', 'tinier.py']
    resumed = load_from_local(work_dir / 'epoch_3.pth')
    for name in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(resumed[name], uninterrupted[name], name)
    assert resumed['meta']['iter'] == uninterrupted['meta']['iter'] == 9


def train_toy(monkeypatch, folder: Path, *arguments, **settings) -> Path:
    """Train the toy model in this process; gives the work directory."""
    path = write_config(folder, **settings)
    monkeypatch.setattr('sys.argv', ['train.py', str(path), *arguments])
    load_tool('train').main()
    return folder / 'work_dir'


def test_a_spoilt_checkpoint_or_pointer_costs_no_more_than_it_has_to(monkeypatch, tmp_path):
    """What a full disk, a careless copy or a program without our care leaves behind."""
    (tmp_path / 'whole').mkdir()
    whole = train_toy(monkeypatch, tmp_path / 'whole', epochs=3)
    second = (whole / 'epoch_2.pth').read_bytes()
    cases = [
        ('epoch_2.pth', second, ''),
        ('epoch_2.pth', second, 'epoch_7.pth'),
        ('epoch_2.pth', second, None),
        ('epoch_1.pth', second[:-1], 'epoch_2.pth'),
        ('epoch_1.pth', second[: len(second) // 2] + bytes(len(second) // 2), 'epoch_2.pth'),
        ('epoch_1.pth', b'', '/'),  # cut off, so that it names the folder
        ('epoch_1.pth', b'', '\0\0\0\0'),
    ]
    for number, (found, content, pointer) in enumerate(cases):
        folder = tmp_path / str(number)
        work_dir = folder / 'work_dir'
        work_dir.mkdir(parents=True)
        shutil.copy(whole / 'epoch_1.pth', work_dir)
        (work_dir / 'epoch_2.pth').write_bytes(content)
        if pointer is not None:
            text = f'{work_dir}/{pointer}' if pointer.endswith(('.pth', '/')) else pointer
            (work_dir / 'last_checkpoint').write_text(text)
        with pytest.warns(UserWarning, match=f'last_checkpoint .*; going on from .*{found}'):
            train_toy(monkeypatch, folder, '--resume', epochs=3)
        for name in ('state_dict', 'optimizer', 'param_schedulers'):
            one, other = (load_from_local(w / 'epoch_3.pth')[name] for w in (whole, work_dir))
            assert_equal(one, other, f'{number}.{name}')
        assert (work_dir / 'last_checkpoint').read_text() == str(work_dir / 'epoch_3.pth')


def test_where_nothing_is_complete_the_training_starts_anew(tmp_path):
    work_dir = tmp_path / 'work_dir'
    work_dir.mkdir()
    (work_dir / 'epoch_1.pth').write_bytes(b'PK')
    cfg = read_config(write_config(tmp_path, resume=True))
    with pytest.warns(UserWarning, match='no checkpoint is complete: starting anew'):
        use_resume(cfg)
    assert (cfg.resume, cfg.load_from) == (False, None)
    use_resume(cfg, 'named.pth')  # a mistake is not replaced by something else
    assert (cfg.resume, cfg.load_from) == (True, 'named.pth')


def test_a_folder_that_was_moved_is_resumed_without_a_word(tmp_path, recwarn):
    torch.save(dict(state_dict={}), tmp_path / 'epoch_3.pth')
    (tmp_path / 'last_checkpoint').write_text('/where/it/was/epoch_3.pth\n')
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_3.pth')
    assert latest_checkpoint(tmp_path / 'empty') is None
    assert not recwarn.list


def test_the_best_checkpoint_is_none_to_go_on_with(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'best_error_epoch_3.pth')
    torch.save(dict(state_dict={}), tmp_path / 'weights.pth')
    assert latest_checkpoint(tmp_path) is None


def test_outdated_checkpoints_are_deleted(monkeypatch, tmp_path):
    keep = {'default_hooks.checkpoint.max_keep_ckpts': 2}
    work_dir = train_toy(monkeypatch, tmp_path, epochs=4, **keep)
    assert sorted(path.name for path in work_dir.glob('*.pth')) == ['epoch_3.pth', 'epoch_4.pth']
    # A resumed training knows what it keeps, and can be told to keep less.
    keep = {'default_hooks.checkpoint.max_keep_ckpts': 1}
    train_toy(monkeypatch, tmp_path, '--resume', epochs=5, **keep)
    assert sorted(path.name for path in work_dir.glob('*.pth')) == ['epoch_5.pth']


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(monkeypatch, tmp_path):
    (tmp_path / 'epoch_1.pth').write_bytes(b'whole')

    def full(file: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match="No space left on device: '.*epoch_1.pth'"):
        save_checkpoint({}, str(tmp_path / 'epoch_1.pth'), backend_args=dict(backend='whole_files'))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'whole']
