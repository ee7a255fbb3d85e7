"""The backbone of FERMT: five designs of attention, what is cached, and the unit before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from torch import Tensor

from mmtrack_mixformerv2.analysis import count_multiply_adds
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.models import FERMTViT
from mmtrack_mixformerv2.models.backbones.dual_attention import DualAttentionUnit
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.structures import TemplateCache

DESIGNS = ('A1', 'A2', 'A3', 'A4', 'A5')
CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
SIZES = dict(search_size=64, template_size=32, embed_dims=32, num_heads=2, drop_path_rate=0.0)


def backbone(*attention: str, **settings) -> FERMTViT:
    """A small backbone of lively weights with one block for each of the designs."""
    torch.manual_seed(0)
    settings = {**SIZES, 'depth': len(attention), 'attention': attention, **settings}
    model = FERMTViT(**settings).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def crops(batch: int = 2) -> tuple[Tensor, Tensor]:
    """Templates and search regions."""
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 1, 3, 32, 32, generator=generator),
        torch.randn(batch, 3, 64, 64, generator=generator),
    )


def sees(design: str, n: int, m: int) -> Tensor:
    """Which tokens (columns) the queries (rows) of n template and m search tokens attend to."""
    z, x = torch.arange(n + m) < n, torch.arange(n + m) >= n
    template = {'A1': z, 'A2': z, 'A3': z | x, 'A4': z & x, 'A5': x}[design]
    search = {'A1': x, 'A2': z | x, 'A3': z | x, 'A4': z, 'A5': z}[design]
    return torch.cat([template.expand(n, -1), search.expand(m, -1)])


def joint_forward(model: FERMTViT, template: Tensor, search: Tensor) -> Tensor:
    """All tokens through all blocks, with masks on one softmax; nothing cached or left out."""
    unit = model.dual_attention or torch.nn.Identity()
    tokens = [
        model.patch_embed(unit(image)).flatten(2).mT + position
        for image, position in (
            (template[:, 0], model.template_pos_embed),
            (search, model.search_pos_embed),
        )
    ]
    x, n = torch.cat(tokens, dim=1), tokens[0].shape[1]
    for block, design in zip(model.blocks, model.attention):
        query, key, value = block.attn.project(block.norm1(x))
        mask = sees(design, n, x.shape[1] - n)
        weights = (query @ key.mT * query.shape[-1] ** -0.5).masked_fill(~mask, -torch.inf)
        mixed = weights.softmax(dim=-1).nan_to_num() @ value
        if design == 'A4':
            mixed = torch.cat([query[:, :, :n], mixed[:, :, n:]], dim=2)
        x = x + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
    return model.norm(x)


@pytest.mark.parametrize(
    'attention',
    [
        ('A1', 'A4', 'A1'),
        ('A2', 'A2'),
        ('A3', 'A3'),
        ('A4', 'A4'),
        ('A5', 'A5'),
        ('A2', 'A4', 'A5', 'A4', 'A1', 'A3', 'A2', 'A5'),
        ('A5', 'A2', 'A1'),
    ],
    ids='-'.join,
)
def test_every_design_equals_one_masked_softmax(attention):
    model, (template, search) = backbone(*attention), crops()
    with torch.no_grad():
        expected = joint_forward(model, template, search)
        features = model(template, search, out_layers=True)
        torch.testing.assert_close(features.search, expected[:, 4:], atol=2e-5, rtol=2e-5)
        torch.testing.assert_close(model.norm(features.layers[-1]), features.search)
        assert len(features.layers) == len(attention) and features.template is None
        model.keep_template_output = True
        features = model(template, search)
    torch.testing.assert_close(features.search, expected[:, 4:], atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(features.template, expected[:, :4], atol=2e-5, rtol=2e-5)


def test_the_designs_have_as_many_pairs_of_tokens_as_documented():
    found = re.findall(r'- (A\d), .* pairs \(([\d,]+)\)', FERMTViT.__doc__)
    table = {design: int(count.replace(',', '')) for design, count in found}
    pairs = {design: int(sees(design, 64, 256).sum()) for design in DESIGNS}
    assert table == pairs
    assert (pairs['A2'] + pairs['A5']) / 2 == 59_392  # the paper's mean per layer


@pytest.mark.parametrize(
    ('attention', 'keys', 'tokens'),
    [
        (('A2', 'A1', 'A4', 'A5', 'A2'), 2, True),  # A1 shows the search region nothing
        (('A2', 'A4', 'A1'), 2, False),
        (('A5', 'A2'), 0, True),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, tuple) else None,
)
def test_a_cache_can_be_split_joined_and_packed(attention, keys, tokens):
    model, (template, search) = backbone(*attention), crops()
    with torch.no_grad():
        cache = model.encode_template(template)
        assert (len(cache.keys), set(cache.maps)) == (keys, {'tokens'} if tokens else set())
        expected = model.encode_search(search, cache).search
        joined = TemplateCache.join(cache.split())
        unpacked = TemplateCache.unpack(cache.pack())
        for other in (joined, unpacked, cache.repeat(1)):
            torch.testing.assert_close(model.encode_search(search, other).search, expected)
        one = model.encode_search(search[1:], cache.split()[1]).search
    torch.testing.assert_close(one, expected[1:], atol=1e-5, rtol=1e-5)


def test_every_weight_learns_and_the_search_region_sees_the_template():
    model, (template, search) = backbone('A2', 'A5'), crops()
    template.requires_grad_(True)
    model.train()(template, search).search.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert template.grad.abs().sum() > 0


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match='A7.*depth=2, expected one of A1, A2'):
        backbone('A2', 'A7')
    with pytest.raises(ValueError, match='depth=3'):
        backbone('A2', 'A5', depth=3)
    for attention in ([['A2'], 'A2'], None):
        with pytest.raises(ValueError, match='attention is .*expected one of A1, A2'):
            backbone('A2', 'A2', attention=attention)
    with pytest.raises(ValueError, match='patch_size=0, which is at least 1'):
        backbone('A2', patch_size=0)
    with pytest.raises(ValueError, match='num_heads=0'):
        backbone('A2', num_heads=0)
    with pytest.raises(ValueError, match='never sees the template'):
        backbone('A1', 'A1')
    with pytest.raises(ValueError, match='patch_size=16'):
        backbone('A2', search_size=60)
    with pytest.raises(ValueError, match='num_heads=3'):
        backbone('A2', num_heads=3)
    assert backbone('A2', attention='A5', depth=3).attention == ('A5',) * 3


def test_inputs_that_do_not_fit_are_named():
    model, (template, search) = backbone('A2', 'A5'), crops()
    cache = model.encode_template(template)
    with pytest.raises(ValueError, match='there are 2 templates and FERMTViT sees 1'):
        model.encode_template(template.repeat(1, 2, 1, 1, 1))
    with pytest.raises(ValueError, match='tokens_only'):
        model.encode_search(search, cache, tokens_only=True)
    with pytest.raises(ValueError, match=r'\(1, True, 2\), expected \(1, True, 1\)'):
        model.encode_search(search[:1], cache)
    with pytest.raises(ValueError, match=r'\(1, True, 2\), expected \(2, False, 2\)'):
        backbone('A2', 'A4').encode_search(search, cache)


# ---- Dual Attention Unit -----------------------------------------------------------------------


def plain_unit(unit: DualAttentionUnit, images: Tensor) -> Tensor:
    """The formula as it is written, with one operation for each of its parts."""
    p = F.gelu(unit.proj_in(images))
    spatial = unit.mix(unit.far(unit.near(p)))
    channel = unit.excite(F.relu(unit.squeeze(F.adaptive_avg_pool2d(p, 1).flatten(1)))).sigmoid()
    return unit.proj_out(channel[:, :, None, None] * spatial * p) + images


@pytest.mark.parametrize('size', [(96, 64), (40, 33)], ids=['in strips', 'as a whole'])
def test_the_unit_equals_its_formula(size):
    torch.manual_seed(0)
    unit = DualAttentionUnit()
    assert sum(p.numel() for p in unit.parameters()) == 198  # as published
    torch.nn.init.ones_(unit.squeeze.weight)  # so that the channel gate is not constant
    images = torch.randn(2, 3, *size) + 1
    with torch.no_grad():
        got = unit(images)
        torch.testing.assert_close(got, plain_unit(unit, images), atol=1e-5, rtol=1e-5)
        alone = unit(images[:1])  # the gates are those of each image
    torch.testing.assert_close(got[:1], alone)


def test_the_sizes_of_a_unit_follow_from_its_options():
    unit = DualAttentionUnit(64, kernel_size=21, dilation=3, reduction=16)
    assert unit.near.kernel_size == (5, 5) and unit.far.kernel_size == (7, 7)
    assert unit.squeeze.out_features == 16
    assert unit(torch.zeros(1, 64, 24, 24)).shape == (1, 64, 24, 24)
    with pytest.raises(ValueError, match='kernel at least as large'):
        DualAttentionUnit(kernel_size=2)
    with pytest.raises(ValueError, match='at least 3 channels'):
        DualAttentionUnit(2)


# ---- as a tracker ------------------------------------------------------------------------------


def small(cfg: Config) -> Config:
    """The model of a config at a small width; crops keep their size."""
    cfg.model.backbone.update(embed_dims=32, num_heads=2, depth=2, mlp_ratio=1.0)
    cfg.model.backbone.attention = ['A2', 'A5']
    cfg.model.box_head.update(in_channels=32, channels=8)
    if cfg.model.get('neck'):
        cfg.model.neck.in_channels = 32
    return cfg


@pytest.mark.parametrize('dual_attention', [True, False])
def test_a_frozen_copy_reads_raw_crops(dual_attention):
    cfg = small(read_config(str(CONFIGS / 'fermt' / 'fermt_test-got10k.py')))
    cfg.model.backbone.dual_attention = dual_attention
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    view = InferenceNetwork.of(model)
    frozen = view.frozen()
    assert frozen.scaled and frozen.model.box_head.first is not None
    assert model.box_head.first is None  # the running model stays as it is
    template = torch.randint(0, 256, (1, 1, 128, 128, 3), dtype=torch.uint8)
    search = torch.randint(0, 256, (1, 256, 256, 3), dtype=torch.uint8)
    with torch.inference_mode():
        maps = [n.predict(search, n.encode_templates(template)).score_map for n in (view, frozen)]
    torch.testing.assert_close(*maps, atol=1e-5, rtol=1e-4)


def test_published_multiply_adds():
    """2.671 G with and 2.397 G without the products of attention; less with what we leave out.

    Reference: section 3 of the facts about FERMT that this package was written from.
    """
    cfg = Config.fromfile(CONFIGS / '_base_' / 'models' / 'fermt.py')
    cost = count_multiply_adds(MODELS.build(cfg.model).eval(), 1)
    assert cost.published == 2_671_108_108
    dims, pairs = 192, 6 * 86_016 + 6 * 32_768
    assert cost.published - 2 * dims * pairs == pytest.approx(2.397e9, abs=5e5)
    # The last block does no more for the template than its keys and values, and makes none of the
    # search region.
    rest_of_block = 64 * (dims * dims * 2 + 8 * dims * dims) + 2 * 64 * 256 * dims
    assert cost.published - cost.without_cache == rest_of_block + 256 * 2 * dims * dims
    assert cost.with_cache == 2_430_705_670  # a fifth of the images and of six blocks is cached


def trained(cfg: Config, samples: int = 2) -> dict[str, Tensor]:
    """Losses of a batch, after a backward pass."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    annotated = []
    for _ in range(samples):
        sample = TrackDataSample()
        sample.search_gt_instances = InstanceData(bboxes=torch.tensor([[64.0, 80, 160, 200]]))
        annotated.append(sample)
    inputs = dict(
        img=torch.randn(samples, 1, 3, 128, 128), search_img=torch.randn(samples, 1, 3, 256, 256)
    )
    losses = model.loss(inputs, annotated)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    return losses


def test_mixformerv2_teaches_the_backbone_of_fermt(tmp_path):
    """The teacher sees the one template, and its 96 bins become 16."""
    cfg = small(read_config(str(CONFIGS / 'fermt' / 'fermt-corner_distill-mixformerv2.py')))
    teacher = read_config(cfg.model.teacher).model
    teacher.backbone.update(embed_dims=24, num_heads=2, depth=1, mlp_ratio=1.0)
    teacher.box_head.in_channels = 24
    teacher.score_head = None
    torch.save(dict(state_dict=MODELS.build(teacher).state_dict()), tmp_path / 'teacher.pth')
    cfg.model.update(teacher=teacher, teacher_checkpoint=str(tmp_path / 'teacher.pth'))
    losses = trained(cfg)
    assert {name for name in losses if name.startswith('loss')} == {
        'loss_l1',
        'loss_iou',
        'loss_kl',
    }
    assert losses['loss_kl'] > 0


ON_FOUR_SETS = '4xb32-300e_got10k-lasot-trackingnet-coco'


@pytest.mark.parametrize(
    ('name', 'epochs', 'losses'),
    [
        (f'fermt_{ON_FOUR_SETS}', 300, dict(loss_cls=1.0, loss_l1=5.0, loss_iou=2.0)),
        ('fermt_4xb32-100e_got10k', 100, dict(loss_cls=1.0, loss_l1=0.0, loss_iou=2.0)),
        (f'fermt-corner_{ON_FOUR_SETS}', 300, dict(loss_l1=5.0, loss_iou=2.0)),
        ('fermt-corner_4xb32-100e_got10k', 100, dict(loss_l1=5.0, loss_iou=2.0)),
        ('fermt-corner-reweighted_4xb32-100e_got10k', 100, dict(loss_l1=5.0, loss_iou=2.0)),
    ],
)
def test_training_configs_have_the_published_recipe(name, epochs, losses):
    """Reference: section 5 of the facts about FERMT that this package was written from."""
    cfg = read_config(str(CONFIGS / 'fermt' / f'{name}.py'))
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler.milestones == [epochs * 4 // 5]
    assert cfg.train_dataloader.batch_size * 4 == cfg.auto_scale_lr.base_batch_size == 128
    optimizer = dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=1e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=0.1))
    assert {loss: one.loss_weight for loss, one in cfg.model.losses.items()} == losses
    data = cfg.train_dataloader.dataset
    assert (data.num_templates, data.max_gap, data.min_visible) == (1, 199, 5)
    assert data.pipeline[-1].num_template_frames == 1
    crop = next(step for step in data.pipeline if step.type == 'CropTemplatesAndSearch')
    assert (crop.search_size, crop.template_size) == (256, 128)
    assert (crop.search_factor, crop.template_factor) == (4.0, 2.0)
    assert (crop.center_jitter, crop.scale_jitter) == (3.0, 0.25)
    assert len(data.datasets) == (4 if epochs == 300 else 1)


@pytest.mark.parametrize('name', ['fermt', 'fermt-corner', 'fermt-corner-reweighted'])
def test_both_heads_train(name):
    losses = trained(small(Config.fromfile(CONFIGS / '_base_' / 'models' / f'{name}.py')))
    assert ('loss_cls' in losses) == (name == 'fermt')
