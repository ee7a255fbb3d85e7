"""What is left out of a frame changes nothing, and copies of a network are its equals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from golden import noise_frame
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import BASES, lively_tracker

from mmtrack_mixformerv2.models.device_predictor import DevicePredictor
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.torch_predictor import TorchPredictor
from mmtrack_mixformerv2.runtime.errors import CacheMismatch

SEARCH, TEMPLATE = 64, 32


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    return lively_tracker(depth=3)


def crops(name: str, count: int, size: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(noise_frame(f'{name}_{i}')[:size, :size]) for i in range(count)]


def stacked(name: str, count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.stack(crops(name, count, size)))


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    templates = stacked('template', 2 * batch, TEMPLATE).unflatten(0, (batch, 2))
    return templates, stacked('search', batch, SEARCH)


@pytest.mark.parametrize(('gamma', 'fade'), [(1, 'residual'), (0.4, 'residual'), (0.4, 'branches')])
@pytest.mark.parametrize('layer', [1, 2])
def test_the_last_block_does_no_more_than_is_read(model, gamma, fade, layer):
    backbone = copy.deepcopy(model.backbone)
    backbone.blocks[layer].gamma, backbone.blocks[layer].fade = gamma, fade
    templates, search = (torch.randn(2, *shape) for shape in ((2, 3, 32, 32), (3, 64, 64)))
    cache = backbone.encode_template(templates)
    whole = backbone.encode_search(search, cache)
    few = backbone.encode_search(search, cache, tokens_only=True)
    assert few.search is None
    torch.testing.assert_close(few.tokens, whole.tokens, rtol=1e-4, atol=2e-5)


def test_a_last_block_that_is_gone_passes_its_tokens_on_bit_for_bit(model):
    backbone = copy.deepcopy(model.backbone)
    backbone.blocks[-1].gamma = 0
    search = torch.randn(1, 3, 64, 64)
    cache = backbone.encode_template(torch.randn(1, 1, 3, 32, 32))
    few = backbone.encode_search(search, cache, tokens_only=True)
    assert torch.equal(few.tokens, backbone.encode_search(search, cache).tokens)


def test_the_last_block_can_be_trained_through(model):
    """The gradients of what is left out are those of what is done."""
    search, gradients = torch.randn(1, 3, 64, 64), []
    for tokens_only in (False, True):
        backbone = copy.deepcopy(model.backbone)
        cache = backbone.encode_template(torch.ones(1, 1, 3, 32, 32))
        tokens = backbone.encode_search(search, cache, tokens_only=tokens_only).tokens
        tokens.square().mean().backward()
        gradients.append(backbone.blocks[-1].attn.qkv.weight.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_what_the_search_tokens_are_needed_for_is_refused(model):
    backbone = model.backbone
    cache = backbone.encode_template(torch.zeros(1, 1, 3, 32, 32))
    with pytest.raises(ValueError, match='which out_layers and a backbone with'):
        backbone.encode_search(torch.zeros(1, 3, 64, 64), cache, out_layers=True, tokens_only=True)


def test_a_frozen_network_reads_raw_crops_and_gives_the_same(model):
    view = InferenceNetwork.of(model)
    frozen = view.frozen()
    assert frozen.scaled and not view.scaled
    templates, search = inputs()
    with torch.no_grad():
        first = view.predict(search, view.encode_templates(templates))
        second = frozen.predict(search, frozen.encode_templates(templates))
    torch.testing.assert_close(first.boxes, second.boxes, rtol=0, atol=1e-5)
    torch.testing.assert_close(first.score_logits, second.score_logits, rtol=1e-4, atol=1e-4)


def test_a_view_follows_its_model_and_a_frozen_copy_does_not():
    model = lively_tracker()
    view = InferenceNetwork.of(model)
    frozen = view.frozen()
    templates, search = inputs()

    def box(network: InferenceNetwork) -> torch.Tensor:
        return network.predict(search, network.encode_templates(templates)).boxes

    with torch.no_grad():
        before = box(view), box(frozen)
        model.backbone.patch_embed.weight.mul_(-1)
        after = box(view), box(frozen)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not any(p.requires_grad for p in frozen.parameters())
    assert model.backbone.patch_embed.weight.requires_grad


def test_copies_have_no_batch_norm():
    torch.manual_seed(0)
    teacher = MODELS.build(Config.fromfile(BASES / 'models' / 'mixvit-micro.py').model).eval()
    norms = [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
    network = InferenceNetwork.of(teacher)
    frozen = network.frozen()
    assert norms and not any(isinstance(m, torch.nn.BatchNorm2d) for m in frozen.modules())
    side = network.template_size
    templates = stacked('template', 2, side)[None]
    search = stacked('search', 1, network.search_size)
    with torch.inference_mode():
        one, other = (n.predict(search, n.encode_templates(templates)) for n in (network, frozen))
    torch.testing.assert_close(other.edge_logits, one.edge_logits, rtol=1e-5, atol=2e-5)


def test_16_bits_keep_the_sums_and_the_heads_in_32(model):
    network = InferenceNetwork.of(model).frozen('bfloat16')
    assert network.model.backbone.blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    assert network.model.box_head.mlps[0].fc1.weight.dtype == torch.float32
    templates, search = inputs()
    with torch.inference_mode():
        cache = network.encode_templates(templates)
        prediction = network.predict(search, cache)
    assert cache.keys[0].dtype == torch.bfloat16
    assert prediction.boxes.dtype == prediction.edge_logits.dtype == torch.float32


def test_a_cpu_without_instructions_for_a_type_is_named(model, monkeypatch):
    monkeypatch.setattr(
        torch.cpu, 'get_capabilities', lambda: {'avx512_bf16': False}, raising=False
    )
    with pytest.warns(RuntimeWarning, match="no instructions for bfloat16 .* use dtype='float32'"):
        InferenceNetwork.of(model).frozen('bfloat16')
    with pytest.raises(ValueError, match='dtype is .int8., .* tools/deployment/export.py'):
        InferenceNetwork.of(model).frozen('int8')


def test_one_crop_in_every_place_is_encoded_once(model, monkeypatch):
    predictor, seen = TorchPredictor(InferenceNetwork.of(model)), []
    one, search = crops('template', 1, TEMPLATE)[0], crops('search', 1, SEARCH)[0]
    encode = predictor.network.encode_templates

    def watched(stack: torch.Tensor):
        seen.append(tuple(stack.shape[:2]))
        return encode(stack)

    monkeypatch.setattr(predictor.network, 'encode_templates', watched)
    same = predictor.predict(search, predictor.encode_templates([one, one]))
    copied = predictor.predict(search, predictor.encode_templates([one, one.copy()]))
    assert seen == [(1, 1), (1, 2)]
    np.testing.assert_allclose(same[0], copied[0], rtol=0, atol=1e-6)
    assert same[1] == pytest.approx(copied[1], abs=1e-6)


def test_a_cache_of_another_model_is_refused(model):
    network = InferenceNetwork.of(model)
    predictors = [
        model.loop.predictor,
        lively_tracker(depth=2).loop.predictor,
        DevicePredictor(network.frozen()),
        DevicePredictor(network),
        DevicePredictor(network.frozen()),
    ]
    templates, search = crops('template', 2, TEMPLATE), crops('search', 1, SEARCH)[0]
    caches = [predictor.encode_templates(templates) for predictor in predictors]
    for i, predictor in enumerate(predictors):
        predictor.predict(search, caches[i])
        for other in caches[:i] + caches[i + 1 :]:
            with pytest.raises(CacheMismatch, match='begin the sequence again with init'):
                predictor.predict(search, other)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_frozen_copy_is_not_frozen_again(model, dtype):
    frozen = InferenceNetwork.of(model).frozen(dtype)
    with pytest.raises(ValueError, match='frozen already, in .*; freeze a view of the model'):
        frozen.frozen()


def test_a_batch_that_comes_again_is_joined_once(model):
    predictor = TorchPredictor(InferenceNetwork.of(model))
    templates, search = crops('template', 4, TEMPLATE), crops('search', 2, SEARCH)
    caches = predictor.encode_templates_batch([templates[:2], templates[2:]])
    joined = predictor._join(caches)
    first = predictor.predict_batch(search, caches)
    assert predictor._join(caches) is joined
    swapped = predictor.predict_batch(search[::-1], caches[::-1])[::-1]
    for (box, score, _), (other_box, other_score, _) in zip(first, swapped):
        np.testing.assert_allclose(box, other_box, rtol=0, atol=1e-6)
        assert score == pytest.approx(other_score, abs=1e-6)


def test_a_model_that_has_tracked_can_be_copied_and_pickled(model):
    predictor = model.loop.predictor
    templates, search = crops('template', 2, TEMPLATE), crops('search', 2, SEARCH)
    predictor.predict_batch(search, predictor.encode_templates_batch([templates] * 2))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.loop.predictor.network.model is twin
        again = twin.loop.predictor
        ours = predictor.predict(search[0], predictor.encode_templates(templates))
        np.testing.assert_array_equal(
            again.predict(search[0], again.encode_templates(templates))[0], ours[0]
        )
