"""The backbone and the neck of MVT: two halves, one cache, one graph."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from small_family import small_config
from torch import Tensor, nn

from mmtrack_mixformerv2.models import PixelCorrelationNeck, SiamMobileViT, TemplateSearchTracker
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.structures import Features, TemplateCache

BACKBONE = dict(
    type='SiamMobileViT',
    search_size=64,
    template_size=32,
    widths=[4, 8, 8, 12, 16],
    dims=[8, 12],
    depths=[1, 1],
    expansion=2,
)
MODEL = dict(
    type='TemplateSearchTracker',
    data_preprocessor=dict(type='CropDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3),
    backbone=BACKBONE,
    neck=dict(type='PixelCorrelationNeck', in_channels=16, out_channels=24, template_tokens=4),
    box_head=dict(type='CenterHead', in_channels=24, channels=8),
    losses=dict(
        loss_cls=dict(type='CenterFocalLoss', positive=0.1),
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(num_online_templates=0),
)


def small_tracker() -> TemplateSearchTracker:
    """With batch norms that have seen something."""
    torch.manual_seed(0)
    model = MODELS.build(MODEL).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def small_backbone(**settings) -> SiamMobileViT:
    torch.manual_seed(0)
    return MODELS.build({**BACKBONE, **settings}).eval()


def images(count: int, size: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_the_cache_is_all_that_is_needed_of_a_template():
    backbone = small_backbone()
    templates, search = images(2, 32)[:, None], images(2, 64, seed=2)
    cache = backbone.encode_template(templates)
    assert {name: tuple(one.shape) for name, one in cache.maps.items()} == {
        'image': (2, 12, 4, 4),
        'tokens': (2, 4, 4, 8),
    }
    assert not cache.keys and cache.batch == 2
    whole = backbone(templates, search)
    assert whole.search.shape == (2, 16, 16) and whole.template.shape == (2, 4, 16)
    packed = TemplateCache.unpack(TemplateCache.join(cache.split()).pack())
    parts = backbone.encode_search(search, packed)
    single = backbone(templates[1:], search[1:])  # no sample sees another
    for one, other, alone in zip(
        (whole.search, whole.template),
        (parts.search, parts.template),
        (single.search, single.template),
    ):
        assert torch.equal(one, other)
        assert torch.allclose(one[1:], alone, atol=1e-5)


@torch.inference_mode()
def test_both_branches_see_each_other():
    backbone = small_backbone()
    first, second = images(2, 32)[:, None].split(1)
    search, other = images(2, 64, seed=2).split(1)
    base = backbone(first, search)
    assert not torch.allclose(base.search, backbone(second, search).search, atol=1e-4)
    assert not torch.allclose(base.template, backbone(first, other).template, atol=1e-4)


@torch.inference_mode()
def test_maps_of_odd_sides_come_out_as_they_went_in():
    backbone = small_backbone(search_size=80, template_size=48)
    features = backbone(images(1, 48)[:, None], images(1, 80))
    assert features.search.shape == (1, 25, 16) and features.template.shape == (1, 9, 16)


def test_dropout_is_in_training_alone():
    for rate, same in ((0.0, True), (0.5, False)):
        backbone = small_backbone(dropout=rate)
        tokens = torch.randn(2, 6, 8)
        layer = backbone.mix1.layers[0].train()
        assert torch.equal(layer(tokens), layer(tokens)) == same
        layer.eval()
        assert torch.equal(layer(tokens), layer(tokens))


def test_what_it_cannot_do_is_refused():
    backbone = small_backbone()
    with pytest.raises(ValueError, match='there are 2 templates and SiamMobileViT sees 1'):
        backbone.encode_template(torch.zeros(1, 2, 3, 32, 32))
    with pytest.raises(ValueError, match='search is 3x32x32, expected 3x64x64'):
        backbone.encode_search(torch.zeros(1, 3, 32, 32), None)
    with pytest.raises(ValueError, match='SiamMobileViT has no layers'):
        backbone.encode_template(torch.zeros(1, 1, 3, 32, 32), out_layers=True)
    cache = backbone.encode_template(torch.zeros(2, 1, 3, 32, 32))
    for other in (cache, TemplateCache([], [])):
        with pytest.raises(
            ValueError, match=r'expected tokens and an image of shape \(1, 12, 4, 4'
        ):
            backbone.encode_search(torch.zeros(1, 3, 64, 64), other)
    with pytest.raises(ValueError, match='search_size=60 .* must be multiples of 16'):
        small_backbone(search_size=60)
    with pytest.raises(ValueError, match='must have 5, 2 and 2 entries'):
        small_backbone(depths=[1])
    with pytest.raises(ValueError, match='must be multiples of num_heads=3'):
        small_backbone(num_heads=3)


@torch.inference_mode()
def test_the_neck_multiplies_cells_with_cells():
    torch.manual_seed(0)
    neck = PixelCorrelationNeck(in_channels=6, out_channels=5, template_tokens=4).eval()
    neck.search_norm.running_mean.normal_()
    neck.template_norm.running_var.uniform_(0.5, 2)
    features = Features(torch.randn(2, 9, 6), template=torch.randn(2, 4, 6))
    x = (features.search - neck.search_norm.running_mean) / (1 + 1e-5) ** 0.5
    z = features.template / (neck.template_norm.running_var + 1e-5) ** 0.5
    correlation = neck.correlate(features)
    assert torch.allclose(correlation, torch.einsum('bnc,bkc->bnk', x, z), atol=1e-5)
    weights = neck.attend(correlation) / correlation  # one per cell of the template
    assert torch.allclose(weights, weights[:, :1].expand_as(weights), atol=1e-4)
    assert ((weights > 0) & (weights < 1)).all()
    after = neck(features)
    assert after.search.shape == (2, 9, 5) and after.template is None
    with pytest.raises(ValueError, match='have 9 template tokens, expected 4; set template_tokens'):
        neck(Features(features.search, template=features.search))
    with pytest.raises(ValueError, match='have no template tokens'):
        neck(Features(features.search))


def batch() -> tuple[dict[str, Tensor], list[TrackDataSample]]:
    """Bright squares on noise, at other places of the search regions than of the templates."""
    generator = torch.Generator().manual_seed(3)
    low = (64 * (0.2 + 0.4 * torch.rand(8, 2, generator=generator))).round()
    boxes = torch.cat([low, low + 16], dim=1)
    search = 0.3 * torch.rand(8, 3, 64, 64, generator=generator)
    template = 0.3 * torch.rand(8, 3, 32, 32, generator=generator)
    template[:, :, 8:24, 8:24] += 0.6
    samples = [TrackDataSample() for _ in boxes]
    for image, sample, box in zip(search, samples, boxes):
        left, top, right, bottom = box.int().tolist()
        image[:, top:bottom, left:right] += 0.6
        sample.search_gt_instances = InstanceData(bboxes=box[None])
    return dict(img=template[:, None], search_img=search[:, None]), samples


def test_a_few_steps_lower_the_loss_and_every_weight_trains():
    model, (inputs, samples) = small_tracker().train(), batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    totals = []
    for _ in range(8):
        losses = model.loss(inputs, samples)
        total = sum(value for name, value in losses.items() if name.startswith('loss'))
        optimizer.zero_grad()
        total.backward()
        assert not [name for name, p in model.named_parameters() if p.grad is None]
        optimizer.step()
        totals.append(total.item())
    assert set(losses) == {'loss_cls', 'loss_l1', 'loss_iou', 'iou'}
    assert totals[-1] < 0.8 * totals[0], totals


@torch.inference_mode()
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(neck=dict(template_tokens=9)),
            'template_tokens=9, expected 4, .* of 32 pixels in SiamMobileViT',
        ),
        (
            dict(score_head=dict(type='ScorePredictionModule', in_channels=24, num_heads=2)),
            'ScorePredictionModule reads the tokens of the template, which PixelCorrelationNeck',
        ),
        (
            dict(losses=dict(loss_edge=dict(type='EdgeDistributionLoss'))),
            'loss_edge .* type CenterHead has none',
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_at_once(changes, message):
    config = small_config('mvt')
    config.merge_from_dict({'model': changes})
    with pytest.raises(ValueError, match=message):
        MODELS.build(config.model)


def test_a_neck_gets_the_template_of_any_backbone():
    config = small_config('fermt')
    tokens = (config.model.backbone.template_size // config.model.backbone.patch_size) ** 2
    neck = dict(type='PixelCorrelationNeck', in_channels=24, out_channels=24)
    config.merge_from_dict({'model': dict(neck=dict(neck, template_tokens=tokens))})
    model = MODELS.build(config.model).eval()
    inputs = dict(img=torch.rand(1, 1, 3, 32, 32), search_img=torch.rand(1, 1, 3, 64, 64))
    assert model(inputs, mode='tensor').boxes.shape == (1, 4)


def test_the_frozen_copy_has_no_batch_norm_behind_a_convolution():
    network = InferenceNetwork.of(small_tracker())
    generator = torch.Generator().manual_seed(4)
    template = torch.randint(0, 256, (2, 1, 32, 32, 3), dtype=torch.uint8, generator=generator)
    search = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    frozen = network.frozen()
    norms = [m for m in frozen.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms == [frozen.model.neck.search_norm, frozen.model.neck.template_norm]
    expected, got = (n.predict(search, n.encode_templates(template)) for n in (network, frozen))
    assert torch.allclose(got.boxes, expected.boxes, atol=1e-5)
    assert torch.allclose(got.score_map, expected.score_map, atol=1e-5)
