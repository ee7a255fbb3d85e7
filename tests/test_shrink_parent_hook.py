"""A training starts from the weights of a larger model, and what hooks adapt is checked first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmtrack.registry import HOOKS
from shrinking import build, loaded, settings
from small_family import small_member
from toy import write_config

from mmtrack_mixformerv2.checkpoints import (
    first_layers,
    keep_layers,
    reduce_mlp,
    skip_layers,
)
from mmtrack_mixformerv2.engine import (
    ShrinkParentHook,
    StrictLoadHook,
    build_runner,
    check_test,
    check_training,
    load_from_local,
    read_config,
)

TRAINING = next(
    (Path(__file__).resolve().parents[1] / 'configs' / 'mixformerv2').glob(
        'mixformerv2-tiny_1xb*_synthetic.py'
    )
)


def adapted(parent: dict, student: dict, resume: bool = False, **hook) -> tuple[dict, str | None]:
    """Weights of a parent after the hook saw them, for a student of other sizes, and its line."""
    checkpoint = dict(state_dict=build(seed=1, **parent).state_dict())
    model = build(**student)
    done = ShrinkParentHook(**hook).adapt(model, checkpoint, source='parent.pth', resume=resume)
    return checkpoint['state_dict'], done


@pytest.mark.parametrize(
    ('keep', 'expected'),
    [('first', first_layers(6, 2)), ('skip', skip_layers(6, 2)), ([4, 1], [1, 4])],
)
def test_layers_are_picked(keep, expected):
    state, done = adapted(dict(depth=6), dict(depth=2), keep_layers=keep)
    wanted = keep_layers(build(seed=1, depth=6).state_dict(), expected)
    assert list(state) == list(wanted)
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    layers = ', '.join(map(str, expected))
    assert done == f'parent.pth was made to fit the model: layers {layers} of 6.'


@pytest.mark.parametrize('units', ['first', 'norm'])
def test_everything_is_cut_at_once_and_the_student_loads(units):
    large = dict(depth=4, mlp_ratio=2.0, search_size=96, template_size=48)
    small = dict(depth=2, mlp_ratio=[1.0, 0.5])
    state, done = adapted(large, small, keep_layers='skip', mlp_units=units)
    model = loaded(state, **small)
    parent = build(seed=1, **large).state_dict()
    wanted = reduce_mlp(keep_layers(parent, [1, 3]), [32, 16], units)
    tables = ('backbone.search_pos_embed', 'backbone.template_pos_embed')
    assert all(torch.equal(state[name], wanted[name]) for name in wanted if name not in tables)
    fixed = build(**small).state_dict()
    assert all(torch.equal(model.state_dict()[name], fixed[name]) for name in tables)
    assert done == (
        'parent.pth was made to fit the model: layers 1, 3 of 4; 64 hidden units of the MLPs to '
        f'the {"first" if units == "first" else "strongest"} 32, 16; '
        'backbone.search_pos_embed by the formula for 4x4 tokens instead of 36; '
        'backbone.template_pos_embed by the formula for 2x2 tokens instead of 9.'
    )


def test_a_parent_that_fits_stays_as_it_is():
    for keep in (None, 'first', 'skip', [0, 1]):
        state, done = adapted(dict(depth=2), dict(depth=2), keep_layers=keep)
        assert done is None
        assert all(
            torch.equal(value, state[name])
            for name, value in build(seed=1, depth=2).state_dict().items()
        )


def test_a_resumed_training_is_never_touched():
    state, done = adapted(
        dict(depth=4, search_size=96), dict(depth=2), resume=True, keep_layers='first'
    )
    assert done is None
    assert list(state) == list(build(depth=4).state_dict())
    assert state['backbone.search_pos_embed'].shape[1] == 36


def test_plain_state_dicts_and_names_of_a_distributed_wrapper_are_taken():
    plain = build(seed=1, depth=3).state_dict()
    wrapped = {f'module.{name}': value for name, value in plain.items()}
    for checkpoint in (dict(plain), dict(wrapped), dict(state_dict=wrapped)):
        ShrinkParentHook('first').adapt(
            build(depth=1), checkpoint, source='parent.pth', resume=False
        )
        loaded(checkpoint['state_dict'], depth=1)


@pytest.mark.parametrize(
    ('parent', 'student', 'keep', 'message'),
    [
        ({'depth': 4}, {'depth': 3}, [1, 3], r'\[1, 3\] names 2 of its 4 layers, .* depth=3'),
        ({'depth': 4}, {'depth': 2}, [1, 4], 'keep the layers 4: there are 4, numbered 0 to 3'),
        ({'depth': 2}, {'depth': 4}, 'first', 'cannot take 4 of 2 layers'),
        ({'depth': 2}, {'depth': 4}, 'skip', 'cannot take 4 of 2 layers'),
        ({'mlp_ratio': 1.0}, {'mlp_ratio': 3.0}, None, 'has 32 hidden units .* cut to 96'),
    ],
)
def test_a_parent_that_cannot_be_cut_to_fit_is_refused(parent, student, keep, message):
    with pytest.raises(ValueError, match=f'ShrinkParentHook cannot make parent.pth .*{message}'):
        adapted(parent, student, keep_layers=keep)


def test_a_parent_of_another_width_is_refused():
    mlp = {'fc1.weight': (128, 64), 'fc1.bias': (128,), 'fc2.weight': (64, 128)}
    state = {f'backbone.blocks.0.mlp.{name}': torch.ones(shape) for name, shape in mlp.items()}
    with pytest.raises(ValueError, match='tokens have 64 channels, those of the model 32'):
        ShrinkParentHook().adapt(
            build(depth=1), dict(state_dict=state), source='parent.pth', resume=False
        )


def test_another_depth_is_left_to_the_strict_check():
    state, done = adapted(dict(depth=3, search_size=96), dict(depth=2))
    assert done is None
    with pytest.raises(ValueError, match='3 entries in the checkpoint and 2 in the model'):
        StrictLoadHook().check(build(depth=2), state, source='parent.pth', whole=False)


def test_weights_of_something_else_are_refused():
    for checkpoint, message in (([1], 'holds a list'), (dict(a=torch.ones(1)), 'convert_checkp')):
        with pytest.raises(ValueError, match=f'parent.pth .*{message}'):
            ShrinkParentHook().adapt(build(), checkpoint, source='parent.pth', resume=False)


def test_a_parent_of_another_system_is_refused_by_name():
    state = small_member('fermt').state_dict()
    with pytest.raises(ValueError, match='make parent.pth fit .*holds FERMT .*MixFormerV2 and Mix'):
        ShrinkParentHook('first').adapt(
            build(depth=1), dict(state_dict=state), source='parent.pth', resume=False
        )


@pytest.mark.parametrize('hook', [dict(keep_layers='last'), dict(keep_layers=3), dict(mlp_units=1)])
def test_settings_are_checked(hook):
    with pytest.raises(ValueError, match='expected'):
        ShrinkParentHook(**hook)


# ---- before a runner exists ---------------------------------------------------------------------


def student_config(folder: Path, hooks=(), default_hooks=None, depth: int = 2, **more) -> Config:
    """Config of a training of a small tracker."""
    hooks = [dict(type='StrictLoadHook'), *hooks]
    path = write_config(
        folder,
        model=dict(_delete_=True, **settings(depth=depth)),
        custom_hooks=hooks,
        default_hooks=default_hooks or {},
        **more,
    )
    return read_config(path)


@pytest.fixture
def parent(tmp_path) -> str:
    """File of four layers at another resolution, with what a training saves besides."""
    state = build(seed=1, depth=4, search_size=96).state_dict()
    torch.save(dict(state_dict=state, meta={}, message_hub={}, optimizer={}), tmp_path / 'p.pth')
    return str(tmp_path / 'p.pth')


def test_the_parent_is_cut_before_it_is_checked(tmp_path, parent):
    hook = dict(type='ShrinkParentHook', keep_layers='skip')
    with pytest.raises(ValueError, match='4 entries in the checkpoint and 2 in the model'):
        check_training(student_config(tmp_path, load_from=parent))
    check_training(student_config(tmp_path, [hook], load_from=parent))
    check_training(student_config(tmp_path, [dict(hook, priority='VERY_LOW')], load_from=parent))
    check_training(
        student_config(tmp_path, [dict(hook, type='mmtrack.ShrinkParentHook')], load_from=parent)
    )
    check_training(student_config(tmp_path, default_hooks=dict(shrink=hook), load_from=parent))
    with pytest.raises(ValueError, match='names 3 of its 4 layers, and the model has depth=2'):
        check_training(
            student_config(tmp_path, [dict(hook, keep_layers=[0, 1, 2])], load_from=parent)
        )
    for check, more in ((check_training, dict(resume=True)), (check_test, {})):
        with pytest.raises(ValueError, match='4 entries in the checkpoint and 2 in the model'):
            check(student_config(tmp_path, [hook], load_from=parent, **more))
    assert not (tmp_path / 'work_dir').exists()


def test_something_that_is_no_checkpoint_is_refused_before_hooks_see_it(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    hook = dict(type='ShrinkParentHook')
    with pytest.raises(ValueError, match='list.pth holds a list'):
        check_training(student_config(tmp_path, [hook], load_from=str(tmp_path / 'list.pth')))


def test_a_training_whose_layers_are_gone_may_be_resumed_and_tested(tmp_path):
    """The config has two layers and takes one out; the checkpoint has only the other."""
    short = keep_layers(build(depth=2).state_dict(), [1])
    torch.save(dict(state_dict=short, meta={}, message_hub={}, optimizer={}), tmp_path / 's.pth')
    pruning = dict(type='DepthPruningHook', layers=[0], horizon=1)
    hooks = dict(depth_pruning=pruning, timer=None)
    more = dict(default_hooks=hooks, load_from=str(tmp_path / 's.pth'))
    check_training(student_config(tmp_path, **more, resume=True))
    check_test(student_config(tmp_path, **more))
    with pytest.raises(ValueError, match='1 entries in the checkpoint and 2 in the model'):
        check_training(student_config(tmp_path, **more))
    with pytest.raises(ValueError, match='1 entries in the checkpoint and 3 in the model'):
        check_training(student_config(tmp_path, **more, depth=3, resume=True))


def test_hooks_may_refuse_settings_before_anything_is_written(tmp_path):
    @HOOKS.register_module(force=True)
    class PickyHook(Hook):
        def check_settings(self, model, cfg) -> None:
            epochs = cfg.train_cfg.max_epochs
            if epochs > 1:
                raise ValueError(f'{type(model).__name__} for {epochs} epochs')

    for hooks in (
        dict(custom_hooks=[dict(type='PickyHook')]),
        dict(default_hooks=dict(picky=dict(type='PickyHook'))),
    ):
        with pytest.raises(ValueError, match='ToyModel for 2 epochs'):
            check_training(read_config(write_config(tmp_path, epochs=2, **hooks)))
        check_training(read_config(write_config(tmp_path, epochs=1, **hooks)))
    wrong = dict(depth_pruning=dict(type='DepthPruningHook', layers=[0], horizon=9))
    with pytest.raises(ValueError, match='after 9 epochs .* but the training has 2'):
        check_training(student_config(tmp_path, default_hooks=wrong))
    assert not (tmp_path / 'work_dir').exists()


# ---- in a training ------------------------------------------------------------------------------


def train(folder: Path, data: Path, epochs: int, **changes) -> tuple[dict, str]:
    """Train a tiny tracker of two layers without learning; give its weights and its log."""
    cfg = Config.fromfile(TRAINING)
    source = dict(
        type='GOT10kDataset',
        data_root=str(data),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )
    cfg.merge_from_dict(
        {
            'work_dir': str(folder),
            'experiment_name': f'{folder.parent.name}_{folder.name}_{epochs}',
            'model.backbone.embed_dims': 16,
            'model.backbone.depth': 2,
            'model.backbone.mlp_ratio': 1.0,
            'model.box_head.in_channels': 16,
            'model.auxiliary': None,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.sampler.samples_per_epoch': 4,
            'train_dataloader.dataset.datasets': [source],
            'train_dataloader.dataset.weights': None,
            'train_cfg.max_epochs': epochs,
            'optim_wrapper.optimizer.lr': 0.0,
            'param_scheduler': [],
            **changes,
        }
    )
    check_training(cfg)
    build_runner(cfg).train()
    log = max(folder.glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns).read_text()
    # Runs that start within one second of each other write to one file.
    log = log[log.rindex('System environment') :]
    return load_from_local(folder / f'epoch_{epochs}.pth')['state_dict'], log


def test_a_training_starts_from_a_larger_parent_and_is_resumed(rendered, tmp_path):
    large = {'model.backbone.depth': 4, 'model.backbone.mlp_ratio': 2.0}
    parent, _ = train(tmp_path / 'parent', rendered, 1, **large)

    hooks = Config.fromfile(TRAINING).custom_hooks
    hooks.append(dict(type='ShrinkParentHook', keep_layers='skip', mlp_units='norm'))
    file = str(tmp_path / 'parent' / 'epoch_1.pth')
    more = {'custom_hooks': hooks, 'load_from': file}
    student, log = train(tmp_path / 'student', rendered, 1, **more)
    wanted = reduce_mlp(keep_layers(parent, [1, 3]), 16, 'norm')
    assert list(student) == list(wanted)
    assert all(torch.equal(student[name], wanted[name]) for name in wanted)
    line = (
        f'{file} was made to fit the model: layers 1, 3 of 4; 32 hidden units of the MLPs to the '
        'strongest 16.'
    )
    assert len(re.findall(re.escape(line), log)) == 1

    more['load_from'] = str(tmp_path / 'student' / 'epoch_1.pth')
    again, log = train(tmp_path / 'student', rendered, 2, **more, resume=True)
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)
    assert 'made to fit' not in log
