"""FERMT against the published system, through the production converter.

Maps, boxes and stages are within 2e-5 of the published ones; in the raw maps of the corner head,
which are not normalised, that is relative to the largest value. Losses and gradients go through
sums of many terms and are compared relatively.

Expected values were measured on the published implementation (CPU, float32); see the README of the
golden folder. ``tests/data/fermt_small.npz`` holds outputs of this package at a small size, made
when it agreed with the published ones, for checkouts without that folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill_state_dict, fill_tensor, load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from published import published_state_dict, save_published, small_manifest
from test_parity import Differences
from tools_loader import load_tool
from torch import Tensor, nn

from mmtrack_mixformerv2.checkpoints import convert_state_dict, fitting_config, model_settings
from mmtrack_mixformerv2.checkpoints.convert import own_system
from mmtrack_mixformerv2.models import FERMTViT, TemplateSearchTracker
from mmtrack_mixformerv2.models.heads.center_head import hann_window
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.losses.center_losses import gaussian_heatmaps
from mmtrack_mixformerv2.tracking.region import clip_box, region_to_image

ROOT = Path(__file__).resolve().parents[1]
with np.load(ROOT / 'tests' / 'data' / 'fermt_small.npz') as file:
    SMALL = {name: file[name] for name in file.files}
RENAMED = {  # of which gradients are recorded
    'backbone.pos_embed_z': 'backbone.template_pos_embed',
    'backbone.patch_embed.proj.weight': 'backbone.patch_embed.weight',
    **{
        f'backbone.blocks.{i}.attn.qkv.weight': f'backbone.blocks.{i}.attn.qkv.weight'
        for i in (0, 6, 11)
    },
    'backbone.norm.weight': 'backbone.norm.weight',
    'backbone.dau.proj_1.weight': 'backbone.dual_attention.proj_in.weight',
    'box_head.conv1_ctr.0.weight': 'box_head.score.convs.0.0.weight',
    'box_head.conv5_offset.bias': 'box_head.offset.predict.bias',
    'box_head.conv5_size.weight': 'box_head.size.predict.weight',
}
MANIFESTS = {'fermt': 'fermt/manifest.json', 'fermt-corner': 'fermt/manifest_corner.json'}


def published(name: str) -> TemplateSearchTracker:
    """The model of published size, converted in memory and loaded into the config that fits."""
    conversion = convert_state_dict(fill_state_dict(load_manifest(MANIFESTS[name])))
    assert conversion.dropped == ('backbone.cls_token', 'backbone.pos_embed')
    assert fitting_config(conversion.sizes) == f'configs/fermt/{name}_test-*.py'
    config = Config.fromfile(ROOT / 'configs' / 'fermt' / f'{name}_test-got10k.py')
    before = config.model.copy()
    config.merge_from_dict(model_settings(conversion.sizes))
    assert config.model == before  # what the converter prints fits what the config says
    model = MODELS.build(config.model).eval()
    model.load_state_dict(conversion.state_dict, strict=True)
    return model


@pytest.fixture(scope='module')
def fermt() -> TemplateSearchTracker:
    return published('fermt')


@pytest.fixture(scope='module')
def corner() -> TemplateSearchTracker:
    return published('fermt-corner')


def small_published(name: str, unit: str = 'dau') -> dict[str, Tensor]:
    """Published weights of 2 blocks of width 48; both models have the same backbone."""
    heads = {'fermt': ('ctr', 'size', 'offset'), 'fermt-corner': ('tl', 'br')}[name]
    state = published_state_dict(small_manifest('fermt'))
    return {
        key.replace('backbone.dau', f'backbone.{unit}'): value
        for key, value in state.items()
        if not key.startswith('box_head.') or any(f'_{head}.' in key for head in heads)
    }


@pytest.mark.parametrize('name', MANIFESTS)
def test_a_small_model_is_the_same_from_file_to_boxes(name, tmp_path):
    """Published file -> converter tool -> file -> strict loading -> outputs of the fixture."""
    source, target = tmp_path / 'OSTrack_ep0300.pth.tar', tmp_path / 'converted.pth'
    save_published(source, small_published(name, 'tau'))  # what earlier builds call the unit
    assert load_tool('model_converters/convert_checkpoint').main([str(source), str(target)]) == 0
    sizes = convert_state_dict(small_published(name)).sizes
    assert fitting_config(sizes) is None
    config = Config.fromfile(ROOT / 'configs' / 'fermt' / f'{name}_test-got10k.py')
    config.merge_from_dict(model_settings(sizes))
    assert config.model.backbone.attention == ['A2', 'A2']  # no shape tells
    config.model.backbone.attention = ['A2', 'A5']
    model = MODELS.build(config.model).eval()
    load_checkpoint(model, str(target), strict=True)
    differences = Differences(f'{name} small (own fixture)')
    for key, value in small_outputs(model).items():
        differences.add(key, value, SMALL[f'{name}.{key}'])
    differences.check()


@torch.inference_mode()
def small_outputs(model: TemplateSearchTracker) -> dict[str, Tensor]:
    """What the fixture holds of a small model."""
    template, search = make_input('template', (1, 3, 32, 32)), make_input('search', (1, 3, 64, 64))
    inputs = dict(img=template[None], search_img=search[None])
    prediction = model(inputs, mode='tensor')
    maps = prediction.edge_logits if prediction.score_map is None else prediction.score_map
    features = model.backbone(inputs['img'], search)
    return dict(search=features.search[:, :, :16], maps=maps, boxes=prediction.boxes)


def test_what_a_file_is_shows_in_its_names():
    state = small_published('fermt')
    conversion = convert_state_dict(state)
    assert conversion.system == 'FERMT' and conversion.sizes.dual_attention
    ours = dict(conversion.state_dict)
    assert own_system(ours).name == 'FERMT'
    assert own_system(ours).measure(ours) == conversion.sizes
    assert 'centre head' in conversion.sizes.title
    assert '2 layers of width 48, search 64' in conversion.sizes.details
    with pytest.raises(ValueError, match='lack.*proj_2'):
        convert_state_dict({n: v for n, v in state.items() if 'proj_2' not in n})
    with pytest.raises(ValueError, match='weights of OSTrack'):  # which has all other names
        convert_state_dict({n: v for n, v in state.items() if '.dau.' not in n})


def test_a_pretrained_vit_gives_the_backbone_both_grids_of_positions(tmp_path):
    """Section 3 of the facts about FERMT; the file is not published, so this one is drawn."""
    shapes = small_manifest('fermt')['float']
    names = [
        n for n in shapes if n.startswith(('backbone.blocks.', 'backbone.patch', 'backbone.norm'))
    ]
    vit = {n.replace('backbone.', 'module.model.'): fill_tensor(n, shapes[n]) for n in names}
    vit = {name.replace('.norm.', '.fc_norm.'): value for name, value in vit.items()}
    vit['module.model.cls_token'] = torch.zeros(1, 1, 48)
    columns = torch.arange(14.0).repeat(14)  # a slope, which a resized grid keeps
    table = torch.cat([torch.tensor([99.0]), columns])[None, :, None].repeat(1, 1, 48)
    vit['module.model.pos_embed'] = table
    source, target = tmp_path / 'tiny.pth', tmp_path / 'converted.pth'
    torch.save({'model': vit}, source)
    assert load_tool('model_converters/convert_checkpoint').main([str(source), str(target)]) == 0
    state = torch.load(target, weights_only=True)['state_dict']
    assert own_system(state).name == 'FERMT' and not own_system(state).measure(state).is_tracker
    for region, side in (('template', 8), ('search', 16)):
        grid = state[f'backbone.{region}_pos_embed'].view(side, side, 48)
        expected = (torch.arange(side) + 0.5) * 14 / side - 0.5
        inner = slice(3, -3)
        torch.testing.assert_close(grid[0, inner, 0], expected[inner], atol=0.05, rtol=0)
    init = dict(type='Pretrained', checkpoint=str(target), prefix='backbone.')
    backbone = FERMTViT(embed_dims=48, num_heads=3, depth=2, attention='A2', init_cfg=init)
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        if not name.startswith('dual_attention.'):
            assert torch.equal(value, state[f'backbone.{name}']), name


def images(batch: int = 1, prefix: str = '') -> tuple[Tensor, Tensor]:
    """Templates ``(B, 1, 3, 128, 128)`` and search regions ``(B, 3, 256, 256)``."""
    template = make_input(f'{prefix}template', (batch, 3, 128, 128))
    return template[:, None], make_input(f'{prefix}search', (batch, 3, 256, 256))


def summary(value: Tensor) -> Tensor:
    """The ten numbers that the golden files keep of a stage."""
    flat = value.flatten()
    return torch.cat([flat.mean()[None], flat.std(correction=0)[None], flat[:8]])


def cxcywh(boxes: Tensor) -> Tensor:
    low, high = boxes.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def as_image(tokens: Tensor) -> Tensor:
    return tokens.mT.unflatten(2, (16, 16))


@torch.inference_mode()
def stages(model: TemplateSearchTracker) -> dict[str, Tensor]:
    """What the published forward passes through, template first, from our two halves."""
    backbone, out = model.backbone, {}
    template, search = images()
    out['dau.z'] = backbone.dual_attention(template[:, 0])
    out['dau.x'] = backbone.dual_attention(search)
    for letter, position in (('z', 'template_pos_embed'), ('x', 'search_pos_embed')):
        zero = torch.zeros_like(getattr(backbone, position))
        image = search if letter == 'x' else template[:, 0]
        out[f'patch_embed.{letter}'] = backbone._embed(image, zero)
    seen = []
    watched = [*(block.norm1 for block in backbone.blocks), backbone.norm]
    hooks = [m.register_forward_pre_hook(lambda m, x: seen.append(x[0])) for m in watched]
    backbone.keep_template_output = True  # nothing of it is left out
    cache = backbone.encode_template(template)
    features = backbone.encode_search(search, cache)
    backbone.keep_template_output = False
    for hook in hooks:
        hook.remove()
    # Six blocks of the template alone, six of the search region alone, six of both, and the norm.
    entering = [torch.cat(pair, dim=1) for pair in zip(seen[:6], seen[6:12])]
    entering += [*seen[12:18], torch.cat(seen[18:], dim=1)]
    out['tokens'] = entering[0]
    out.update({f'blocks.{i}': value for i, value in enumerate(entering[1:])})
    out['norm'] = torch.cat([features.template, features.search], dim=1)
    return {f'stage.{name}': summary(value) for name, value in out.items()} | {
        'search_feature': as_image(features.search)
    }


@needs_golden
def test_golden_full(fermt):
    expected, differences = load('fermt/full.npz'), Differences('fermt full')
    template, search = images()
    got = stages(fermt)
    with torch.inference_mode():
        features = fermt.backbone(template, search)
        maps = fermt.box_head.maps(features)
        prediction = fermt(dict(img=template, search_img=search[:, None]), mode='tensor')
    got.update({f'{name}_map': maps[name] for name in ('score', 'size', 'offset')})
    got['logits.ctr'], got['logits.offset'] = maps['score_logits'], maps['offset']
    got['logits.size'] = maps['size'].logit()
    got['pred_boxes'] = cxcywh(prediction.boxes)[None]
    for name, value in expected.items():
        differences.add(name, got[name], value)
    differences.check()
    assert torch.equal(prediction.score_map, maps['score'][:, 0])


@needs_golden
def test_golden_corner(corner):
    expected, differences = load('fermt/corner.npz'), Differences('fermt corner')
    template, search = images()
    with torch.inference_mode():
        logits = corner.box_head.corner_logits(corner.backbone(template, search))
        prediction = corner(dict(img=template, search_img=search[:, None]), mode='tensor')
    edges = prediction.edge_logits.exp()
    sides = ('tl_x', 'tl_y', 'br_x', 'br_y')
    got = {f'marginal_{side}': edges[:, i] for i, side in enumerate(sides)}
    for i, name in enumerate(('tl', 'br')):
        got[f'heat_{name}'] = logits[:, i : i + 1]
        got[f'prob_{name}'] = logits[:, i].flatten(1).softmax(1).view(1, 16, 16)
    got.update(box_xyxy=prediction.boxes, box_cxcywh=cxcywh(prediction.boxes))
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max()))
        differences.add(name, got[name], value, scale)
    differences.check()


@needs_golden
def test_golden_decode(fermt):
    """The window, and the box from the region to the frame."""
    expected, differences = load('fermt/decode.npz'), Differences('fermt decode')
    template, search = images()
    with torch.inference_mode():
        features = fermt.backbone(template, search)
        prediction = fermt.box_head(features, window=True)
        raw = fermt.box_head(features)
    window = hann_window(16)
    differences.add('window', window[None, None], expected['window'])
    differences.add('response', (window * prediction.score_map)[None], expected['response'])
    differences.add('box_raw', cxcywh(raw.boxes), expected['box_raw'])
    differences.add('box_hann', cxcywh(prediction.boxes), expected['box_hann'])
    for case in ('map0', 'map1'):
        before, (height, width) = (expected[f'{case}.{n}'] for n in ('prev_state', 'frame_hw'))
        resize_factor = 256 / float(expected[f'{case}.crop_size'])
        differences.add(
            f'{case}.resize_factor', torch.tensor(resize_factor), expected[f'{case}.resize_factor']
        )
        box = region_to_image(prediction.boxes[0].tolist(), before, 256, resize_factor)
        scale = 100.0  # pixels
        differences.add(
            f'{case}.box_image', torch.from_numpy(box), expected[f'{case}.box_image'], scale
        )
        state = torch.from_numpy(clip_box(box, int(height), int(width), margin=10))
        differences.add(f'{case}.state', state, expected[f'{case}.state'], scale)
    differences.check()


def lone_block(block: nn.Module, design: str) -> FERMTViT:
    """A backbone of one block of 4 template and 16 search tokens, which are its positions."""
    backbone = FERMTViT(
        search_size=64,
        template_size=32,
        depth=1,
        attention=design,
        dual_attention=False,
        drop_path_rate=0.0,
    ).eval()
    backbone.blocks[0].load_state_dict(block.state_dict())
    nn.init.zeros_(backbone.patch_embed.weight)
    nn.init.zeros_(backbone.patch_embed.bias)
    backbone.norm = nn.Identity()
    backbone.keep_template_output = True
    return backbone


@torch.inference_mode()
def through(backbone: FERMTViT, tokens: Tensor) -> Tensor:
    """Tokens ``(B, 20, C)``, template first, after the block."""
    image, outputs = torch.zeros(1, 3, 64, 64), []
    for template, search in zip(tokens[:, None, :4], tokens[:, None, 4:]):
        backbone.template_pos_embed.copy_(template)
        backbone.search_pos_embed.copy_(search)
        features = backbone(image[None, :, :, :32, :32], image)
        outputs.append(torch.cat([features.template, features.search], dim=1))
    return torch.cat(outputs)


@needs_golden
def test_golden_blocks(fermt):
    expected, differences = load('fermt/blocks.npz'), Differences('fermt blocks')
    tokens = make_input('block_tokens', (2, 20, 192))
    got = {}
    for name, index, design in (('mixed', 0, 'A2'), ('cross', 6, 'A5')):
        backbone = lone_block(fermt.backbone.blocks[index], design)
        got[f'{name}.out'] = through(backbone, tokens)
        # Of a block without norms and MLP, the attention is what it adds.
        block = backbone.blocks[0]
        block.norm1 = nn.Identity()
        nn.init.zeros_(block.mlp.fc2.weight)
        nn.init.zeros_(block.mlp.fc2.bias)
        got[f'{name}.attn'] = through(backbone, tokens) - tokens
    unit, image = fermt.backbone.dual_attention, make_input('dau', (2, 3, 32, 32))
    with torch.inference_mode():
        for name, shift in (('dau', 0), ('dau_pos', 1), ('dau_neg', -1)):
            got[f'{name}.out'], got[f'{name}.gate'] = unit(image + shift), unit.gate(image + shift)
        backbone.patch_embed.load_state_dict(fermt.backbone.patch_embed.state_dict())
        got['patch.out'] = backbone._embed(make_input('patch', (1, 3, 32, 48)), torch.zeros(1))
    for name, value in expected.items():
        differences.add(name, got[name], value)
    differences.check()


def samples(targets_xyxy: Tensor) -> list[TrackDataSample]:
    """Annotated boxes ``(N, 4)`` in pixels of the search region, as a training hands them over."""
    out = []
    for box in targets_xyxy:
        sample = TrackDataSample()
        sample.search_gt_instances = InstanceData(bboxes=box[None])
        out.append(sample)
    return out


def relative(got: Tensor | float, expected: np.ndarray, tolerance: float) -> None:
    assert float(torch.as_tensor(got).detach()) == pytest.approx(
        float(expected), rel=tolerance, abs=1e-6
    )


@needs_golden
def test_golden_losses_and_gradients(fermt):
    expected, differences = load('fermt/loss.npz'), Differences('fermt loss')
    template, search = images(2, 'loss_')
    low, size = torch.from_numpy(expected['gt_xywh']).split(2, dim=1)
    targets = torch.cat([low, low + size], dim=1)
    with torch.inference_mode():
        prediction = fermt.box_head(fermt.backbone(template, search))
        maps = fermt.box_head.maps(fermt.backbone(template, search))
    for name in ('score', 'size', 'offset'):
        differences.add(f'{name}_map', maps[name], expected[f'{name}_map'])
    differences.add('pred_boxes', cxcywh(prediction.boxes)[:, None], expected['pred_boxes'])
    differences.add('heatmap', gaussian_heatmaps(targets, 16), expected['heatmap'])
    differences.check()
    fermt.zero_grad()
    inputs = dict(img=template, search_img=search[:, None])
    losses = fermt.loss(inputs, samples(256 * targets))
    total = losses['loss_cls'] + losses['loss_l1'] + losses['loss_iou']
    total.backward()
    relative(losses['loss_cls'], expected['loss.location'], 1e-4)
    relative(losses['loss_l1'] / 5, expected['loss.l1'], 1e-4)
    relative(losses['loss_iou'] / 2, expected['loss.giou'], 1e-4)
    relative(losses['iou'], expected['loss.IoU'], 1e-4)
    relative(total, expected['loss.total'], 1e-4)
    gradients = {name: value.grad for name, value in fermt.named_parameters()}
    checked = 0
    for name, target in RENAMED.items():
        relative(gradients[target].norm(), expected[f'gradnorm.{name}'], 1e-3)
        checked += 1
    assert checked == sum(name.startswith('gradnorm.') for name in expected)
    fermt.zero_grad()


@needs_golden
def test_golden_losses_alone(fermt):
    expected = load('fermt/loss.npz')
    low, size = torch.from_numpy(expected['gt_xywh']).split(2, dim=1)
    targets = torch.cat([low, low + size], dim=1)
    score = make_input('loss_score', (2, 1, 16, 16)).sigmoid().clamp(1e-4, 1 - 1e-4)[:, 0]
    centre, size = torch.from_numpy(expected['unit.pred_boxes'])[:, 0].split(2, dim=1)
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    losses = dict(
        location=fermt.losses['loss_cls'](score, targets),
        l1=fermt.losses['loss_l1'](boxes, targets) / 5,
        giou=fermt.losses['loss_iou'](boxes, targets) / 2,
    )
    for name, value in losses.items():
        relative(value, expected[f'unit.loss.{name}'], 1e-4)
    total = losses['location'] + 5 * losses['l1'] + 2 * losses['giou']
    relative(total, expected['unit.loss.total'], 1e-4)


@needs_golden
def test_golden_track(fermt):
    """The network on the stored crops first, then the loop that cuts its own."""
    expected = load('fermt/track.npz')
    network, previous = InferenceNetwork.of(fermt), expected['init'].tolist()
    with torch.inference_mode():
        cache = network.encode_templates(torch.from_numpy(expected['template_crop'])[None, None])
        for i, wanted in enumerate(expected['boxes']):
            crop = torch.from_numpy(expected[f'search_crop{i}'])[None]
            edges = network.predict(crop, cache).boxes[0].tolist()
            resize_factor = float(expected[f'resize_factor{i}'])
            box = region_to_image(edges, previous, 256, resize_factor)
            previous = clip_box(box, *expected['frames'].shape[1:3], margin=10)
            np.testing.assert_allclose(previous, wanted, atol=2e-3)
    state = fermt.init(expected['frames'][0], expected['init'])
    for frame, wanted in zip(expected['frames'][1:], expected['boxes']):
        np.testing.assert_allclose(fermt.track(frame, state).box_xywh, wanted, atol=2e-3)


@needs_golden
def test_published_parameters(fermt, corner):
    """Reference: sections 1 and 3 of the facts about FERMT that this package was written from."""
    for model, name, total in ((fermt, 'fermt', 8_078_859), (corner, 'fermt-corner', 7_247_880)):
        counters = ('running_mean', 'running_var')
        shapes = {
            tensor: int(np.prod(shape))
            for tensor, shape in load_manifest(MANIFESTS[name])['float'].items()
            if not tensor.endswith(counters)
        }
        idle = shapes['backbone.cls_token'] + shapes['backbone.pos_embed']
        assert sum(shapes.values()) == total and idle == 38_016
        assert sum(p.numel() for p in model.parameters()) == total - idle
    positions = fermt.backbone.template_pos_embed.numel() + fermt.backbone.search_pos_embed.numel()
    assert 8_078_859 - 38_016 - positions == 7_979_403  # the paper's 7.98 M
