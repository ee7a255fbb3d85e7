"""The CvT of MixFormer: cached as joint, sizes as published, frozen batch norms."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import fuse_conv_bn
from torch import Tensor, nn

from mmtrack_mixformerv2.models import CornerHead, MixCvT, ScorePredictionModule
from mmtrack_mixformerv2.structures import TemplateCache

TINY = dict(
    search_size=64,
    template_size=32,
    stage_dims=(8, 16, 24),
    num_heads=(1, 2, 3),
    depths=(1, 2, 2),
    mlp_ratio=2.0,
)
# Of the pre-trained classifier, which published counts include: a norm and 1000 classes.
IDLE = {'base': 2 * 384 + 385 * 1000, 'large': 2 * 1024 + 1025 * 1000}
LARGE = dict(
    stage_dims=(192, 768, 1024),
    num_heads=(3, 12, 16),
    depths=(2, 2, 12),
    drop_path_rates=(0.0, 0.0, 0.3),
)


@pytest.fixture
def backbone() -> MixCvT:
    torch.manual_seed(0)
    backbone = MixCvT(**TINY).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    backbone.keep_template_output = True
    return backbone


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    templates = torch.randn(2, 3, 3, 32, 32, generator=generator)
    return templates, torch.randn(2, 3, 64, 64, generator=generator)


def joint_forward(backbone: MixCvT, images: list[Tensor]) -> list[Tensor]:
    """Final tokens of templates and, last, search region: one sequence, and a mask (section 3.1).

    Everything is computed for everything, and the search region is hidden from the templates.
    """
    for stage in backbone.stages:
        embedded = [stage.embed(one) for one in images]
        tokens = [stage.norm(one.flatten(2).mT) for one in embedded]
        x, lengths = torch.cat(tokens, dim=1), [one.shape[1] for one in tokens]
        sides = [one.shape[2:] for one in embedded]
        for block in stage.blocks:
            x = x + joint_attention(block.attn, block.norm1(x), lengths, sides)
            hidden = block.fc1(block.norm2(x))
            x = x + block.fc2(hidden * torch.sigmoid(1.702 * hidden))
        images = [one.mT.unflatten(2, side) for one, side in zip(x.split(lengths, dim=1), sides)]
    return [one.flatten(2).mT for one in images]


def joint_attention(attn: nn.Module, x: Tensor, lengths: list[int], sides: list) -> Tensor:
    maps = [one.mT.unflatten(2, side) for one, side in zip(x.split(lengths, dim=1), sides)]
    projected = []
    for part in (attn.query, attn.key, attn.value):
        tokens = [part.bn(part.conv(one)).flatten(2).mT for one in maps]
        every = part.linear(torch.cat(tokens, dim=1))
        projected.append(every.unflatten(2, (attn.num_heads, -1)).transpose(1, 2))
    query, key, value = projected
    logits = query @ key.mT * x.shape[2] ** -0.5
    searching, sought = lengths[-1], tokens[-1].shape[1]
    logits[:, :, :-searching, -sought:] = -torch.inf
    return attn.proj((logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))


@pytest.mark.parametrize('count', [1, 2, 3])
@torch.inference_mode()
def test_cached_equals_joint(backbone, inputs, count):
    templates, search = inputs[0][:, :count], inputs[1]
    features = backbone(templates, search)
    *seen, expected = joint_forward(backbone, [*templates.unbind(1), search])
    torch.testing.assert_close(features.search, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(features.template, seen[0], atol=2e-5, rtol=1e-5)
    assert features.tokens is None and features.layers is None


@torch.inference_mode()
def test_caches_are_packed_joined_and_repeated(backbone, inputs):
    templates, search = inputs
    cache = backbone.encode_template(templates)
    assert [tuple(key.shape) for key in cache.keys] == [
        (2, 1, 3 * 16, 8),
        *[(2, 2, 3 * 4, 8)] * 2,
        *[(2, 3, 3 * 1, 8)] * 2,
    ]
    expected = backbone.encode_search(search, cache)
    for other in (TemplateCache.unpack(cache.pack()), TemplateCache.join(cache.split())):
        again = backbone.encode_search(search, other)
        assert torch.equal(again.search, expected.search)
        assert torch.equal(again.template, expected.template)
    copies = backbone.encode_template(templates[:, :1].expand(-1, 3, -1, -1, -1))
    repeated = backbone.encode_template(templates[:, :1]).repeat(3)
    torch.testing.assert_close(copies.pack(), repeated.pack(), atol=1e-5, rtol=1e-5)


def test_without_a_reader_the_last_block_of_the_templates_stops_early(backbone, inputs):
    templates, search = inputs
    expected = backbone(templates, search)
    backbone.keep_template_output = False
    features = backbone(templates, search)
    assert torch.equal(features.search, expected.search) and features.template is None
    loss = features.search.square().mean()
    loss.backward()  # in evaluation mode, where nothing is left out at random
    unused = {name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None}
    assert not unused


def test_parameters_are_as_many_as_published():
    """Section 1.5 of the facts about MixFormer (CvT) that this package was written from."""
    with torch.device('meta'):
        backbone, large = MixCvT(), MixCvT(**LARGE)
        score = ScorePredictionModule(in_channels=384, num_heads=6)
        heads = [CornerHead(in_channels=c, channels=384, design='plain') for c in (384, 1024)]
    base, large, score, *heads = map(trained, (backbone, large, score, *heads))
    assert base + IDLE['base'] == 31_580_456
    assert score == 1_481_473
    assert base + IDLE['base'] + heads[0] == 35_980_906  # the first stage
    assert large + IDLE['large'] + heads[1] == 184_894_122
    # The port counts scale and shift of the 63 batch norms.
    assert sum(p.numel() for p in backbone.parameters()) + IDLE['base'] == 31_622_312


def trained(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_batch_norms_stay_as_they_are_in_training(backbone, inputs):
    backbone.train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [{name: value.clone() for name, value in norm.state_dict().items()} for norm in norms]
    backbone(*inputs).search.sum().backward()
    assert backbone.stages[0].training and not any(norm.training for norm in norms)
    for norm, kept in zip(norms, before):
        assert norm.weight.grad is None and norm.bias.grad is None
        assert all(torch.equal(value, kept[name]) for name, value in norm.state_dict().items())


def test_drop_path_rises_in_the_last_stage():
    with torch.device('meta'):
        backbone = MixCvT()
    rates = [block.drop_path.drop_prob for stage in backbone.stages for block in stage.blocks]
    assert rates[:5] == [0] * 5
    assert rates[5:] == pytest.approx([0.1 * i / 15 for i in range(16)])


@torch.inference_mode()
def test_the_frozen_copy_has_no_batch_norm_and_the_same_output(backbone, inputs):
    expected = backbone(*inputs)
    fused = fuse_conv_bn(copy.deepcopy(backbone))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    torch.testing.assert_close(fused(*inputs).search, expected.search, atol=2e-5, rtol=1e-5)


def test_activations():
    block = MixCvT(**TINY).stages[0].blocks[0]
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    hidden = block.fc1(x)
    expected = block.fc2(hidden * torch.sigmoid(1.702 * hidden))
    torch.testing.assert_close(block._mlp(x), expected)
    exact = MixCvT(**TINY, act_cfg=dict(type='GELU')).stages[0].blocks[0]
    exact.load_state_dict(block.state_dict())
    torch.testing.assert_close(exact._mlp(x), exact.fc2(F.gelu(exact.fc1(x))))
    assert (exact._mlp(x) - expected).abs().max() > 1e-4


def test_what_does_not_fit_is_named(backbone, inputs):
    templates, search = inputs
    cache = backbone.encode_template(templates)
    with pytest.raises(ValueError, match='template is 3x64x64, expected 3x32x32'):
        backbone.encode_template(search[:, None])
    with pytest.raises(ValueError, match='search is 3x32x32, expected 3x64x64'):
        backbone.encode_search(templates[:, 0], cache)
    with pytest.raises(ValueError, match='MixCvT has no layers of one width'):
        backbone.encode_template(templates, out_layers=True)
    with pytest.raises(ValueError, match='tokens_only leaves the search tokens out'):
        backbone.encode_search(search, cache, tokens_only=True)
    with pytest.raises(ValueError, match=r'\(1, 1, 8\).*expected.*\(2, 1, 8\).*this very backbone'):
        backbone.encode_search(search, cache.split()[0])
    with pytest.raises(ValueError, match="'depths': 2.*one entry per stage"):
        MixCvT(**{**TINY, 'depths': (1, 2)})
    with pytest.raises(ValueError, match='a stage of width 8 has 3 heads'):
        MixCvT(**{**TINY, 'num_heads': (3, 2, 3)})
    with pytest.raises(ValueError, match='search_size=72 and .* must be multiples of 16'):
        MixCvT(**{**TINY, 'search_size': 72})
