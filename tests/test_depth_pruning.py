"""Layers fade out, leave the running training, and stay away after it is resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden import load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmengine.hooks import Hook
from mmtrack.registry import MODELS
from published import published_state_dict
from small_family import small_member
from stages import MICRO, small_stage
from tools_loader import TOOLS, run_tool

from mmtrack_mixformerv2.checkpoints import convert_state_dict
from mmtrack_mixformerv2.engine import (
    DepthPruningHook,
    build_runner,
    check_training,
    load_from_local,
)
from mmtrack_mixformerv2.models import PMAMViT, TokenDistributionHead
from mmtrack_mixformerv2.models.distillation import tracker_settings

PUBLISHED = Config.fromfile(MICRO.parents[1] / '_base_/distillation/published.py').depth_pruning


@needs_golden
@pytest.mark.parametrize('rate', [1.0, 0.5, 0.0])
def test_golden_fading_student(rate):
    golden = load('mixformerv2/h_pruning.npz')
    state = published_state_dict(load_manifest('mixformerv2/h_pruning.manifest.json'))
    backbone = PMAMViT(
        search_size=64, template_size=32, embed_dims=48, depth=3, num_heads=4, mlp_ratio=2.0
    ).eval()
    converted = convert_state_dict(state).state_dict
    backbone.load_state_dict(
        {k.removeprefix('backbone.'): v for k, v in converted.items() if k.startswith('backbone.')}
    )
    templates = [make_input(name, (2, 3, 32, 32)) for name in ('template', 'online_template')]
    for index in (0, 2):
        backbone.blocks[index].gamma, backbone.blocks[index].fade = rate, PUBLISHED.fade
    cache = backbone.encode_template(torch.stack(templates, dim=1), out_layers=True)
    features = backbone.encode_search(make_input('search', (2, 3, 64, 64)), cache, out_layers=True)
    published_order = [0, 2, 1, 3]  # left, right, top, bottom
    worst = (
        (features.tokens[:, published_order] - torch.from_numpy(golden[f'rate{rate}_pred_tokens']))
        .abs()
        .max()
    )
    for i, layer in enumerate(features.layers):
        tokens = features.layers[i][:, -4:][:, published_order]
        sequence = torch.cat([cache.layers[i], layer[:, :-4], tokens], dim=1)
        difference = sequence[:, ::9] - torch.from_numpy(golden[f'rate{rate}_feat_{i}'])
        worst = max(worst, difference.abs().max())
    box_head = TokenDistributionHead(in_channels=48, num_bins=16)
    box_head.load_state_dict(
        {k.removeprefix('box_head.'): v for k, v in converted.items() if k.startswith('box_head.')}
    )
    wanted = {'rate': golden[f'rate{rate}_box_cxcywh']}
    if rate == 0:
        backbone.remove_blocks([0, 2])
        features = backbone(torch.stack(templates, dim=1), make_input('search', (2, 3, 64, 64)))
        tokens = torch.from_numpy(golden['pruned_pred_tokens'])
        pruned = features.tokens[:, published_order] - tokens
        worst = max(worst, pruned.abs().max())
        wanted['pruned'] = golden['pruned_box_cxcywh']
    x1, y1, x2, y2 = box_head(features).boxes.unbind(-1)
    box = torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=-1)
    for value in wanted.values():
        worst = max(worst, (box - torch.from_numpy(value)).abs().max())
    print(f'rate {rate}: worst difference {worst:.2g}')
    assert worst < 2e-5


def backbone_of(depth: int, **changes) -> PMAMViT:
    torch.manual_seed(0)
    settings = dict(search_size=64, template_size=32, embed_dims=16, num_heads=2, mlp_ratio=2.0)
    return PMAMViT(**settings, depth=depth, **changes)


@pytest.mark.parametrize('fade', ['residual', 'branches'])
@pytest.mark.parametrize('training', [False, True])
def test_removing_a_faded_layer_changes_no_bit(fade, training):
    backbone = backbone_of(4, drop_path_rate=0.0).train(training)
    for index in (0, 3):
        backbone.blocks[index].gamma, backbone.blocks[index].fade = 0.0, fade
    inputs = torch.randn(2, 2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    before = backbone(*inputs)
    backbone.remove_blocks([0, 3])
    after = backbone(*inputs)
    assert torch.equal(before.search, after.search)
    assert torch.equal(before.tokens, after.tokens)
    assert {name.split('.')[1] for name in backbone.state_dict() if 'blocks' in name} == {'0', '1'}


def test_fading_is_continuous():
    """A layer that hardly counts changes hardly anything; one that counts fully is itself."""
    inputs = torch.randn(1, 1, 3, 32, 32), torch.randn(1, 3, 64, 64)
    for fade in ('residual', 'branches'):
        backbone = backbone_of(2).eval()
        whole = backbone(*inputs).tokens
        for gamma, wanted in ((1e-6, None), (1 - 1e-7, whole)):
            backbone.blocks[0].gamma, backbone.blocks[0].fade = gamma, fade
            close = backbone(*inputs).tokens
            if wanted is None:
                backbone.blocks[0].gamma = 0.0
                wanted = backbone(*inputs).tokens
            torch.testing.assert_close(close, wanted, atol=1e-4, rtol=0)


def test_the_two_ways_to_fade_differ():
    """The paper's MLP reads x + A(x), that of the published code x + gamma A(x)."""
    block = backbone_of(1).eval().blocks[0]
    x = torch.randn(1, 5, 16)
    query, key, value = block.project(x)
    attended = block.attn.attend(query, key, value)
    block.gamma = 0.3
    paper = x + 0.3 * (attended + block.mlp(block.norm2(x + attended)))
    torch.testing.assert_close(block.finish(x, query, key, value), paper)
    block.fade = 'branches'
    middle = x + 0.3 * attended
    code = middle + 0.3 * block.mlp(block.norm2(middle))
    torch.testing.assert_close(block.finish(x, query, key, value), code)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(layers=[0, 6], horizon=2), r'\[0, 6\] of a model with 6: .* from 0 to 5'),
        (dict(layers=[0, 1, 2, 3, 4, 5], horizon=2), 'at least one that stays'),
        (dict(layers=[0, 3], horizon=4), 'after 4 epochs .*but the training has 4'),
        (dict(layers=[0, 2], horizon=2), r"compares the student's layers \[2\]"),
        (dict(layers=[0, 0], horizon=2), 'none twice'),
        (dict(layers=[0.5], horizon=2), 'whole numbers'),
        (dict(layers=3, horizon=2), 'layers is 3, expected a list'),
        (dict(layers=[0, 3], horizon=12, by_epoch=False), 'after 12 iterations .*training has 12'),
        (dict(layers=[0], horizon=2, offset=2), 'above offset'),
        (dict(layers=[0], horizon=2, fade='all'), 'fade'),
    ],
)
def test_refused_before_anything_is_written(rendered, tmp_path, settings, message):
    cfg = stage(rendered, tmp_path, 'refused', epochs=4)
    cfg.default_hooks.depth_pruning = dict(type='DepthPruningHook', **settings)
    with pytest.raises(ValueError, match=message):
        check_training(cfg)
    assert not (tmp_path / 'refused').exists()


def test_a_second_set_of_layers_needs_a_stage_of_its_own(rendered, tmp_path):
    cfg = stage(rendered, tmp_path, 'refused', epochs=4)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type=DepthPruningHook, layers=[1], horizon=3)]
    with pytest.raises(ValueError, match=r'2 hooks DepthPruningHook, .* \[0, 3\] and \[1\]'):
        check_training(cfg)


@pytest.mark.parametrize('name', ['fermt', 'mixformer-cvt', 'mvt'])
def test_backbones_that_cannot_lose_blocks_are_refused(name):
    model = small_member(name)
    backbone = type(model.backbone).__name__
    with pytest.raises(ValueError, match=f'{backbone} cannot lose blocks'):
        model.remove_layers([0])
    hook, cfg = DepthPruningHook(layers=[0], horizon=2), Config(dict(train_cfg=dict(max_epochs=4)))
    with pytest.raises(ValueError, match=f'{backbone} cannot lose blocks.*without DepthPruning'):
        hook.check_settings(model, cfg)


def stage(data: Path, folder: Path, name: str, epochs: int = 4, **changes) -> Config:
    """The second stage of the chain, narrowed: 6 layers of which 2 fade within 2 epochs."""
    narrow = {
        'model.backbone.embed_dims': 16,
        'model.backbone.drop_path_rate': 0.5,
        'model.box_head.in_channels': 16,
        'model.box_head.num_bins': 16,
    }
    checkpoint = folder / 'parent.pth'
    cfg = small_stage(
        'mixformerv2-micro-b_st2',
        data,
        folder / name,
        **narrow,
        **{
            'load_from': str(checkpoint),
            'model.teacher_checkpoint': str(checkpoint),
            'train_cfg.max_epochs': epochs,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'default_hooks.depth_pruning.horizon': 2,
            'default_hooks.depth_pruning.by_epoch': True,
        },
        **changes,
    )
    parent = small_stage('mixformerv2-micro-b_st1', data, folder / 'parent', **narrow)
    cfg.model.teacher = tracker_settings(parent)
    if not checkpoint.exists():
        torch.manual_seed(1)
        torch.save(dict(state_dict=MODELS.build(cfg.model.teacher).state_dict()), checkpoint)
    return cfg


def train(cfg: Config):
    check_training(cfg)
    runner = build_runner(cfg)
    runner.train()
    return runner


def depth_of(path: Path) -> int:
    names = [n.split('.') for n in load_from_local(path)['state_dict']]
    return len({n[2] for n in names if n[:2] == ['backbone', 'blocks']})


def test_the_layers_leave_the_running_training_and_stay_away(rendered, tmp_path):
    whole = train(stage(rendered, tmp_path, 'whole'))
    files = [tmp_path / 'whole' / f'epoch_{e}.pth' for e in (1, 2, 3, 4)]
    assert [depth_of(path) for path in files] == [6, 6, 4, 4]
    model = whole.model
    held = {id(p) for g in whole.optim_wrapper.optimizer.param_groups for p in g['params']}
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert held == trained == set(map(id, whole.optim_wrapper.optimizer.state))
    assert model.layer_pairs == [(1, 2), (3, 5)]
    whole.call_hook('before_run')  # the same runner goes on with a test or another training
    whole.save_checkpoint(str(tmp_path), 'again.pth')
    assert load_from_local(tmp_path / 'again.pth')['meta']['removed_layers'] == [0, 3]

    # A plain tracker of four layers takes the file.
    plain = tracker_settings(stage(rendered, tmp_path, 'plain'))
    assert plain.type == 'TemplateSearchTracker' and plain.backbone.depth == 4
    final = load_from_local(files[-1])['state_dict']
    MODELS.build(plain).load_state_dict(final)

    # Interrupted before, at and after the removal.
    for epoch in (1, 2, 3):
        name = f'after_{epoch}'
        interrupted = stage(rendered, tmp_path, name)
        interrupted.resume, interrupted.load_from = True, str(files[epoch - 1])
        train(interrupted)
        resumed = load_from_local(tmp_path / name / 'epoch_4.pth')
        different = [
            key for key in final if not torch.equal(final[key], resumed['state_dict'][key])
        ]
        assert resumed['state_dict'].keys() == final.keys()
        assert not different, f'resumed after epoch {epoch}'


def test_a_stage_that_is_killed_ends_as_an_uninterrupted_one(rendered, tmp_path):
    """Kill -9 before the layers are removed and after it, before anything of it was saved."""
    # Of nine iterations; the layers go before the seventh.
    for name, iteration in (('whole', None), ('killed', 5), ('killed', 8), ('killed', None)):
        cfg = stage(rendered, tmp_path, name, epochs=3)
        cfg.custom_imports.imports.append('stages')
        if iteration:
            cfg.custom_hooks.append(dict(type='KillHook', iteration=iteration))
        cfg.dump(tmp_path / f'{name}.py')
        ended = subprocess.run(
            [sys.executable, TOOLS / 'train.py', tmp_path / f'{name}.py', '--resume'],
            env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent)},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == (-signal.SIGKILL if iteration else 0), ended.stderr[-2000:]
    whole, killed = (
        load_from_local(tmp_path / name / 'epoch_3.pth') for name in ('whole', 'killed')
    )
    assert depth_of(tmp_path / 'killed' / 'epoch_3.pth') == 4
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(whole[part], killed[part])


def assert_equal(one, other) -> None:
    """The same, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_equal(a, b)
    else:
        assert one == other


def test_a_training_goes_on_with_the_layers_that_it_began_with(rendered, tmp_path):
    train(stage(rendered, tmp_path, 'run'))
    other = stage(rendered, tmp_path, 'run', epochs=5)
    other.default_hooks.depth_pruning.layers = [1, 4]
    other.resume, other.load_from = True, str(tmp_path / 'run' / 'epoch_4.pth')
    with pytest.raises(ValueError, match=r'lacks the layers \[0, 3\], .* remove \[1, 4\]'):
        check_training(other)


def test_what_is_left_keeps_its_optimizer_state(rendered, tmp_path):
    """Also where every parameter has a group and a schedule of its own, and with averaging."""
    cfg = stage(rendered, tmp_path, 'kept', epochs=3)
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
    cfg.custom_hooks.append(dict(type='EMAHook'))
    cfg.default_hooks.depth_pruning.horizon = 1
    check_training(cfg)
    runner = build_runner(cfg)
    seen = {}

    class Look(Hook):
        """Compares the state around the moment of removal."""

        priority = 'LOWEST'

        def after_train_epoch(self, runner) -> None:
            if runner.epoch == 0:
                optimizer = runner.optim_wrapper.optimizer
                names = {id(p): n for n, p in runner.model.named_parameters()}
                seen.update(
                    {
                        names[id(p)]: {k: v.clone() for k, v in s.items()}
                        for p, s in optimizer.state.items()
                    }
                )

        def before_train_epoch(self, runner) -> None:
            if runner.epoch == 1:
                kept = {0: 1, 1: 2, 2: 4, 3: 5}
                optimizer = runner.optim_wrapper.optimizer
                names = {id(p): n for n, p in runner.model.named_parameters()}
                for param, state in optimizer.state.items():
                    name = names[id(param)]
                    parts = name.split('.')
                    if parts[1] == 'blocks':
                        name = '.'.join([*parts[:2], str(kept[int(parts[2])]), *parts[3:]])
                    assert all(torch.equal(state[k], seen[name][k]) for k in state), name
                seen['checked'] = len(optimizer.state)

    runner.register_hook(Look())
    runner.train()
    trained = [p for p in runner.model.parameters() if p.requires_grad]
    groups = runner.optim_wrapper.optimizer.param_groups
    assert seen['checked'] == len(groups) == len(trained)
    rates = {g['lr'] for g in groups}
    assert len(rates) == 2  # backbone and head, both still scheduled
    for scheduler in runner.param_schedulers:
        assert len(scheduler.base_values) == len(runner.optim_wrapper.param_groups)
    logged = runner.optim_wrapper.get_lr()
    assert logged['base_lr'] == pytest.approx([max(rates)])
    assert depth_of(tmp_path / 'kept' / 'epoch_3.pth') == 4


@pytest.mark.parametrize('freeze', [True, False])
def test_frozen_fading_layers_keep_their_weights(rendered, tmp_path, freeze):
    cfg = stage(rendered, tmp_path, f'freeze_{freeze}', epochs=3)
    cfg.default_hooks.depth_pruning.update(frozen=freeze, fade='branches')
    train(cfg)
    start = load_from_local(tmp_path / 'parent.pth')['state_dict']
    end = load_from_local(tmp_path / f'freeze_{freeze}' / 'epoch_1.pth')['state_dict']
    for layer in range(6):
        names = [n for n in start if n.startswith(f'backbone.blocks.{layer}.')]
        same = all(torch.equal(start[n], end[n]) for n in names)
        assert same == (freeze and layer in (0, 3))


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_two_processes_equal_one_with_twice_the_batch(rendered, tmp_path):
    """Removal goes through DistributedDataParallel, without a search for unused parameters."""
    final = {}
    for name, batch_size in (('one', 4), ('two', 2)):
        batch = {'train_dataloader.batch_size': batch_size}
        cfg = stage(rendered, tmp_path, name, epochs=3, **batch)
        cfg.model.backbone.drop_path_rate = 0.0
        # AdamW would turn the rounding of gradients near zero into whole steps.
        cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.05, weight_decay=0.01)
        cfg.param_scheduler = []
        cfg.default_hooks.depth_pruning.horizon = 1
        cfg.default_hooks.depth_pruning.frozen = True
        cfg.dump(tmp_path / f'{name}.py')
        if name == 'one':
            train(cfg)
        else:
            run_tool('dist_train.sh', str(tmp_path / 'two.py'), '2')
        final[name] = load_from_local(tmp_path / name / 'epoch_3.pth')['state_dict']
    assert final['one'].keys() == final['two'].keys()
    for key, value in final['one'].items():
        torch.testing.assert_close(final['two'][key], value, atol=1e-5, rtol=0, msg=key)
