"""The backbone: caching, any sizes, what comes back, what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from mmtrack.registry import MODELS

from mmtrack_mixformerv2.models import PMAMViT
from mmtrack_mixformerv2.position import sincos_position_table
from mmtrack_mixformerv2.structures import TemplateCache

SMALL = dict(search_size=64, template_size=32, embed_dims=48, depth=3, num_heads=4, mlp_ratio=2.0)


def build(**changes) -> PMAMViT:
    torch.manual_seed(0)
    return PMAMViT(**{**SMALL, **changes}).eval()


def crops(count: int, templates: int = 2, search: int = 64, template: int = 32):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, templates, 3, template, template, generator=generator),
        torch.randn(count, 3, search, search, generator=generator),
    )


def masked_reference(model: PMAMViT, templates, search) -> torch.Tensor:
    """The paper's Eq. for mixed attention with one sequence and an explicit mask."""
    batch, dims = len(search), model.prediction_tokens.shape[-1]
    template = model.patch_embed(templates.flatten(0, 1)).flatten(2).transpose(1, 2)
    template = (template + model.template_pos_embed).reshape(batch, -1, dims)
    region = model.patch_embed(search).flatten(2).transpose(1, 2) + model.search_pos_embed
    tokens = (model.prediction_tokens + model.prediction_pos_embed).expand(batch, -1, -1)
    x = torch.cat([template, region, tokens], dim=1)
    length, count = x.shape[1], template.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool)
    mask[:count, count:] = False
    for block in model.blocks:
        query, key, value = (
            block.attn.qkv(block.norm1(x))
            .reshape(batch, length, 3, block.attn.num_heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        mixed = logits.masked_fill(~mask, -torch.inf).softmax(-1) @ value
        x = x + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp.fc2(torch.nn.functional.gelu(block.mlp.fc1(block.norm2(x))))
    return x


@pytest.mark.parametrize('templates', [1, 2, 3])
def test_cached_attention_equals_one_masked_sequence(templates):
    model = build()
    inputs = crops(2, templates)
    with torch.no_grad():
        features = model(*inputs, out_layers=True)
        cache = model.encode_template(inputs[0], out_layers=True)
        expected = masked_reference(model, *inputs)
    whole = torch.cat([cache.layers[-1], features.layers[-1]], dim=1)
    torch.testing.assert_close(whole, expected, atol=5e-6, rtol=0)
    torch.testing.assert_close(features.tokens, expected[:, -4:], atol=5e-6, rtol=0)
    torch.testing.assert_close(features.search, expected[:, -20:-4], atol=5e-6, rtol=0)


def test_forward_is_both_halves_and_leaves_nothing_behind():
    model = build()
    templates, search = crops(2)
    before = {name: copy.copy(vars(module)) for name, module in model.named_modules()}
    with torch.no_grad():
        first = model(templates, search)
        cache = model.encode_template(templates)
        model(*crops(2, templates=1))  # another sequence in between
        second = model.encode_search(search, cache)
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.search, second.search)
    assert first.layers is None and cache.layers is None
    assert {name: vars(module) for name, module in model.named_modules()} == before


@pytest.mark.parametrize(
    'changes, ratios',
    [
        (dict(num_prediction_tokens=0), [2.0, 2.0, 2.0]),
        (dict(num_prediction_tokens=1, mlp_ratio=[4, 1, 0.5]), [4, 1, 0.5]),
        (dict(patch_size=8, depth=1, mlp_ratio=1, num_prediction_tokens=7), [1]),
        (dict(search_size=96, template_size=48, embed_dims=60, num_heads=5), [2.0, 2.0, 2.0]),
    ],
)
def test_any_size(changes, ratios):
    model = build(**changes)
    search, template = model.search_size, model.template_size
    with torch.no_grad():
        features = model(*crops(2, 2, search, template))
    grid = search // changes.get('patch_size', 16)
    dims = changes.get('embed_dims', 48)
    assert features.search.shape == (2, grid * grid, dims)
    assert features.tokens.shape == (2, changes.get('num_prediction_tokens', 4), dims)
    hidden = [block.mlp.fc1.out_features for block in model.blocks]
    assert hidden == [int(dims * ratio) for ratio in ratios]


def test_dtype_follows_the_input():
    model = build().to(torch.bfloat16)
    features = model(*(crop.to(torch.bfloat16) for crop in crops(1)))
    assert features.tokens.dtype == torch.bfloat16
    wide = build().double()
    assert wide(*(crop.double() for crop in crops(1))).search.dtype == torch.float64


def test_mixed_precision_keeps_the_residual_stream():
    model = build()
    with torch.autocast('cpu', torch.bfloat16):
        features = model(*crops(1))
        cache = model.encode_template(crops(1)[0])
    assert features.search.dtype == features.tokens.dtype == torch.float32
    assert cache.keys[0].dtype == torch.bfloat16


def test_position_table():
    table = sincos_position_table(5, 12)[0]
    row, column, frequencies = 3, 2, 10000 ** (-torch.arange(3) / 3)
    expected = torch.cat(
        [
            (column * frequencies).sin(),
            (column * frequencies).cos(),
            (row * frequencies).sin(),
            (row * frequencies).cos(),
        ]
    )
    torch.testing.assert_close(table[row * 5 + column], expected)


def test_position_tables_are_never_trained():
    model = build()
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen == {'search_pos_embed', 'template_pos_embed'}
    assert frozen <= set(model.state_dict())


def test_drop_path_only_in_training():
    model = build(drop_path_rate=0.9)
    inputs = crops(1)
    assert torch.equal(model(*inputs).tokens, model(*inputs).tokens)
    model.train()
    assert not torch.equal(model(*inputs).tokens, model(*inputs).tokens)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(search_size=70), 'multiples of patch_size=16'),
        (dict(embed_dims=50), 'embed_dims=50 must be a multiple of 4 and of num_heads=4'),
        (dict(patch_size=0), 'patch_size=0, which is at least 1'),
        (dict(mlp_ratio=[4, 1]), '2 entries for depth=3'),
        (dict(num_prediction_tokens=-1), 'num_prediction_tokens is -1'),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_wrong_crops_and_caches_are_refused():
    model = build()
    templates, search = crops(2)
    cache = model.encode_template(templates)
    with pytest.raises(ValueError, match=r'search is 3x32x32, expected 3x64x64'):
        model.encode_search(templates[:, 0], cache)
    with pytest.raises(ValueError, match=r'shape \(2, 3, 64, 64\), expected \(B, T, 3, h, w\)'):
        model.encode_template(search)
    with pytest.raises(ValueError, match='make it with encode_template of this very backbone'):
        build(depth=2).encode_search(search, cache)
    with pytest.raises(ValueError, match='make it with encode_template of this very backbone'):
        model.encode_search(search[:1], cache)
    with pytest.raises(ValueError, match=r'= \(0,\), expected .*of this very backbone'):
        model.encode_search(search, TemplateCache([], [], maps=dict(tokens=search)))


def test_registered_in_mmtrack():
    assert isinstance(MODELS.build(dict(type='PMAMViT', **SMALL)), PMAMViT)
