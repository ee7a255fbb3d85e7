"""What the backbone says about its attention, and the explanation of a tracked frame."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import BASES, MODEL, lively_tracker

from mmtrack_mixformerv2.explain import explain_frame, target_similarity
from mmtrack_mixformerv2.models import PMAMViT
from mmtrack_mixformerv2.models.device_predictor import DevicePredictor
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.torch_predictor import TorchPredictor
from mmtrack_mixformerv2.tracking import SequenceTracker
from mmtrack_mixformerv2.tracking.region import clip_box

BOX = (40.0, 30.0, 24.0, 18.0)
SIZES = dict(search_size=64, template_size=32, embed_dims=48, depth=3, num_heads=4, mlp_ratio=2.0)
TEMPLATE, SEARCH = 4, 16  # patches


def build(**changes) -> PMAMViT:
    torch.manual_seed(0)
    model = PMAMViT(**{**SIZES, **changes}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # attention far from uniform
    return model


def crops(templates: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, templates, 3, 32, 32), torch.randn(2, 3, 64, 64)


def frames(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return list(generator.integers(0, 256, (count, 90, 120, 3), dtype=np.uint8))


def masked_attention(model: PMAMViT, templates, search) -> list[torch.Tensor]:
    """Attention of one sequence under the paper's mask, by the formula; ``(B, heads, N, N)``."""
    patches = model.patch_embed(templates.flatten(0, 1)).flatten(2).mT + model.template_pos_embed
    given = patches.reshape(len(search), -1, patches.shape[-1])
    looked = model.patch_embed(search).flatten(2).mT + model.search_pos_embed
    tokens = (model.prediction_tokens + model.prediction_pos_embed).expand(len(search), -1, -1)
    x = torch.cat([given, looked, tokens], dim=1)
    hidden = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
    hidden[: given.shape[1], given.shape[1] :] = True
    found = []
    for block in model.blocks:
        query, key, value = (
            part.unflatten(-1, (4, 12)).transpose(1, 2)
            for part in block.attn.qkv(block.norm1(x)).chunk(3, dim=-1)
        )
        logits = query @ key.mT / math.sqrt(12)
        found.append(logits.masked_fill(hidden, -math.inf).softmax(-1))
        x = x + block.attn.proj((found[-1] @ value).transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
    return found


@torch.no_grad()
@pytest.mark.parametrize('count', [1, 3])
def test_attention_is_that_of_one_masked_sequence(count):
    model, (templates, search) = build(), crops(count)
    _, attention = model.explain_search(search, model.encode_template(templates))
    expected = masked_attention(model, templates, search)
    assert list(attention) == [0, 1, 2]
    for i, rows in attention.items():
        assert rows.shape == (2, 4, 4, count * TEMPLATE + SEARCH + 4)
        torch.testing.assert_close(rows, expected[i][:, :, -4:], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(rows.sum(-1), torch.ones(2, 4, 4))


@torch.no_grad()
@pytest.mark.parametrize('gamma', [1.0, 0.5])
def test_features_are_those_that_track(gamma):
    model, (templates, search) = build(), crops()
    model.blocks[1].gamma = gamma
    cache = model.encode_template(templates)
    features, attention = model.explain_search(search, cache)
    plain = model.encode_search(search, cache)
    assert torch.equal(features.tokens, plain.tokens)
    assert torch.equal(features.search, plain.search)
    quick = model.encode_search(search, cache, tokens_only=True)
    torch.testing.assert_close(features.tokens, quick.tokens, atol=1e-4, rtol=1e-4)
    # The weights give what the last block made of the prediction tokens.
    block, entering = model.blocks[2], features.layers[1]
    value = torch.cat([cache.values[2], block.project(entering)[2]], dim=2)
    mixed = block.attn.proj((attention[2] @ value).transpose(1, 2).flatten(2))
    after = entering[:, -4:] + mixed
    after = after + block.mlp(block.norm2(after))
    torch.testing.assert_close(after, features.tokens, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_block_that_has_faded_out_is_as_if_removed():
    model, (templates, search) = build(), crops()
    model.blocks[1].gamma = 0.0
    _, faded = model.explain_search(search, model.encode_template(templates))
    model.remove_blocks([1])
    _, removed = model.explain_search(search, model.encode_template(templates))
    assert list(faded) == [0, 2] and list(removed) == [0, 1]
    assert all(torch.equal(a, b) for a, b in zip(faded.values(), removed.values()))


@torch.no_grad()
def test_any_token_may_ask():
    model, (templates, search) = build(), crops()
    cache = model.encode_template(templates)
    _, attention = model.explain_search(search, cache, [5, 17])
    expected = masked_attention(model, templates, search)[1][:, :, [8 + 5, 8 + 17]]
    torch.testing.assert_close(attention[1], expected, atol=1e-5, rtol=1e-4)
    for wrong in ([], [20], [-1]):
        with pytest.raises(ValueError, match='expected numbers from 0 to 19'):
            model.explain_search(search, cache, wrong)


def test_explaining_changes_neither_the_model_nor_the_sequence():
    model = lively_tracker(depth=3)
    before = copy.deepcopy(model.state_dict())
    states = [model.init(frames(1)[0], BOX) for _ in range(2)]
    updates = 0
    for frame in frames(5):
        explanation = explain_frame(model, frame, states[0])
        kept = copy.deepcopy(states[0].memory)
        explain_frame(model, frame, states[0])
        assert states[0].frame_index == states[1].frame_index
        assert all(map(np.array_equal, kept.templates, states[0].memory.templates))
        results = [model.track(frame, state) for state in states]
        assert np.array_equal(*(result.box_xywh for result in results))
        assert results[0].score == results[1].score
        updates += results[0].template_updated
        # It explains the very frame that is tracked next.
        assert explanation.score == pytest.approx(results[0].score, abs=1e-5)
        edges = results[0].edges
        np.testing.assert_allclose(explanation.edges, edges.probabilities, atol=1e-5)
        placed = explanation.edge_distributions
        np.testing.assert_allclose(placed.positions, edges.positions, atol=1e-9)
    assert updates >= 1  # so templates were explained that had changed
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_box_and_the_region_are_in_pixels_of_the_frame():
    model = lively_tracker()
    state = model.init(frames(1)[0], BOX)
    frame = frames(2)[1]
    explanation = explain_frame(model, frame, state)
    side = math.ceil(math.sqrt(BOX[2] * BOX[3]) * model.loop.settings.search_factor)
    x, y, width, height = explanation.region_xywh
    assert (width, height) == pytest.approx((side, side))
    assert (x + side / 2, y + side / 2) == pytest.approx((52, 39))
    assert np.array_equal(explanation.crop, model.loop.look(frame, state).crop)
    margin = model.loop.settings.clip_margin
    clipped = clip_box(explanation.box_xywh, 90, 120, margin=margin)
    np.testing.assert_allclose(model.track(frame, state).box_xywh, clipped, atol=1e-3)


def explain_with(online: list[np.ndarray]):
    model = lively_tracker(depth=2)
    state = model.init(frames(1)[0], BOX)
    state.memory.online = online
    return explain_frame(model, frames(2)[1], state)


@pytest.mark.parametrize('count', [0, 1, 3])
def test_any_number_of_templates(count):
    generator = np.random.default_rng(0)
    online = list(generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
    one = explain_with(online)
    assert one.search_attention.shape == (2, 4, 4, 4)
    assert one.template_attention.shape == (2, 4, 1 + count, 2, 2)
    total = one.search_attention.sum((2, 3)) + one.template_attention.sum((2, 3, 4))
    np.testing.assert_allclose(total + one.token_attention.sum(2), 1, atol=1e-5)
    assert one.similarity.shape == (4, 4) and np.abs(one.layer_similarity).max() <= 1
    assert len(one.templates) == 1 + count and one.layers == (0, 1)
    assert one.queries == ('left', 'top', 'right', 'bottom')
    # In another order they are looked at as before.
    other = explain_with(online[::-1])
    np.testing.assert_allclose(other.search_attention, one.search_attention, atol=1e-5)
    order = [0, *range(count, 0, -1)]
    swapped = other.template_attention[:, :, order]
    np.testing.assert_allclose(swapped, one.template_attention, atol=1e-5)
    np.testing.assert_allclose(other.similarity, one.similarity, atol=1e-5)


def test_a_template_that_is_removed_takes_its_attention_along():
    generator = np.random.default_rng(0)
    online = list(generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    both, first = explain_with(online), explain_with(online[:1])
    assert first.template_attention.shape[2] == 2
    # In the first block nothing else changes: what is left shares what the template had.
    left = both.template_attention[0, :, :2].sum((1, 2, 3))
    assert (first.template_attention[0].sum((1, 2, 3)) > left).all()


def test_without_prediction_tokens_the_token_at_the_box_centre_asks():
    config = Config.fromfile(BASES / 'models' / 'mixvit-b.py')
    config.merge_from_dict({'model': {key: MODEL[key] for key in ('backbone', 'test_cfg')}})
    config.model.backbone.depth = 2
    config.model.box_head.update(in_channels=32, channels=16)
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    state = model.init(frames(1)[0], BOX)
    explanation = explain_frame(model, frames(2)[1], state)
    assert explanation.queries == ('box centre',)
    assert explanation.search_attention.shape == (2, 1, 4, 4)
    assert explanation.token_attention.shape == (2, 1, 0)
    total = explanation.search_attention.sum((1, 2, 3)) + explanation.template_attention.sum(
        (1, 2, 3, 4)
    )
    np.testing.assert_allclose(total, 1, atol=1e-5)
    # An untrained corner head is undecided: the middle of the region, between four tokens.
    network = model.loop.predictor.network
    with torch.inference_mode():
        cache = model.backbone.encode_template(
            network.scale(torch.from_numpy(np.stack(explanation.templates)))[None]
        )
        search = network.scale(torch.from_numpy(explanation.crop)[None])
        left, top, right, bottom = explanation.box_norm
        token = int((top + bottom) * 2) * 4 + int((left + right) * 2)
        _, attention = model.backbone.explain_search(search, cache, [token])
    given = attention[1][0].mean(0)[0, 8:].reshape(4, 4)
    np.testing.assert_allclose(explanation.search_attention[1, 0], given, atol=1e-6)


def test_what_tracks_may_be_a_frozen_copy_or_have_other_settings():
    model = lively_tracker(depth=2)
    state = model.init(frames(1)[0], BOX)
    plain = explain_frame(model, frames(2)[1], state)
    frozen = TorchPredictor(InferenceNetwork.of(model).frozen())
    loop = SequenceTracker(frozen, model.loop.settings)
    same = explain_frame(loop, frames(2)[1], loop.init(frames(1)[0], BOX))
    np.testing.assert_allclose(same.search_attention, plain.search_attention, atol=1e-4)
    np.testing.assert_allclose(same.box_norm, plain.box_norm, atol=1e-4)
    device = SequenceTracker(
        DevicePredictor(InferenceNetwork.of(model).frozen(), graph=False), model.loop.settings
    )
    same = explain_frame(device, frames(2)[1], device.init(frames(1)[0], BOX))
    np.testing.assert_allclose(same.template_attention, plain.template_attention, atol=1e-4)
    assert isinstance(same.crop, np.ndarray) and np.array_equal(same.crop, plain.crop)
    wide = SequenceTracker(model.loop.predictor, replace(model.loop.settings, search_factor=9.0))
    other = explain_frame(wide, frames(2)[1], state)
    assert other.region_xywh[2] == pytest.approx(2 * plain.region_xywh[2], abs=2)


def test_what_cannot_be_explained():
    model = lively_tracker()
    state = model.init(frames(1)[0], BOX)

    class Exported:
        search_size, template_size = 64, 32

    with pytest.raises(TypeError, match='attention of Exported cannot be read'):
        explain_frame(SequenceTracker(Exported(), model.loop.settings), frames(1)[0], state)
    with pytest.raises(ValueError, match='90 x 120 px|120 x 90 px'):
        explain_frame(model, frames(1)[0][:-1], state)
    explanation = explain_frame(model, frames(1)[0], state)
    with pytest.raises(ValueError, match='there is no layer 1; expected one of 0'):
        explanation.layer_index(1)
    with pytest.raises(ValueError, match='training mode'):
        explain_frame(model.train(), frames(1)[0], state)


def test_similarity_finds_a_planted_target():
    generator = np.random.default_rng(0)
    search, background = generator.normal(size=(2, 81, 32))
    target = generator.normal(size=32)
    search[40] = 3 * target  # only the direction counts
    templates = np.stack([background[:25], background[25:50]]).reshape(2, 5, 5, 32).copy()
    templates[:, 1:4, 1:4] = target  # template_factor 2: the inner square of 2.5 patches
    found = target_similarity(search, templates.reshape(2, 25, 32), 2.0)
    assert found.argmax() == 40 and found[40] > 0.9
    assert np.abs(found).max() <= 1 and np.abs(np.delete(found, 40)).max() < 0.7
    # What all patches share says nothing.
    shifted = target_similarity(search + 5, templates.reshape(2, 25, 32) + 5, 2.0)
    np.testing.assert_allclose(shifted, found, atol=1e-5)


@pytest.mark.parametrize('side, factor, expected', [(8, 2.0, 16), (5, 2.0, 9), (8, 50.0, 4)])
def test_the_target_is_the_middle_of_a_template(side, factor, expected):
    search = np.random.default_rng(0).normal(size=(9, 4))
    templates = np.zeros((1, side * side, 4))
    inner = (side - round(expected**0.5)) // 2
    templates.reshape(side, side, 4)[inner : side - inner, inner : side - inner] = search[2]
    found = target_similarity(search, templates, factor)
    assert found[2] == pytest.approx(1, abs=1e-6)
    assert (side - 2 * inner) ** 2 == expected
