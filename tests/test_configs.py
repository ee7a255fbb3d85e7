"""Every config parses, builds and runs on tiny data in the official layouts."""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import benchmark_layouts
import layouts
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import CheckpointLoader, Runner, save_checkpoint
from mmtrack.registry import MODELS

from mmtrack_mixformerv2.checkpoints import RELEASED, convert_state_dict
from mmtrack_mixformerv2.datasets import check_data_files
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.models.distillation import tracker_settings

ROOT = Path(__file__).resolve().parents[1]
BASES = ROOT / 'configs' / '_base_'
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if BASES not in p.parents)
# The toolkit of VOT brings the data, see docs/vot.md.
WITH_DATA = [path for path in CONFIGS if not path.stem.endswith('_test-vot')]
TRAINING = 'mixformerv2-b_8xb32-500e_got10k-lasot-trackingnet-coco'

# Search factor and update interval: section 2 of the facts about MixFormerV2 that this package was
# written from (published test script and released yaml; what those do not name has the defaults).
DEFAULT = (4.5, 200)
PUBLISHED = {
    'mixformerv2-b': {
        'lasot': (5.0, 200),
        'got10k': (5.0, 10),
        'trackingnet': (5.0, 25),
        'uav123': DEFAULT,
        'otb100': DEFAULT,
        'lasot-ext': DEFAULT,
        'got10k-val': (5.0, 10),
        'tnl2k': DEFAULT,
        'nfs30': DEFAULT,
        'nfs240': DEFAULT,
        'folder': DEFAULT,
    },
    'mixformerv2-s': {
        'lasot': (4.4, 200),
        'got10k': (4.55, 15),
        'trackingnet': (4.55, 25),
        'uav123': DEFAULT,
        'otb100': DEFAULT,
        'lasot-ext': DEFAULT,
        'got10k-val': (4.55, 15),
        'tnl2k': DEFAULT,
        'nfs30': DEFAULT,
        'nfs240': DEFAULT,
        'folder': DEFAULT,
    },
}
TESTS = [(model, benchmark) for model, sets in PUBLISHED.items() for benchmark in sets]
ONE_OF_EACH = [test for test in TESTS if test[0] == 'mixformerv2-b']  # S is tested without a run

# Bins and search factor on LaSOT: sections 1 and 3 of the facts about MixViT that this package was
# written from. The default stands where nothing is published.
TEACHERS = {
    'mixvit-b-plain224': (14, 4.5),
    'mixvit-b-pyramid288': (72, 5.05),
    'mixvit-l-pyramid288': (72, 4.5),
    'mixvit-l-pyramid384': (96, 4.55),
}

# Backbones that are made thin in another way than a plain ViT.
THIN = {
    'SiamMobileViT': dict(widths=[4, 4, 4, 4, 8], dims=[8, 8], depths=[1, 1], expansion=1),
    'MixCvT': dict(stage_dims=(8, 16, 24), num_heads=(1, 2, 2), depths=(1, 1, 1), mlp_ratio=1.0),
}


def load(name: str) -> Config:
    (path,) = (path for path in CONFIGS if path.stem == name)
    return read_config(str(path))


def narrow(cfg: Config) -> Config:
    """One thin layer; the sizes in pixels and bins stay."""
    backbone = cfg.model.backbone
    plain = dict(depth=1, embed_dims=24, num_heads=2, mlp_ratio=1.0)
    backbone.update(THIN.get(backbone.type, plain), init_cfg=None)
    if cfg.model.get('neck'):
        cfg.model.neck.in_channels = backbone.get('widths', [24])[-1]
    if cfg.model.get('neck', {}).get('out_channels'):
        cfg.model.neck.out_channels = 24
    if cfg.model.backbone.type == 'FERMTViT':
        cfg.model.backbone.attention = 'A5'
    cfg.model.box_head.in_channels = 24
    if cfg.model.box_head.type in ('CornerHead', 'CenterHead'):
        cfg.model.box_head.channels = 8
    if cfg.model.get('score_head'):
        cfg.model.score_head.in_channels = 24
        if cfg.model.score_head.type == 'ScorePredictionModule':
            cfg.model.score_head.num_heads = 2
    return cfg


def for_a_run(cfg: Config, folder: Path) -> Config:
    """Everything a run writes goes to ``folder``; two runs in one process share nothing."""
    narrow(cfg)
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    return cfg


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_says_what_it_needs_makes_and_how_it_runs(path):
    text = path.read_text()
    header = text[: text.index('_base_')]
    needs, makes, run = (header.index(f'# {word}:') for word in ('needs', 'makes', 'run'))
    assert needs == 0 and needs < makes < run
    command = header[run:]
    assert str(path.relative_to(ROOT)) in command
    for tool in re.findall(r'tools/[\w/]+\.\w+', header):
        assert (ROOT / tool).is_file(), tool
    body = [line for line in text[len(header) :].splitlines() if line.strip()]
    if '_test-' in path.name:
        assert len(body) <= 20


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_can_be_built(path):
    cfg = read_config(str(path))
    assert cfg.default_scope == 'mmtrack'
    assert cfg.custom_imports.imports == ['mmtrack_mixformerv2']
    cfg.model = tracker_settings(cfg)  # without the teacher, whose weights are not here
    model = MODELS.build(narrow(cfg).model)
    assert sum(parameter.numel() for parameter in model.parameters()) < 200_000


def test_every_base_is_used():
    used = set()
    for path in [*CONFIGS, *BASES.rglob('*.py')]:
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Assign) and statement.targets[0].id == '_base_':
                bases = ast.literal_eval(statement.value)
                used.update(
                    (path.parent / base).resolve()
                    for base in ([bases] if isinstance(bases, str) else bases)
                )
    assert all(base.is_file() for base in used)
    paper, published = (BASES / 'distillation' / f'{name}.py' for name in ('paper', 'published'))
    assert set(BASES.rglob('*.py')) <= used | {published}
    assert list(Config.fromfile(published)) == list(Config.fromfile(paper))  # it may take its place


@pytest.mark.parametrize(('model', 'benchmark'), TESTS)
def test_published_numbers_of_the_test_configs(model, benchmark):
    cfg = load(f'{model}_test-{benchmark}')
    search_factor, update_interval = PUBLISHED[model][benchmark]
    assert cfg.model.test_cfg == dict(
        search_factor=search_factor,
        template_factor=2.0,
        num_online_templates=1,
        update_interval=update_interval,
        score_threshold=0.5,
        max_score_decay=1.0,
        clip_margin=10,
    )


@pytest.mark.parametrize('model', PUBLISHED)
def test_published_sizes_of_the_models(model):
    cfg, sizes = load(f'{model}_test-lasot').model, RELEASED[model]
    backbone = cfg.backbone
    assert (backbone.embed_dims, backbone.depth) == (sizes.embed_dims, sizes.depth)
    assert {backbone.mlp_ratio} == set(sizes.mlp_ratios)
    assert (backbone.search_size, backbone.template_size) == (
        sizes.search_size,
        sizes.template_size,
    )
    assert cfg.box_head.num_bins == sizes.num_bins == 96
    assert cfg.score_head.order == 'mean_of_logits'
    assert cfg.data_preprocessor.bgr_to_rgb


def make_listed(make: Callable[..., list[str]], name: str, root: Path, **options) -> Path:
    """A benchmark with its info file."""
    benchmark_layouts.write_infos(root, name, make(root, **options))
    return root


def make_folder(root: Path) -> Path:
    """One sequence of one's own with all of its boxes."""
    benchmark_layouts.make_folder(root, frames=6)
    return root / 'one'


DATA = {
    'lasot': lambda root: layouts.make_lasot(root, 'test', frames=6),
    'got10k': lambda root: layouts.make_got10k(root, 'test', frames=6),
    'trackingnet': lambda root: layouts.make_trackingnet(root, 'test', frames=6),
    'uav123': layouts.make_uav123,
    'otb100': layouts.make_otb100,
    'lasot-ext': partial(make_listed, benchmark_layouts.make_lasot_ext, 'lasot_ext', frames=6),
    'got10k-val': partial(make_listed, benchmark_layouts.make_got10k, 'got10k_val', frames=6),
    'tnl2k': partial(make_listed, benchmark_layouts.make_tnl2k, 'tnl2k_test', frames=6),
    'nfs30': partial(make_listed, benchmark_layouts.make_nfs, 'nfs30', fps=30, frames=41),
    'nfs240': partial(make_listed, benchmark_layouts.make_nfs, 'nfs240', fps=240, frames=6),
    'folder': make_folder,
}
SCORES = {
    'got10k-val': {'AO', 'SR_0.5', 'SR_0.75'},
    'got10k': {'sequences'},
    'trackingnet': {'sequences'},
}


@pytest.mark.parametrize(
    ('name', 'benchmark'),
    [
        *((f'{model}_test-{benchmark}', benchmark) for model, benchmark in ONE_OF_EACH),
        ('mixvit-b-plain224', 'lasot'),
        ('mixvit-b-score_test-got10k', 'got10k'),
        ('mixformer-cvt_test-lasot', 'lasot'),
        ('fermt_test-lasot', 'lasot'),
        ('fermt-corner_test-got10k', 'got10k'),
        ('mvt_test-nfs30', 'nfs30'),
        ('mixformerv2-tiny_test-folder', 'folder'),
    ],
)
def test_test_configs_run(tmp_path, name, benchmark):
    cfg = for_a_run(load(name), tmp_path)
    cfg.test_dataloader.dataset.data_root = str(DATA[benchmark](tmp_path / 'data'))
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    assert cfg.test_evaluator.outfile_prefix == f'work_dirs/{name}/results'
    cfg.test_evaluator.outfile_prefix = str(tmp_path / 'results')
    check_data_files(cfg.test_dataloader.dataset)
    metrics = Runner.from_cfg(cfg).test()
    scores = SCORES.get(benchmark, {'success', 'norm_precision', 'precision'})
    assert set(metrics) == {f'sot/{score}' for score in scores}
    assert all(0 <= value <= 100 for value in metrics.values())
    if benchmark != 'got10k-val':
        assert all(metrics.values())  # frame 0 is given; servers: the number of sequences
    report = json.loads((tmp_path / 'results.json').read_text())
    assert report['complete']
    for sequence in report['sequences']:
        (path,) = (
            path
            for path in (tmp_path / 'results').rglob(f'{sequence["name"]}*.txt')
            if 'time' not in path.name
        )
        assert len(path.read_text().splitlines()) == sequence['frames'] == 6
    assert not (tmp_path / 'results.zip').exists()  # a server wants more sequences


@pytest.mark.parametrize('benchmark', DATA)
def test_protocols_of_the_benchmarks(benchmark):
    protocols = {'got10k': 'got10k_test', 'got10k-val': 'got10k', 'lasot-ext': 'lasot_ext'}
    protocols.update(dict.fromkeys(('nfs30', 'nfs240'), 'nfs'))
    for model in PUBLISHED:
        metric = load(f'{model}_test-{benchmark}').test_evaluator
        assert metric.protocol == protocols.get(benchmark, benchmark)
    assert load('mixformerv2-tiny_test-synthetic').test_evaluator.protocol == 'folder'


@pytest.mark.parametrize('path', WITH_DATA, ids=lambda path: path.stem)
def test_missing_data_ends_in_an_error_before_anything_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = read_config(str(path))
    loader = cfg.get('train_dataloader') or cfg.test_dataloader
    with pytest.raises(FileNotFoundError, match='data.*data_root'):
        check_data_files(loader.dataset)


@pytest.fixture
def training(tmp_path) -> Config:
    return tiny_training(TRAINING, tmp_path)


def tiny_training(name: str, tmp_path: Path) -> Config:
    """A training config on four tiny data sets: two epochs of two steps of two samples."""
    cfg = for_a_run(load(name), tmp_path)
    makers = (layouts.make_got10k, layouts.make_lasot, layouts.make_trackingnet, layouts.make_coco)
    for dataset, make in zip(cfg.train_dataloader.dataset.datasets, makers):
        dataset.data_root = str(make(tmp_path / dataset.type))
    got10k = cfg.train_dataloader.dataset.datasets[0]
    made = Path(got10k.data_root) / 'annotations' / 'got10k_train_infos.txt'
    made.rename(Path(got10k.data_root) / got10k.ann_file)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.sampler.samples_per_epoch = 5
    cfg.train_cfg.max_epochs = 2
    return cfg


def test_the_training_config_trains(training):
    runner = Runner.from_cfg(training)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 4  # 5 samples in batches of 2, the rest dropped
    assert runner.train_dataloader.sampler.epoch == 1  # the hook told it: new samples every epoch
    log = runner.message_hub.log_scalars
    for name in ('loss_l1', 'loss_iou', 'grad_norm'):
        assert 0 < log[f'train/{name}'].current() < 100
    changed = {n for n, v in runner.model.state_dict().items() if not torch.equal(v, before[n])}
    assert {'backbone.patch_embed.weight', 'backbone.prediction_tokens'} <= changed
    assert not changed & {'backbone.search_pos_embed', 'backbone.template_pos_embed'}


def test_the_training_config_has_the_published_recipe(training):
    cfg = load(TRAINING)
    assert cfg.train_cfg.max_epochs == 500 and cfg.param_scheduler.milestones == [400]
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    assert cfg.train_dataloader.sampler.samples_per_epoch == 60000
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    losses = {name: loss.loss_weight for name, loss in cfg.model.losses.items()}
    assert losses == dict(loss_l1=5.0, loss_iou=2.0)
    runner = Runner.from_cfg(training)
    groups = runner.build_optim_wrapper(training.optim_wrapper).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    for name, parameter in runner.model.named_parameters():
        expected = 4e-5 if name.startswith('backbone') else 4e-4
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(expected), name
    assert {group['weight_decay'] for group in groups} == {1e-4}
    assert {group['betas'] for group in groups} == {(0.9, 0.999)}


@pytest.mark.parametrize(
    ('name', 'moved'),
    [
        (
            'fermt_4xb32-300e_got10k-lasot-trackingnet-coco',
            ('dual_attention.near.weight', 'template_pos_embed', 'search_pos_embed'),
        ),
        ('mvt_1xb128-100e_got10k', ('alone.0.conv.weight', 'mix2.fusion.bn.running_var')),
    ],
)
def test_a_tracker_of_one_template_trains(name, moved, tmp_path):
    cfg = tiny_training(name, tmp_path)
    cfg.train_dataloader.sampler.samples_per_epoch = 2
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    log = runner.message_hub.log_scalars
    for name in ('loss_cls', 'loss_l1', 'loss_iou', 'grad_norm'):
        assert 0 < log[f'train/{name}'].current() < 1000
    changed = {n for n, v in runner.model.state_dict().items() if not torch.equal(v, before[n])}
    assert {f'backbone.{part}' for part in moved} <= changed


def test_mvt_has_the_published_recipe():
    """Reference: section 5 of the facts about MVT."""
    cfg = load('mvt_1xb128-100e_got10k')
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 128
    assert cfg.train_dataloader.sampler.samples_per_epoch == 60000
    assert cfg.train_cfg.max_epochs == 100 and cfg.optim_wrapper.clip_grad.max_norm == 0.1
    schedule = dict(type='CosineAnnealingLR', by_epoch=True, T_max=100, eta_min=1e-9)
    assert cfg.param_scheduler == schedule
    losses = {name: loss.loss_weight for name, loss in cfg.model.losses.items()}
    assert losses == dict(loss_cls=1.0, loss_l1=5.0, loss_iou=2.0)
    assert cfg.model.losses.loss_cls.positive == 0.1
    model = MODELS.build(narrow(cfg).model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    for name, parameter in model.named_parameters():
        expected = 4e-5 if name.startswith('backbone') else 4e-4
        assert rates[id(parameter)] == pytest.approx(expected), name
    assert {group['weight_decay'] for group in groups} == {1e-4}
    dataset, test = cfg.train_dataloader.dataset, cfg.model.test_cfg
    assert (dataset.num_templates, dataset.max_gap, dataset.min_visible) == (1, 199, 5)
    crop = next(step for step in dataset.pipeline if 'search_size' in step)
    assert (crop.search_size, crop.template_size) == (256, 128)
    factors = (test.search_factor, test.template_factor)
    assert (crop.search_factor, crop.template_factor) == factors == (4.0, 2.0)
    assert (crop.center_jitter, crop.scale_jitter) == (3.0, 0.25)
    assert test.num_online_templates == 0 and test.clip_margin == 10


def test_a_large_teacher_trains_all_but_its_first_layers(tmp_path):
    cfg = tiny_training('mixvit-l-pyramid288', tmp_path)
    cfg.model.backbone.depth = 7
    cfg.train_dataloader.sampler.samples_per_epoch = 6  # three batches, one step
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    moved = {name.split('.')[0:3][-1] for name in changed if name.startswith('backbone.blocks.')}
    assert moved == {'6'}
    assert 'backbone.patch_embed.weight' not in changed
    for name in ('convs.0.0.weight', 'convs.0.1.running_var', 'map4.1.1.bias', 'lateral2.0.weight'):
        assert {f'box_head.{branch}.{name}' for branch in ('top_left', 'bottom_right')} <= changed
    assert all(value.dtype != torch.bfloat16 for value in after.values())


@pytest.mark.parametrize('name', TEACHERS)
def test_teachers_have_the_published_recipe(name):
    """Reference: section 4 of the facts about MixViT, its first stage."""
    cfg, large = load(name), '-l-' in name
    assert cfg.train_cfg.max_epochs == 500 and cfg.param_scheduler.milestones == [400]
    assert cfg.train_dataloader.batch_size == (12 if large else 32)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == (3 if large else 1)
    assert cfg.optim_wrapper.type == ('BFloat16OptimWrapper' if large else 'OptimWrapper')
    optimizer = dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=1e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    losses = {loss: settings.loss_weight for loss, settings in cfg.model.losses.items()}
    assert losses == dict(loss_l1=5.0, loss_iou=2.0)
    assert cfg.model.test_cfg.search_factor == TEACHERS[name][1]
    size = 'l' if large else 'b'
    assert cfg.model.backbone.init_cfg.checkpoint == f'checkpoints/mae_vit-{size}.pth'


@pytest.mark.parametrize('name', TEACHERS)
def test_teachers_have_as_many_bins_as_their_name_says(name):
    model = MODELS.build(narrow(load(name)).model).eval()
    size, sides = model.backbone.search_size, model.backbone.template_size
    inputs = dict(
        img=torch.zeros(1, 2, 3, sides, sides), search_img=torch.zeros(1, 1, 3, size, size)
    )
    with torch.inference_mode():
        prediction = model(inputs, mode='tensor')
    assert prediction.edge_logits.shape == (1, 4, TEACHERS[name][0])
    assert prediction.boxes.shape == (1, 4) and prediction.score_logits is None


@pytest.mark.parametrize(
    ('name', 'search_factor'), [(TRAINING, 5.0), *((name, 4.5) for name in TEACHERS)]
)
def test_the_crops_of_a_training_config_are_those_its_model_takes(name, search_factor):
    cfg = load(name)
    crop = next(s for s in cfg.train_dataloader.dataset.pipeline if 'search_size' in s)
    backbone = cfg.model.backbone
    assert (crop.search_size, crop.template_size) == (backbone.search_size, backbone.template_size)
    assert crop.template_factor == cfg.model.test_cfg.template_factor
    assert (crop.search_factor, crop.center_jitter, crop.scale_jitter) == (search_factor, 4.5, 0.5)
    assert cfg.train_dataloader.dataset.num_templates == 2
    assert cfg.train_dataloader.dataset.pipeline[-1].num_template_frames == 2


def test_training_starts_from_the_first_blocks_of_a_converted_vit(tmp_path):
    cfg = load(TRAINING)
    init = cfg.model.backbone.init_cfg
    narrow(cfg)
    cfg.model.backbone.init_cfg = dict(init, checkpoint=str(tmp_path / 'mae.pth'))
    model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(0)
    published = {}
    for name, value in model.backbone.state_dict().items():
        if name.startswith(('blocks.', 'patch_embed.')):
            name = name.replace('patch_embed.', 'patch_embed.proj.')
            for depth in range(2 if name.startswith('blocks.') else 1):
                copy = name.replace('blocks.0', f'blocks.{depth}')
                published[copy] = torch.randn(value.shape, generator=generator)
    published['cls_token'] = torch.zeros(1, 1, 24)
    converted = convert_state_dict(published).state_dict
    save_checkpoint(dict(state_dict=converted), str(tmp_path / 'mae.pth'))
    model.init_weights()
    state = model.state_dict()
    taken = [name for name in converted if name in state]
    assert len(taken) == 2 + 12 and len(converted) == 2 + 24  # one block of two
    assert all(torch.equal(state[name], converted[name]) for name in taken)


def test_missing_initial_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load(TRAINING)
    with pytest.raises(FileNotFoundError, match='mae_vit-b.pth'):
        CheckpointLoader.load_checkpoint(cfg.model.backbone.init_cfg.checkpoint)
