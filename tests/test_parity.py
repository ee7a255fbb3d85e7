"""Our model against the published one, through the production converter.

Expected values were measured on the published implementation (revision 1041438, CPU, float32); see
the README of the golden folder. ``tests/data/mixformerv2_small.npz`` holds the small case (width
48, 3 blocks) for checkouts without that folder. ``pytest -s`` prints the worst difference per case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load, load_manifest, make_input, needs_golden
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmtrack.registry import MODELS
from published import published_state_dict, save_published, small_manifest
from tools_loader import load_tool
from torch import Tensor

from mmtrack_mixformerv2.checkpoints import Sizes, model_settings
from mmtrack_mixformerv2.structures import Features

DATA = Path(__file__).parent / 'data'
CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'mixformerv2'
TOLERANCE = 2e-5

# Published order of the prediction tokens (left, right, top, bottom) from ours, and back.
SWAP = [0, 2, 1, 3]


def small_fixture() -> tuple[dict, dict, dict]:
    """Manifest, full-forward and cached-template arrays of the small case in ``tests/data``."""
    manifest = small_manifest()
    with np.load(DATA / 'mixformerv2_small.npz') as file:
        arrays = {name: file[name] for name in file.files}
    cached = {k[len('cached_') :]: v for k, v in arrays.items() if k.startswith('cached_')}
    return manifest, arrays, cached


def golden_case(name: str) -> tuple[dict, dict]:
    return load_manifest(f'mixformerv2/{name}.manifest.json'), load(f'mixformerv2/{name}.npz')


def converted_model(manifest: dict, folder: Path, num_heads: int | None = None):
    """Published file -> converter tool -> file -> mmengine's strict loading into our model."""
    source, target = folder / 'MixFormer_ep0500.pth.tar', folder / 'converted.pth'
    save_published(source, published_state_dict(manifest))
    assert load_tool('model_converters/convert_checkpoint').main([str(source), str(target)]) == 0
    config = Config.fromfile(CONFIGS / 'mixformerv2-b_test-lasot.py')
    sizes = Sizes(**torch.load(target, mmap=True, weights_only=True)['meta']['sizes'])
    config.merge_from_dict(model_settings(sizes, num_heads))
    model = MODELS.build(config.model)
    load_checkpoint(model, str(target), strict=True)
    source.unlink()  # the largest is 350 MB
    target.unlink()
    return model.eval()


class Differences:
    """Compares arrays by name and remembers the worst difference."""

    def __init__(self, case: str) -> None:
        self.case, self.found = case, {}

    def add(self, name: str, got: Tensor, expected: np.ndarray, scale: float = 1.0) -> None:
        """Compare, in units of ``scale``."""
        assert tuple(got.shape) == expected.shape, name
        difference = (got.double() - torch.from_numpy(expected).double()).abs().max().item()
        self.found[name] = difference / scale

    def check(self) -> None:
        worst = max(self.found, key=self.found.get)
        print(f'\n{self.case}: {len(self.found)} arrays, worst {self.found[worst]:.2g} ({worst})')
        assert {k: v for k, v in self.found.items() if not v <= TOLERANCE} == {}


@torch.inference_mode()
def run(model, batch: int) -> dict[str, Tensor]:
    """Everything the golden files record of a full forward pass, under their names and orders."""
    backbone, first_inputs = model.backbone, []
    templates = torch.stack(
        [
            make_input(name, (batch, 3, *[backbone.template_size] * 2))
            for name in ('template', 'online_template')
        ],
        dim=1,
    )
    search = make_input('search', (batch, 3, *[backbone.search_size] * 2))
    watch = backbone.blocks[0].norm1.register_forward_pre_hook(
        lambda module, inputs: first_inputs.append(inputs[0])
    )
    cache = backbone.encode_template(templates, out_layers=True)
    features = backbone.encode_search(search, cache, out_layers=True)
    watch.remove()

    def published_sequence(template_tokens: Tensor, others: Tensor) -> Tensor:
        search_tokens, predicted = others.split([others.shape[1] - 4, 4], dim=1)
        return torch.cat([template_tokens, search_tokens, predicted[:, SWAP]], dim=1)

    out = {'tokens_in': published_sequence(*first_inputs)}
    for i, layers in enumerate(zip(cache.layers, features.layers)):
        out[f'feat_{i}'] = published_sequence(*layers)
    out['pred_tokens'] = features.tokens[:, SWAP]
    out['pos_embed_s'], out['pos_embed_t'] = backbone.search_pos_embed, backbone.template_pos_embed
    prediction = model({'img': templates, 'search_img': search[:, None]}, mode='tensor')
    for i, side in enumerate('ltrb'):
        out[f'logit_{side}'] = prediction.edge_logits[:, i]
        out[f'prob_{side}'] = prediction.edge_logits[:, i].softmax(dim=-1)
    left_top, right_bottom = prediction.boxes.split(2, dim=1)
    out['box_xyxy'] = prediction.boxes
    out['box_cxcywh'] = torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], dim=1)
    if model.score_head is not None:
        out.update(score_outputs(model.score_head, features), score_logit=prediction.score_logits)
    return out


def score_outputs(head, features: Features) -> dict[str, Tensor]:
    """Score of every token alone (published order), and in the order of the paper."""
    single = [head(Features(features.search, features.tokens[:, i : i + 1])) for i in SWAP]
    paper = MODELS.build(
        {'type': 'TokenScoreHead', 'in_channels': head.fc1.in_features, 'order': 'mean_of_tokens'}
    )
    paper.load_state_dict(head.state_dict())
    return {
        'score_logit_per_token': torch.stack(single, dim=1),
        'score_logit_paper_variant': paper(features),
    }


def check_small(model, expected: dict, case: str) -> None:
    got, differences = run(model, batch=2), Differences(case)
    assert set(got) == {name for name in expected if not name.startswith('cached_')}
    for name, value in got.items():
        differences.add(name, value, expected[name])
    differences.check()


@torch.inference_mode()
def check_cached(model, expected: dict, case: str) -> None:
    """Each batch element alone, templates first; then one search with two online templates."""
    static, online = (make_input(name, (2, 3, 32, 32)) for name in ('template', 'online_template'))
    search, differences = make_input('search', (2, 3, 64, 64)), Differences(case)

    def track(templates: Tensor, i: int, prefix: str, rows: slice) -> None:
        cache = model.backbone.encode_template(templates[None])
        features = model.backbone.encode_search(search[i : i + 1], cache)
        prediction = model.predict_boxes(search[i : i + 1], cache)
        grid = features.search.transpose(1, 2).unflatten(2, (4, 4))
        values = {
            'pred_tokens': features.tokens[:, SWAP],
            'search_feat': grid,
            'box_xyxy': prediction.boxes,
            'score_logit': prediction.score_logits,
        }
        for side, name in enumerate(('prob_l', 'prob_t', 'prob_r', 'prob_b')):
            if prefix + name in expected:
                values[name] = prediction.edge_logits[:, side].softmax(dim=-1)
        for name, value in values.items():
            differences.add(f'{prefix}{name}[{i}]', value, expected[prefix + name][rows])
        if prefix:
            keys = torch.stack([key[0] for key in cache.keys])
            differences.add('multi_template_keys', keys, expected['multi_template_keys'])

    for i in range(2):
        track(torch.stack([static[i], online[i]]), i, '', slice(i, i + 1))
    track(torch.stack([static[0], online[0], online[1]]), 0, 'multi_', slice(None))
    assert len(differences.found) == 2 * 8 + 5
    differences.check()


@pytest.fixture(scope='module')
def small_model(tmp_path_factory):
    return converted_model(small_fixture()[0], tmp_path_factory.mktemp('small'), num_heads=4)


def test_small_model_equals_the_published_one(small_model):
    _, expected, _ = small_fixture()
    check_small(small_model, expected, 'small (own fixture)')


def test_small_model_with_cached_and_several_templates_equals_the_published_one(small_model):
    _, _, expected = small_fixture()
    check_cached(small_model, expected, 'small, cached templates (own fixture)')


def test_small_model_has_the_published_number_of_parameters(small_model):
    manifest, _, _ = small_fixture()
    parameters = list(small_model.parameters())
    assert sum(p.numel() for p in parameters) == manifest['parameters_total']
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    assert trainable == manifest['parameters_trainable']


@needs_golden
def test_golden_a_and_b(tmp_path):
    manifest, expected = golden_case('a_small')
    model = converted_model(manifest, tmp_path, num_heads=4)
    check_small(model, expected, 'a_small')
    check_cached(model, load('mixformerv2/b_cached_templates.npz'), 'b_cached_templates')


def summaries(name: str, value: Tensor) -> dict[str, Tensor]:
    """The numbers that the full-size golden files keep of a token sequence."""
    flat = value.flatten()
    return {
        f'{name}_mean': value.mean(),
        f'{name}_std': value.std(correction=0),
        f'{name}_first8': flat[:8],
        f'{name}_last8': flat[-8:],
        f'{name}_token_mean': value.mean(dim=(0, 2)),
    }


@needs_golden
@pytest.mark.parametrize('case', ['c_full_b', 'c_full_s', 'c_full_12layer'])
def test_golden_c(case, tmp_path):
    manifest, expected = golden_case(case)
    model = converted_model(manifest, tmp_path)
    assert sum(p.numel() for p in model.parameters()) == manifest['parameters_total']
    got, differences = run(model, batch=1), Differences(case)
    grid_s, grid_t = model.backbone.search_size // 16, model.backbone.template_size // 16
    got['pos_embed_s_y3_x5'] = got.pop('pos_embed_s')[0, 3 * grid_s + 5]
    got['pos_embed_t_y2_x6'] = got.pop('pos_embed_t')[0, 2 * grid_t + 6]
    for name in [name for name in got if name == 'tokens_in' or name.startswith('feat_')]:
        got.update(summaries(name, got.pop(name)))
    assert set(got) == set(expected)
    for name, value in got.items():
        differences.add(name, value, expected[name])
    differences.check()
