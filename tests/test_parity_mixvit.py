"""MixViT, the teacher, against the published one, through the production converter.

The corner maps come out of five convolutions of up to 9216 products per sum and are compared
relative to their largest value: in float32 they differ by up to 4e-5 between processors with and
without AVX-512. All else is compared as it is.

Expected values were measured on the published implementations (CPU, float32); see the READMEs of
the golden folder. ``tests/data/mixvit_small.npz`` holds a part of the small cases (width 48, 3
blocks) for checkouts without that folder. ``pytest -s`` prints the worst difference per case.

Golden cases with a score prediction module are trackers and not only teachers: it is kept, and its
logits are compared for the predicted box and for a fixed one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill_tensor, load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmtrack.registry import MODELS
from published import published_state_dict, save_published, small_manifest
from test_parity import Differences
from tools_loader import load_tool
from torch import Tensor, nn

from mmtrack_mixformerv2.checkpoints import (
    Sizes,
    convert_state_dict,
    fitting_config,
    model_settings,
)
from mmtrack_mixformerv2.models import CornerHead, TemplateSearchTracker
from mmtrack_mixformerv2.models.heads.prroi_pool import prroi_pool
from mmtrack_mixformerv2.position import sincos_position_table

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'tests' / 'data'
FIXED_BOX = torch.tensor([[0.31, 0.27, 0.72, 0.66]])  # of the golden score logits
SIDES = ('tl_prob_x', 'tl_prob_y', 'br_prob_x', 'br_prob_y')  # left, top, right, bottom
DISTILLED = ('marginal_l', 'marginal_t', 'marginal_r', 'marginal_b')


def built(config: Config) -> TemplateSearchTracker:
    return MODELS.build(config.model).eval()


def converted_model(
    manifest: dict, folder: Path, *, keep_score: bool = False
) -> TemplateSearchTracker:
    """Published file -> converter tool -> file -> mmengine's strict loading into our model."""
    source, target = folder / 'MixFormer_ep0500.pth.tar', folder / 'converted.pth'
    save_published(source, published_state_dict(manifest))
    arguments = [str(source), str(target), *['--keep-score'] * keep_score]
    assert load_tool('model_converters/convert_checkpoint').main(arguments) == 0
    sizes = Sizes(**torch.load(target, mmap=True, weights_only=True)['meta']['sizes'])
    name = 'mixvit-b-score_test-lasot' if keep_score else 'mixvit-b-pyramid288'
    config = Config.fromfile(ROOT / 'configs' / 'mixvit' / f'{name}.py')
    config.merge_from_dict(model_settings(sizes, num_heads=4))
    model = built(config)
    load_checkpoint(model, str(target), strict=True)
    return model


def image(tokens: Tensor) -> Tensor:
    """Tokens ``(B, G * G, C)`` as a map ``(B, C, G, G)``."""
    return tokens.transpose(1, 2).unflatten(2, [isqrt(tokens.shape[1])] * 2)


def heads_of(model, features) -> dict[str, Tensor]:
    """Maps, their marginals and the box, under the names of the golden files."""
    logits = model.box_head.corner_logits(features)
    prediction = model.box_head(features)
    left_top, right_bottom = prediction.boxes.split(2, dim=1)
    probabilities = prediction.edge_logits.exp()  # they are normalised
    scores = {}
    if model.score_head is not None:
        search = image(features.search)
        pooled = prroi_pool(search, FIXED_BOX * search.shape[-1], 4)
        scores = {
            'score_logit_predbox': model.score_head(features, prediction.boxes),
            'score_logit_fixedbox': model.score_head(features, FIXED_BOX),
            'fixed_box_xyxy': FIXED_BOX,
            'fixed_box_roi_pool': pooled,
        }
    return {
        **scores,
        'search_feat': image(features.search),
        'tl_logits': logits[:, 0],
        'br_logits': logits[:, 1],
        **{name: probabilities[:, side] for side, name in enumerate(SIDES)},
        'box_xyxy': prediction.boxes,
        'box_cxcywh': torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], dim=1),
    }


@torch.inference_mode()
def run(model, batch: int = 1) -> dict[str, Tensor]:
    """Everything that the golden files record of a forward pass with one online template."""
    backbone, first_inputs = model.backbone, []
    template, online = (
        make_input(name, (batch, 3, *[backbone.template_size] * 2))
        for name in ('template', 'online_template')
    )
    search = make_input('search', (batch, 3, *[backbone.search_size] * 2))
    watch = backbone.blocks[0].norm1.register_forward_pre_hook(
        lambda module, inputs: first_inputs.append(inputs[0])
    )
    templates = torch.stack([template, online], dim=1)
    cache = backbone.encode_template(templates, out_layers=True)
    features = backbone.encode_search(search, cache, out_layers=True)
    watch.remove()
    out = {'tokens_in': torch.cat(first_inputs, dim=1)}
    for i, layers in enumerate(zip(cache.layers, features.layers)):
        out[f'block{i}_out'] = torch.cat(layers, dim=1)
    first, second = cache.layers[-1].chunk(2, dim=1)
    out['template_feat'], out['online_template_feat'] = image(first), image(second)
    out['pos_embed_s'], out['pos_embed_t'] = backbone.search_pos_embed, backbone.template_pos_embed
    return {**out, **heads_of(model, features)}


@torch.inference_mode()
def run_cached(model) -> dict[str, Tensor]:
    """The same of the static and two online templates that were encoded before."""
    backbone = model.backbone
    size, search = backbone.template_size, backbone.search_size
    templates = [make_input('template', (1, 3, size, size))]
    templates += make_input('online_templates', (2, 3, size, size)).split(1)
    cache = backbone.encode_template(torch.stack(templates, dim=1), out_layers=True)
    features = backbone.encode_search(make_input('search', (1, 3, search, search)), cache)
    first = cache.layers[-1].chunk(3, dim=1)[0]
    out = {'template_feat': image(first), **heads_of(model, features)}
    return {f'online2_{name}': value for name, value in out.items()}


def summary(value: Tensor) -> Tensor:
    """The ten numbers that the full-size files keep of a tensor."""
    flat = value.flatten()
    return torch.cat([flat.mean()[None], flat.std(correction=0)[None], flat[:8]])


def check(model, expected: dict, case: str) -> None:
    """Compare everything that the case records of backbone and heads."""
    got, differences = run(model), Differences(case)
    if any(name.startswith('online2') for name in expected):
        got.update(run_cached(model))
    blocks = [value for name, value in got.items() if name.startswith('block')]
    got['block_out_summary'] = torch.stack([summary(block) for block in blocks])
    got['search_feat_first16ch'] = got['search_feat'][:, :16]
    got.update({f'{name}_summary': summary(value) for name, value in got.items()})
    for name in expected:
        value, scale = got[name], 1.0
        if name == 'fixed_box_roi_pool':
            value = value[:, : expected[name].shape[1]]  # large cases keep 32 channels
        if name.endswith(('_logits', '_x', '_y')):
            value = value[0]  # recorded without the batch
        if name.endswith('_logits'):
            scale = max(1.0, float(np.abs(expected[name]).max()))
        differences.add(name, value, expected[name], scale)
    differences.check()


# ---- small models, files and all ---------------------------------------------------------------


def small_fixture(design: str) -> tuple[dict, dict]:
    """Manifest and arrays of a small case in ``tests/data``; both have the same backbone."""
    manifest = small_manifest('mixvit')
    if design == 'plain':
        shapes = manifest['float'].items()
        manifest['float'] = {name: shape for name, shape in shapes if '.adjust' not in name}
    with np.load(DATA / 'mixvit_small.npz') as file:
        arrays = {
            name.removeprefix(f'{design}_'): file[name]
            for name in file.files
            if name.startswith((design, 'search_feat', 'online2'))
        }
    return manifest, arrays


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_small_model_equals_the_published_one(design, tmp_path):
    manifest, expected = small_fixture(design)
    assert len(expected) == 6
    check(converted_model(manifest, tmp_path), expected, f'small, {design} (own fixture)')


@needs_golden
@pytest.mark.parametrize('case', ['small_plain', 'small_pyramid'])
def test_golden_small(case, tmp_path):
    manifest = load_manifest(f'mixvit/{case}.manifest.json')
    model = converted_model(manifest, tmp_path, keep_score=True)
    check(model, load(f'mixvit/{case}.npz'), case)


@needs_golden
@pytest.mark.parametrize('case', ['d_mixvit_corner', 'd_mixvit_pyramid'])
def test_golden_d(case, tmp_path):
    """MixViT as MixFormerV2's repository has it, with batch norms that are not frozen."""
    manifest = load_manifest(f'mixformerv2/{case}.manifest.json')
    model = converted_model(manifest, tmp_path)
    idle = sum(int(np.prod(manifest['float'][name])) for name in manifest['unused'])
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == manifest['parameters_total'] - idle
    got, differences = run(model, batch=2), Differences(case)
    got['online_feat'] = got['online_template_feat']
    got.update({ours: got[name] for ours, name in zip(DISTILLED, SIDES)})
    for corner in ('tl', 'br'):
        got[f'logit_{corner}'] = got[f'{corner}_logits']
        maps = got[f'{corner}_logits'].flatten(1).softmax(dim=1)
        got[f'prob_{corner}'] = maps.view_as(got[f'{corner}_logits'])
    for name, expected in load(f'mixformerv2/{case}.npz').items():
        differences.add(name, got[name], expected)
    differences.check()


# ---- full size ---------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def drawn():
    """:func:`fill_tensor` that draws each tensor once: the models share most of their weights."""
    return cache(fill_tensor)


@needs_golden
@pytest.mark.parametrize(
    'case', ['vit_b_plain224', 'vit_b_pyramid288', 'vit_l_pyramid384', 'vit_l_pyramid288']
)
def test_golden_full_size(case, drawn, monkeypatch):
    """Converted in memory; nothing is initialised or copied that is replaced anyway."""
    manifest = load_manifest(f'mixvit/{case}.manifest.json')
    with ThreadPoolExecutor() as pool:
        shapes = manifest['float'].items()
        tensors = pool.map(lambda item: drawn(item[0], tuple(item[1])), shapes)
        state = dict(zip(manifest['float'], tensors))
    for name, (_, tokens, dims) in manifest['fixed_shapes'].items():
        state[name] = sincos_position_table(isqrt(tokens), dims)
    conversion = convert_state_dict(state, keep_score=True)
    config = fitting_config(conversion.sizes)
    if conversion.sizes.score_head:
        assert config == f'configs/mixvit/mixvit-{case[4]}-score_test-*.py'
        config = config.replace('*', 'lasot')
    else:
        assert config == f'configs/mixvit/{case.replace("vit_", "mixvit-").replace("_", "-")}.py'
    for kind in (nn.Linear, nn.Conv2d):
        monkeypatch.setattr(kind, 'reset_parameters', lambda self: None)
    model = built(Config.fromfile(ROOT / config))
    assert isinstance(model.box_head, CornerHead)
    assert (model.score_head is not None) == conversion.sizes.score_head
    model.load_state_dict(conversion.state_dict, strict=True, assign=True)
    expected = load(f'mixvit/{case}.npz')
    if case == 'vit_l_pyramid384':  # has the weights of 288, and takes longest
        expected = {name: array for name, array in expected.items() if 'online2' not in name}
    check(model, expected, case)
