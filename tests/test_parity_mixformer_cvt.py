"""MixFormer (CvT) against the published one and its port in MMTracking 0.x, through the converter.

Features, corner maps and score logits are within 2e-5 of the recorded ones although features reach
17; boxes and probabilities are within 1e-6. Crops are equal byte by byte.

Expected values were measured on both implementations (CPU, float32); see the README of the golden
folder. ``tests/data/mixformer_cvt_small.npz`` was made by this package, after those were equal, for
checkouts without that folder. ``pytest -s`` prints the worst difference per case.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill_tensor, load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmtrack.registry import MODELS
from published import small_published
from test_parity import Differences
from torch import Tensor, nn

from mmtrack_mixformerv2.checkpoints import convert_state_dict, fitting_config, model_settings
from mmtrack_mixformerv2.checkpoints.convert import own_system
from mmtrack_mixformerv2.checkpoints.systems.mixformer_cvt import (
    MIXFORMER_CVT,
    RELEASED,
    RELEASED_WITHOUT_SCORE,
    CvtSizes,
)
from mmtrack_mixformerv2.models import TemplateSearchTracker
from mmtrack_mixformerv2.models.heads.prroi_pool import prroi_pool
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.torch_predictor import TorchPredictor
from mmtrack_mixformerv2.structures import Features
from mmtrack_mixformerv2.tracking import SequenceTracker, TrackingSettings
from mmtrack_mixformerv2.tracking.region import clip_box, crop_region

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / 'tests' / 'data' / 'mixformer_cvt_small.npz'
CONFIGS = ROOT / 'configs' / 'mixformer_cvt'
FIXED_BOX = torch.tensor([[0.31, 0.27, 0.72, 0.66]])
SIDES = ('tl_prob_x', 'tl_prob_y', 'br_prob_x', 'br_prob_y')  # left, top, right, bottom


def built(settings: dict, config: str = 'mixformer-cvt_test-got10k') -> TemplateSearchTracker:
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    cfg.merge_from_dict(settings)
    with torch.device('meta'):  # all of it is loaded
        model = MODELS.build(cfg.model)
    # Constants have no names in a file.
    model.data_preprocessor = MODELS.build(cfg.model.data_preprocessor)
    return model.eval()


def converted(
    state: dict, settings: dict | None = None, num_heads: int | None = None
) -> TemplateSearchTracker:
    """Published weights in our model, strictly, but for counters of batches that they lack."""
    conversion = convert_state_dict(state)
    model = built({**model_settings(conversion.sizes, num_heads), **(settings or {})})
    counters = [name for name in model.state_dict() if name.endswith('num_batches_tracked')]
    zeros = {name: torch.zeros((), dtype=torch.long) for name in counters}
    model.load_state_dict({**zeros, **conversion.state_dict}, strict=True, assign=True)
    return model


def image(tokens: Tensor) -> Tensor:
    """Tokens ``(B, G * G, C)`` as a map ``(B, C, G, G)``."""
    return tokens.transpose(1, 2).unflatten(2, [isqrt(tokens.shape[1])] * 2)


def summary(value: Tensor) -> Tensor:
    """The ten numbers that files keep of a tensor."""
    flat = value.flatten()
    return torch.cat([flat.mean()[None], flat.std(correction=0)[None], flat[:8]])


@torch.inference_mode()
def run(model: TemplateSearchTracker, count: int = 1) -> dict[str, Tensor]:
    """Everything that is recorded of a forward pass with so many online templates."""
    backbone, seen = model.backbone, []
    size, search_size = backbone.template_size, backbone.search_size
    online = make_input('online_template' + 's' * (count > 1), (count, 3, size, size))
    templates = torch.cat([make_input('template', (1, 3, size, size)), online])[None]
    watches = [  # what enters the embedding of a stage left the one before
        stage.embed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        for stage in backbone.stages[1:]
    ]
    cache = backbone.encode_template(templates)
    search = make_input('search', (1, 3, search_size, search_size))
    features = backbone.encode_search(search, cache)
    for watch in watches:
        watch.remove()
    out = {}
    for i, (of_templates, of_search) in enumerate(zip(seen[: len(watches)], seen[len(watches) :])):
        out[f'stage{i}_template_summary'] = summary(of_templates[:1])
        out[f'stage{i}_online_summary'] = summary(of_templates[1:2])
        out[f'stage{i}_search_summary'] = summary(of_search)
    return {**out, **heads_of(model, features)}


def heads_of(model: TemplateSearchTracker, features: Features) -> dict[str, Tensor]:
    """What is recorded of final features, and what the heads say about them."""
    prediction = model.box_head(features)
    logits = model.box_head.corner_logits(features)
    left_top, right_bottom = prediction.boxes.split(2, dim=1)
    search, template = image(features.search), image(features.template)
    fixed, pixels = model.score_head(features, FIXED_BOX), model.backbone.search_size
    return {
        'search_feat': search,
        'search_feat_first32ch': search[:, :32],
        'search_feat_summary': summary(search),
        'stage2_search_summary': summary(search),
        'template_feat': template,
        'stage2_template_summary': summary(template),
        'tl_logits': logits[0, 0],
        'br_logits': logits[0, 1],
        **{name: prediction.edge_logits[0, side].exp() for side, name in enumerate(SIDES)},
        'box_xyxy': prediction.boxes,
        'box_xyxy_pixel': prediction.boxes * pixels,
        'box_cxcywh': torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], dim=1),
        'score_logit_predbox': model.score_head(features, prediction.boxes),
        'score_logit_fixedbox': fixed,
        'score_prob_fixedbox': fixed.sigmoid(),
        'fixed_box_xyxy': FIXED_BOX,
        'fixed_box_xyxy_pixel': FIXED_BOX * pixels,
        'fixed_box_roi_pool': prroi_pool(search, FIXED_BOX * search.shape[-1], 4)[0],
    }


def check(got: dict[str, Tensor], expected: dict[str, np.ndarray], case: str) -> None:
    differences = Differences(case)
    for name, array in expected.items():
        # Boxes in pixels of the search region are compared in units of it.
        scale = 320.0 if name.endswith('pixel') else 1.0
        differences.add(name, got[name], array, scale)
    differences.check()


# ---- small model -------------------------------------------------------------------------------

SMALL = {'model.backbone.search_size': 64, 'model.backbone.template_size': 32}


@pytest.fixture(scope='module')
def small() -> TemplateSearchTracker:
    return converted(small_published('mixformer_cvt'), SMALL, num_heads=3)


@pytest.mark.parametrize('count', [1, 2])
def test_small_model_gives_what_it_gave_when_the_large_one_was_equal(small, count):
    expected = {
        name.removeprefix(f'online{count}_'): array
        for name, array in np.load(OWN).items()
        if name.startswith(f'online{count}_')
    }
    assert len(expected) == 4
    check(run(small, count), expected, f'small, {count} online (own fixture)')


def test_the_port_in_mmtracking_has_the_same_weights_under_other_names(small):
    state = small_published('mixformer_cvt')
    ported = {}
    for name, value in state.items():
        name = name.replace('.mlp.fc1.', '.mlp.layers.0.0.').replace('.mlp.fc2.', '.mlp.layers.1.')
        name = name.replace('score_branch.', 'head.score_decoder_head.')
        if unit := re.fullmatch(r'box_head\.conv([1-4])_(..)\.([01])\.(\w+)', name):
            number, corner, part, kind = unit.groups()
            part = 'bn' if int(part) else 'conv'
            name = f'head.bbox_head.{corner}_corner_pred.{int(number) - 1}.{part}.{kind}'
        name = re.sub(r'box_head\.conv5_(..)', r'head.bbox_head.\1_corner_pred.4', name)
        ported[name] = value
        if name.endswith('running_var'):  # a saved module has the counters too
            ported[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(0)
    conversion, same = convert_state_dict(ported), convert_state_dict(state)
    assert conversion.sizes == same.sizes
    assert conversion.dropped == same.dropped and len(same.dropped) == 4  # norm and classifier
    assert {name: value.tolist() for name, value in conversion.state_dict.items()} == {
        name: value.tolist()
        for name, value in small.state_dict().items()
        if 'backbone' in name or 'head' in name
    }


def test_sizes_are_read_from_the_shapes(small):
    sizes = convert_state_dict(small_published('mixformer_cvt')).sizes
    assert sizes == CvtSizes((16, 32, 48), (1, 1, 2), (7, 3, 3), 4.0, 16, True)
    assert own_system(small.state_dict()) is MIXFORMER_CVT
    assert MIXFORMER_CVT.measure(small.state_dict()) == sizes
    assert sizes.title == 'MixFormer-CvT with score head' and sizes.config is None
    assert sizes.details == (
        '1-1-2 layers of width 16-32-48, MLP ratio 4, patch embeddings of 7-3-3, corner head of 16 '
        'channels'
    )
    assert 'model.backbone.num_heads' not in sizes.settings()  # no heads of 64 channels
    with pytest.raises(ValueError, match=r'7 heads do not divide the widths \(16, 32, 48\)'):
        sizes.settings(num_heads=7)
    for released in (RELEASED, RELEASED_WITHOUT_SCORE):
        assert list(ROOT.glob(fitting_config(released)))
        assert released.settings()['model.backbone.num_heads'] == [1, 3, 6]


def test_files_of_the_first_stage_have_no_score_head():
    state = small_published('mixformer_cvt')
    first = {name: value for name, value in state.items() if not name.startswith('score_branch')}
    conversion = convert_state_dict(first)
    assert not conversion.sizes.score_head and convert_state_dict(state).sizes.score_head
    assert converted(first, SMALL, num_heads=3).score_head is None
    del first['box_head.conv1_tl.0.bias']
    with pytest.raises(ValueError, match=r"MixFormer-CvT weights lack 'box_head.conv1_tl.0.bias'"):
        convert_state_dict(first)


def test_a_training_starts_from_a_cvt_of_imagenet():
    state = small_published('mixformer_cvt')
    names = [name for name in state if name.startswith('backbone.')]
    pretrained = {name.removeprefix('backbone.'): state[name] for name in names}
    pretrained['stage2.cls_token'] = torch.zeros(1, 1, 48)
    conversion = convert_state_dict(pretrained)
    assert not conversion.sizes.is_tracker and 'stage2.cls_token' in conversion.dropped
    whole = convert_state_dict(state).state_dict
    expected = {name: value for name, value in whole.items() if name.startswith('backbone.')}
    assert list(conversion.state_dict) == list(expected)
    assert all(torch.equal(conversion.state_dict[name], expected[name]) for name in expected)


# ---- published sizes ---------------------------------------------------------------------------


draw = cache(fill_tensor)  # the two layouts have names in common


def drawn(manifest: str) -> dict[str, Tensor]:
    """Weights of a manifest, drawn with as many threads as there are cores."""
    content = load_manifest(f'mixformer_cvt/{manifest}.json')
    with ThreadPoolExecutor() as pool:
        shapes = content['float'].items()
        tensors = pool.map(lambda item: draw(item[0], tuple(item[1])), shapes)
        state = dict(zip(content['float'], tensors))
    return {**state, **{name: torch.zeros((), dtype=torch.long) for name in content['int']}}


@pytest.fixture(scope='module')
def official() -> TemplateSearchTracker:
    return converted(drawn('manifest'))


@pytest.fixture
def as_in_the_port(official, monkeypatch) -> TemplateSearchTracker:
    """The same weights with the exact GELU."""
    for stage in official.backbone.stages:
        for block in stage.blocks:
            monkeypatch.setitem(block._modules, 'act', nn.GELU())
    return official


@needs_golden
def test_golden_official(official):
    got, joint = run(official), load('mixformer_cvt/official_forward.npz')
    del joint['stage2_online_summary']  # nothing reads these tokens, and they are not handed out
    check(got, joint, 'official, joint forward')
    check(got, load('mixformer_cvt/official_online1.npz'), 'official, cached')


@needs_golden
def test_golden_official_with_two_online_templates(official):
    got = run(official, count=2)
    check(got, load('mixformer_cvt/official_online2.npz'), 'official, two online templates')


@needs_golden
def test_golden_of_the_port_with_the_official_weights(as_in_the_port):
    expected = load('mixformer_cvt/mmtrack0x_from_official_weights.npz')
    check(run(as_in_the_port), expected, 'port, official weights')


@needs_golden
def test_golden_of_the_port():
    act = {'model.backbone.act_cfg.type': 'GELU'}
    model = converted(drawn('manifest_mmtrack0x'), act)
    assert isinstance(model.backbone.stages[0].blocks[0].act, nn.GELU)
    check(run(model), load('mixformer_cvt/mmtrack0x_forward.npz'), 'port')
    two = load('mixformer_cvt/mmtrack0x_online2.npz')
    check(run(model, count=2), two, 'port, two online templates')


@needs_golden
def test_names_of_the_port_are_those_of_its_key_map():
    port, official = (
        {rule.target: name for name, rule in layout.rules(RELEASED).items() if not rule.counter}
        for layout in MIXFORMER_CVT.layouts[:2]
    )
    pairs = load_manifest('mixformer_cvt/key_map_official_to_mmtrack0x.json')
    idle = ('backbone.norm.', 'backbone.head.')
    expected = {name: pairs[name] for name in pairs if not name.startswith(idle)}
    assert {name: port[target] for target, name in official.items()} == expected


# ---- tracking ----------------------------------------------------------------------------------


@needs_golden
def test_golden_crops_and_clipped_boxes():
    golden = load('mixformer_cvt/crop_clip.npz')
    frame = golden['image_rgb'].astype(np.uint8)
    names = [name.removesuffix('_param') for name in golden if name.endswith('_param')]
    assert len(names) == 5
    for name in names:
        *box, factor, size, scale = golden[f'{name}_param'].tolist()
        factor = round(factor, 3)  # a float32 in the file
        crop, resize_factor = crop_region(frame, box, factor, int(size))
        np.testing.assert_array_equal(crop, golden[name], err_msg=name)
        assert resize_factor == pytest.approx(scale, rel=1e-6)
    boxes = [clip_box(box, *frame.shape[:2], margin=10) for box in golden['clip_in_xywh']]
    np.testing.assert_allclose(boxes, golden['clip_out_xywh'])


def golden_frames() -> list[np.ndarray]:
    """The seven frames of the golden track, cut out of one image."""
    coarse = make_input('crop_image', (38, 48, 3)).numpy().repeat(8, axis=0).repeat(8, axis=1)
    fine = make_input('crop_texture', (304, 384, 3)).numpy()
    picture = np.clip(np.rint(45 * coarse + 15 * fine + 128), 0, 255).astype(np.uint8)
    return [picture[4 * i : 4 * i + 240, 6 * i : 6 * i + 320] for i in range(7)]


@needs_golden
@pytest.mark.parametrize(('count', 'tracked'), [(1, 3), (2, 6)])
def test_golden_track(official, count, tracked, monkeypatch):
    """Seven frames; with one online template the first update, to keep this test cheap."""
    golden = load('mixformer_cvt/official_track.npz')
    expected = {n.removeprefix(f'size{count}_'): golden[n] for n in golden if f'size{count}' in n}
    bias = official.score_head.fc3.bias
    monkeypatch.setattr(bias, 'data', bias.data + 1)
    settings = TrackingSettings(
        search_factor=4.55, update_interval=2, max_score_decay=0.98, num_online_templates=count
    )
    loop = SequenceTracker(TorchPredictor(InferenceNetwork.of(official)), settings)
    frames = golden_frames()[: 1 + tracked]
    state = loop.init(frames[0], expected['boxes_xywh'][0])
    for i, frame in enumerate(frames[1:]):
        result = loop.track(frame, state)
        np.testing.assert_allclose(result.box_xywh, expected['boxes_xywh'][i + 1], atol=2e-3)
        assert result.score == pytest.approx(expected['scores'][i], abs=2e-6)
        assert state.memory.best_score == pytest.approx(expected['max_score_after'][i], abs=2e-6)
        assert len(state.memory.online) == expected['num_online'][i]
    if tracked == len(expected['scores']):
        for crop, summarised in zip(state.memory.online, expected['online_template_summary']):
            scaled = official.data_preprocessor.scale(torch.from_numpy(crop).permute(2, 0, 1)[None])
            np.testing.assert_allclose(summary(scaled), summarised, atol=2e-6)
