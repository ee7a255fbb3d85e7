"""MVT against the published system, through the production converter.

Scores, sizes, boxes and blocks are within 2e-5 of the published ones. Raw maps and stages behind
ten or more batch norms reach values of 10 to 1000, and are compared relative to the largest; losses
and gradients go through sums of many terms and are compared relatively, too.

Expected values were measured on the published implementation (CPU, float32); see the README of the
golden folder. ``tests/data/mvt_small.npz`` holds outputs of this package at a small size, made
when it agreed with the published ones, for checkouts without that folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill_state_dict, load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from published import save_published, small_published
from test_parity import Differences
from tools_loader import load_tool
from torch import Tensor

from mmtrack_mixformerv2.analysis import multiply_adds
from mmtrack_mixformerv2.checkpoints import (
    convert_state_dict,
    fitting_config,
    model_settings,
)
from mmtrack_mixformerv2.checkpoints.systems.mvt import MVT
from mmtrack_mixformerv2.models import TemplateSearchTracker
from mmtrack_mixformerv2.models.backbones.mobile_vit_blocks import fold, unfold
from mmtrack_mixformerv2.models.heads.center_head import hann_window
from mmtrack_mixformerv2.models.losses.center_losses import gaussian_heatmaps
from mmtrack_mixformerv2.structures import Features
from mmtrack_mixformerv2.tracking.region import clip_box, crop_region, region_to_image

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'tests' / 'data'
# Published names of parts of the backbone and ours: two convolutions of six are named as a stage.
ALONE = {'conv_1': 0, 'layer_1': 1, 'layer_2': 4, 'layer_3.0': 5}


def converted(state: dict, **backbone: int) -> TemplateSearchTracker:
    """Published weights in the model of the config that the converter's settings describe."""
    conversion = convert_state_dict(state)
    assert conversion.dropped == () and len(conversion.state_dict) == len(state)
    config = Config.fromfile(ROOT / 'configs' / 'mvt' / 'mvt_test-got10k.py')
    config.merge_from_dict(model_settings(conversion.sizes))
    config.model.backbone.update(backbone)
    model = MODELS.build(config.model).eval()
    model.load_state_dict(conversion.state_dict, strict=True)
    return model


@pytest.fixture(scope='module')
def mvt() -> TemplateSearchTracker:
    state = fill_state_dict(load_manifest('mvt/manifest.json'))
    assert fitting_config(convert_state_dict(state).sizes) == 'configs/mvt/mvt_test-*.py'
    return converted(state)


@pytest.fixture(scope='module')
def full(mvt) -> dict[str, Tensor]:
    """What the model of published size says about the golden images."""
    return outputs(mvt, images(mvt))


def as_image(tokens: Tensor) -> Tensor:
    side = round(tokens.shape[1] ** 0.5)
    return tokens.mT.unflatten(2, (side, side))


def as_tokens(image: Tensor) -> Tensor:
    return image.flatten(2).mT


def cxcywh(boxes: Tensor) -> Tensor:
    low, high = boxes.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def xyxy(boxes_xywh: np.ndarray) -> Tensor:
    boxes = torch.from_numpy(boxes_xywh)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def scale(array: np.ndarray) -> float:
    return max(1.0, float(np.abs(array).max()))


def images(model: TemplateSearchTracker, batch: int = 1, prefix: str = '') -> dict[str, Tensor]:
    """Inputs of a model: one template and one search region per sample."""
    shapes = {'template': model.backbone.template_size, 'search': model.backbone.search_size}
    template, search = (
        make_input(f'{prefix}{name}', (batch, 3, size, size)) for name, size in shapes.items()
    )
    return dict(img=template[:, None], search_img=search[:, None])


@torch.inference_mode()
def outputs(model: TemplateSearchTracker, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Maps and boxes, with and without the window, under the names of the golden files."""
    backbone = model.backbone
    cache = backbone.encode_template(inputs['img'])
    seen = backbone.encode_search(inputs['search_img'][:, 0], cache)
    features = model.neck(seen)
    maps = model.box_head.maps(features)
    boxes = model.box_head(features).boxes
    return {
        'search': seen.search,
        'template': seen.template,
        'fused': features.search,
        'score_logits': maps['score_logits'],
        **{f'{name}_map': maps[name] for name in ('score', 'size', 'offset')},
        'pred_boxes': cxcywh(boxes)[:, None],
        'box_raw': cxcywh(boxes),
        'box_hann': cxcywh(model.box_head(features, window=True).boxes),
    }


@torch.inference_mode()
def stages(model: TemplateSearchTracker) -> dict[str, Tensor]:
    """What the published forward passes through, of both branches."""
    backbone, out = model.backbone, {}
    inputs = images(model)
    features = backbone(inputs['img'], inputs['search_img'][:, 0])
    x, z = inputs['search_img'][:, 0], inputs['img'][:, 0]
    for name, last in ALONE.items():
        out[f'{name}.x'] = backbone.alone[: last + 1](x)
        out[f'{name}.z'] = backbone.alone[: last + 1](z)
    x, z = out['layer_3.0.x'], out['layer_3.0.z']
    out['layer_3.1.x'], out['layer_3.1.z'] = x, z = backbone.mix1(x, z, backbone.mix1.tokens(z))
    out['layer_4.0.x'], out['layer_4.0.z'] = backbone.down(x), backbone.down(z)
    out['layer_4.1.x'], out['layer_4.1.z'] = as_image(features.search), as_image(features.template)
    out['neck.x'] = model.neck.search_norm(features.search.mT)
    out['neck.z'] = model.neck.template_norm(features.template.mT)
    out['corr'] = model.neck.attend(model.neck.correlate(features)).mT
    out['fused'] = model.neck(features).search.mT
    return out


def summary(value: Tensor) -> Tensor:
    """The ten numbers that the golden files keep of a stage."""
    flat = value.flatten()
    return torch.cat([flat.mean()[None], flat.std(correction=0)[None], flat[:8]])


def test_small_model_equals_the_recorded_one(tmp_path):
    """Through the files: a published one, the tool, and strict loading."""
    source, target = tmp_path / 'MobileViT_Track_ep0100.pth.tar', tmp_path / 'converted.pth'
    save_published(source, small_published('mvt'))
    assert load_tool('model_converters/convert_checkpoint').main([str(source), str(target)]) == 0
    model = converted(small_published('mvt'), search_size=64)
    for value in model.state_dict().values():
        value.zero_()
    load_checkpoint(model, str(target), strict=True)
    differences = Differences('mvt small (own fixture)')
    with np.load(DATA / 'mvt_small.npz') as expected:
        inputs = images(model, batch=2)
        got = outputs(model, inputs)
        assert torch.equal(cxcywh(model(inputs, mode='tensor').boxes), got['box_raw'])
        assert set(expected.files) == set(got)
        for name in expected.files:
            differences.add(name, got[name], expected[name], scale(expected[name]))
    differences.check()


def test_weights_are_told_by_their_names():
    conversion = convert_state_dict(small_published('mvt'))
    sizes = conversion.sizes
    assert sizes.title == conversion.system == 'MVT' and fitting_config(sizes) is None
    assert 'maps of 4-8-8-12-16 channels, 1-2 layers of width 8-12' in sizes.details
    assert MVT.measure(conversion.state_dict) == sizes
    with pytest.raises(ValueError, match=r'3 heads do not divide the token widths \(8, 12\)'):
        model_settings(sizes, num_heads=3)


def test_a_mobilevit_of_imagenet_is_a_start():
    tracker = small_published('mvt')
    state = {n.removeprefix('backbone.'): v for n, v in tracker.items() if 'backbone' in n}
    idle = {name: torch.ones(2) for name in ('layer_5.1.fusion.weight', 'classifier.fc.bias')}
    conversion = convert_state_dict({**state, **idle})
    assert conversion.dropped == tuple(idle) and not conversion.sizes.is_tracker
    model = converted(tracker, search_size=64)
    model.backbone.load_state_dict(
        {n.removeprefix('backbone.'): v for n, v in conversion.state_dict.items()}, strict=True
    )
    assert MVT.measure(conversion.state_dict) == conversion.sizes
    del state['layer_4.1.fusion.block.conv.weight']
    with pytest.raises(ValueError, match="lack 'layer_4.1.fusion.block.conv.weight'"):
        convert_state_dict(state)


@needs_golden
def test_golden_full(mvt, full):
    expected, differences = load('mvt/full.npz'), Differences('mvt full')
    for name in ('score_map', 'size_map', 'pred_boxes'):
        differences.add(name, full[name], expected[name])
    maps = {'logits.ctr': 'score_logits', 'logits.offset': 'offset_map', 'offset_map': 'offset_map'}
    for name, ours in maps.items():
        differences.add(name, full[ours], expected[name], scale(expected[name]))
    size = torch.from_numpy(expected['logits.size']).sigmoid().clamp(1e-4, 1 - 1e-4)
    differences.add('logits.size', full['size_map'], size.numpy())
    passed = stages(mvt)
    assert {name for name in expected if name.startswith('stage')} == {f'stage.{n}' for n in passed}
    for name, value in passed.items():
        array = expected[f'stage.{name}']
        differences.add(f'stage.{name}', summary(value), array, scale(array))
    differences.check()


@needs_golden
def test_golden_decode(full):
    expected, differences = load('mvt/decode.npz'), Differences('mvt decode')
    window = hann_window(16)[None, None]
    differences.add('window', window, expected['window'])
    differences.add('response', window * full['score_map'], expected['response'])
    for name in ('box_raw', 'box_hann'):
        differences.add(name, full[name], expected[name])
    x, y, w, h = expected['box_hann'][0].tolist()
    edges = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    for case in ('map0', 'map1'):
        of_case = {name.split('.')[1]: expected[name] for name in expected if case in name}
        height, width = of_case['frame_hw'].tolist()
        box = region_to_image(edges, of_case['prev_state'], 256, float(of_case['resize_factor']))
        for name, value in (('box_image', box), ('state', clip_box(box, height, width))):
            differences.add(f'{case}.{name}', torch.from_numpy(value), of_case[name], 256)
        clipped = [clip_box(box, height, width) for box in expected['clip.in']]  # same frame
        differences.add('clip.out', torch.tensor(np.array(clipped)), expected['clip.out'], 256)
    differences.check()


@needs_golden
@torch.inference_mode()
def test_golden_blocks(mvt):
    expected, differences = load('mvt/blocks.npz'), Differences('mvt blocks')
    block, residuals = mvt.backbone.mix1, mvt.backbone.alone
    sides = {'even': ('block', 2, (16, 16), (8, 8)), 'odd': ('block_odd', 1, (15, 13), (7, 5))}
    for case, (name, batch, side_x, side_z) in sides.items():
        x = make_input(f'{name}_x', (batch, 96, *side_x))
        z = make_input(f'{name}_z', (batch, 96, *side_z))
        for letter, value in zip('xz', block(x, z, block.tokens(z))):
            differences.add(f'{case}.{letter}', value, expected[f'{case}.{letter}'])
    tokens = make_input('block_tokens', (4, 20, 144))
    differences.add('encoder_layer', block.layers[0](tokens), expected['encoder_layer'])
    counting = torch.from_numpy(expected['unfold.in'])
    unfolded = unfold(counting)
    differences.add('unfold.out', unfolded.flatten(0, 1), expected['unfold.out'])
    assert torch.equal(fold(unfolded, *counting.shape[2:]), counting)
    residual, stride2 = make_input('mv2', (1, 64, 8, 8)), make_input('mv2s', (1, 32, 9, 8))
    differences.add('mv2_residual', residuals[3](residual), expected['mv2_residual'])
    differences.add('mv2_stride2', residuals[2](stride2), expected['mv2_stride2'])
    differences.check()


@needs_golden
@torch.inference_mode()
def test_golden_neck(mvt):
    expected, differences = load('mvt/neck.npz'), Differences('mvt neck')
    x, z = make_input('neck_x', (2, 128, 16, 16)), make_input('neck_z', (2, 128, 8, 8))
    features = Features(as_tokens(x), template=as_tokens(z))
    correlation = mvt.neck.correlate(features)
    got = {
        'corr': correlation,
        'corr_attended': mvt.neck.attend(correlation),
        'fused': mvt.neck(features).search,
    }
    for name, tokens in got.items():
        differences.add(name, as_image(tokens), expected[name], scale(expected[name]))
    differences.check()


@needs_golden
def test_golden_losses(mvt):
    """Of the golden batch, with the gradients of all of the network; and of given outputs."""
    expected, differences = load('mvt/loss.npz'), Differences('mvt losses')
    targets = xyxy(expected['gt_xywh'])
    samples = [TrackDataSample() for _ in targets]
    for sample, box in zip(samples, targets):
        sample.search_gt_instances = InstanceData(bboxes=256 * box[None])
    inputs = images(mvt, 2, 'loss_')
    got = outputs(mvt, inputs)
    for name in ('score_map', 'size_map', 'pred_boxes'):
        differences.add(name, got[name], expected[name])
    offset = expected['offset_map']
    differences.add('offset_map', got['offset_map'], offset, scale(offset))
    losses = mvt.loss(inputs, samples)
    ours = {'location': ('loss_cls', 1), 'l1': ('loss_l1', 5), 'giou': ('loss_iou', 2)}
    for name, (key, weight) in ours.items():
        array = expected[f'loss.{name}']
        differences.add(f'loss.{name}', losses[key] / weight, array, float(array))
    differences.add('loss.IoU', losses['iou'], expected['loss.IoU'])
    total = sum(losses[key] for key, _ in ours.values())
    differences.add('loss.total', total, expected['loss.total'], float(expected['loss.total']))
    boxes = torch.from_numpy(expected['heat.boxes'])
    for name, of in (('heat.maps', xyxy(boxes.numpy())), ('heatmap', targets)):
        differences.add(name, gaussian_heatmaps(of, 16), expected[name])
    differences.check()

    names = [name for name in expected if name.startswith('gradnorm.')]
    renamed = our_names()
    parameters = dict(mvt.named_parameters())
    wanted = [parameters[renamed[name.removeprefix('gradnorm.')]] for name in names]
    for name, gradient in zip(names, torch.autograd.grad(total, wanted)):
        assert gradient.norm().item() == pytest.approx(float(expected[name]), rel=1e-3), name


def our_names() -> dict[str, str]:
    """Our names of the published floating-point tensors."""
    manifest = load_manifest('mvt/manifest.json')
    marked = {
        name: torch.full(shape, i) for i, (name, shape) in enumerate(manifest['float'].items())
    }
    conversion = convert_state_dict({n: value.float() for n, value in marked.items()})
    by_mark = {int(value.flatten()[0]): name for name, value in conversion.state_dict.items()}
    return {name: by_mark[i] for i, name in enumerate(marked)}


@needs_golden
def test_golden_losses_of_given_outputs(mvt):
    expected = load('mvt/loss.npz')
    targets = xyxy(expected['gt_xywh'])
    score = make_input('loss_score', (2, 1, 16, 16)).sigmoid().clamp(1e-4, 1 - 1e-4)[:, 0]
    centre, size = torch.from_numpy(expected['unit.pred_boxes'])[:, 0].split(2, dim=1)
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    got = {
        'location': mvt.losses['loss_cls'](score, targets),
        'l1': mvt.losses['loss_l1'](boxes, targets) / 5,
        'giou': mvt.losses['loss_iou'](boxes, targets) / 2,
    }
    for name, value in got.items():
        assert value.item() == pytest.approx(float(expected[f'unit.loss.{name}']), rel=2e-5), name


@needs_golden
def test_golden_track(mvt):
    """First on the stored crops, where one grey level cannot choose another cell."""
    expected, differences = load('mvt/track.npz'), Differences('mvt track')
    network, boxes = mvt.loop.predictor, [expected['init'], *expected['boxes']]
    cache = network.encode_templates([expected['template_crop']])
    for i, (before, after) in enumerate(zip(boxes, boxes[1:])):
        crop, factor = expected[f'search_crop{i}'], float(expected[f'resize_factor{i}'])
        found = network.predict(crop, cache)
        box = region_to_image(found.box, before, 256, factor)
        box = clip_box(box, *expected['frames'].shape[1:3])
        differences.add(f'crop {i}', torch.from_numpy(box), after, 256)
        cut, _ = crop_region(expected['frames'][i + 1], before, 4.0, 256)
        assert np.abs(cut.astype(int) - crop).max() <= 1
    state = mvt.init(expected['frames'][0], expected['init'])
    for i, (frame, box) in enumerate(zip(expected['frames'][1:], expected['boxes'])):
        result = mvt.track(frame, state)
        differences.add(f'frame {i + 1}', torch.from_numpy(result.box_xywh), box, 256)
        assert 0 < result.score < 1
    differences.check()


def test_published_size_and_work():
    """Reference: 5.5 M parameters, 2.987 G multiply-adds behind the stem of the template."""
    config = Config.fromfile(ROOT / 'configs' / 'mvt' / 'mvt_test-got10k.py')
    with torch.device('meta'):
        model = MODELS.build(config.model).eval()
        template, search = torch.zeros(1, 1, 3, 128, 128), torch.zeros(1, 1, 3, 256, 256)
    count = {n: sum(p.numel() for p in part.parameters()) for n, part in model.named_children()}
    assert count['backbone'] == 2_519_760 and count['box_head'] == 2_935_173
    assert count['neck'] == 512 + 24_960 and sum(count.values()) == 5_480_405
    backbone = model.backbone
    with torch.inference_mode():
        cached = multiply_adds(lambda: backbone.encode_template(template))
        stem = multiply_adds(lambda: backbone.alone[:5](template[:, 0]))
        everything = multiply_adds(
            lambda: model(dict(img=template, search_img=search), mode='tensor')
        )
    assert round(stem / 1e5) == 1149  # what the published system caches
    assert round((everything - stem) / 1e6) == 2987
    assert round((everything - cached) / 1e6) == 2939  # a frame, with all that can be cached
