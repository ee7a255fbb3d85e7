"""The corner heads of MixViT: maps, marginals, boxes."""

from __future__ import annotations

import pytest
import torch
from mmtrack.registry import MODELS
from published import published_state_dict
from test_parity_mixvit import small_fixture

from mmtrack_mixformerv2.checkpoints import convert_state_dict
from mmtrack_mixformerv2.models.heads.corner_head import CornerHead, marginal_edges
from mmtrack_mixformerv2.structures import Features


def features_of(search: torch.Tensor) -> Features:
    """A map ``(B, C, G, G)`` as the tokens of a backbone without prediction tokens."""
    tokens = search.flatten(2).transpose(1, 2)
    return Features(tokens, tokens[:, :0])


def small_head(design: str = 'pyramid', **settings) -> CornerHead:
    torch.manual_seed(0)
    return CornerHead(in_channels=12, channels=16, design=design, **settings).eval()


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(1)
    return features_of(3 * torch.randn(2, 12, 5, 5, generator=generator))


@pytest.mark.parametrize(('design', 'bins'), [('plain', 5), ('pyramid', 20)])
def test_edges_are_the_marginals_of_the_corner_maps(features, design, bins):
    head = small_head(design)
    logits = 50 * head.corner_logits(features)  # far from uniform
    assert logits.shape == (2, 2, bins, bins)
    edges = marginal_edges(logits)
    assert edges.shape == (2, 4, bins)
    assert torch.allclose(edges.exp().sum(dim=-1), torch.ones(2, 4))
    maps = logits.flatten(2).softmax(dim=-1).view_as(logits)  # [corner][row, column]
    expected = [maps[:, 0].sum(1), maps[:, 0].sum(2), maps[:, 1].sum(1), maps[:, 1].sum(2)]
    assert torch.allclose(edges.exp(), torch.stack(expected, dim=1), atol=1e-6)


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_box_is_the_expectation_over_the_maps(features, design):
    head = small_head(design)
    for branch in (head.top_left, head.bottom_right):
        branch.predict.weight.data.mul_(100)  # far from uniform
    prediction = head(features)
    logits = head.corner_logits(features).double()
    bins = logits.shape[-1]
    maps = logits.flatten(2).softmax(dim=-1).view_as(logits)
    rows, columns = torch.meshgrid(torch.arange(bins), torch.arange(bins), indexing='ij')
    points = [(maps * place / bins).sum(dim=(2, 3)) for place in (columns, rows)]  # (B, 2) x, y
    expected = torch.stack(points, dim=-1).flatten(1)
    assert (expected - expected.mean()).abs().max() > 0.02
    assert torch.allclose(prediction.boxes.double(), expected, atol=1e-6)
    assert torch.equal(prediction.edge_logits, marginal_edges(head.corner_logits(features)))


def test_a_certain_cell_is_the_left_and_upper_border_of_its_bin():
    logits = torch.full((1, 2, 8, 8), -1e4)
    logits[0, 0, 2, 1] = logits[0, 1, 7, 5] = 1e4  # [row, column]
    edges = marginal_edges(logits)
    assert edges.argmax(dim=-1).tolist() == [[1, 2, 5, 7]]
    assert torch.equal(edges.softmax(dim=-1).amax(dim=-1), torch.ones(1, 4))


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_half_precision_maps_give_float32_distributions(features, design):
    head = small_head(design).bfloat16()
    low = Features(features.search.bfloat16(), features.tokens.bfloat16())
    assert head.corner_logits(low).dtype == torch.bfloat16
    prediction = head(low)
    assert prediction.boxes.dtype == prediction.edge_logits.dtype == torch.float32
    total = prediction.edge_logits.exp().sum(dim=-1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
    assert torch.allclose(prediction.boxes, small_head(design)(features).boxes, atol=0.01)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert small_head(design)(features).boxes.dtype == torch.float32


def test_the_two_corners_share_nothing(features):
    head = small_head()
    before = head.corner_logits(features)
    with torch.no_grad():
        head.top_left.predict.bias.add_(1)
        head.top_left.convs[0][0].weight.mul_(2)
    after = head.corner_logits(features)
    assert not torch.equal(after[:, 0], before[:, 0])
    assert torch.equal(after[:, 1], before[:, 1])


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_every_weight_has_a_gradient(features, design):
    head = small_head(design).train()
    head(features).boxes.square().sum().backward()
    for name, parameter in head.named_parameters():
        if not name.endswith('predict.bias'):  # a softmax does not see it
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            if '.map' not in name:  # a ReLU ends these paths, and may stop everything
                assert parameter.grad.any(), name


def test_laterals_to_the_map_only_add(features):
    """Published: they end in a batch norm and a ReLU."""
    branch = small_head().top_left
    image = features.search.transpose(1, 2).unflatten(2, (5, 5))
    with torch.no_grad():
        whole = branch(image)
        for path in (branch.map4, branch.map2):
            path[-1][1].weight.zero_()
            path[-1][1].bias.fill_(-1)
        without = branch(image)
    assert (whole >= without).all() and (whole > without).any()


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="design is 'dense', expected one of .'plain', 'pyramid'"):
        CornerHead(in_channels=12, design='dense')
    for channels in (0, 4, 20):
        with pytest.raises(ValueError, match=f'channels is {channels}, expected a positive mult'):
            CornerHead(in_channels=12, channels=channels)


@pytest.mark.parametrize(
    ('design', 'in_channels', 'parameters', 'normalised'),
    [
        ('plain', 768, 7_051_778, 720),
        ('pyramid', 768, 11_533_446, 1202),
        ('pyramid', 1024, 14_630_022, 1202),
    ],
)
def test_published_number_of_parameters(design, in_channels, parameters, normalised):
    """Reference: MixViT with frozen batch norms, whose scales and shifts are not counted."""
    with torch.device('meta'):
        head = MODELS.build(dict(type='CornerHead', in_channels=in_channels, design=design))
    counted = sum(parameter.numel() for parameter in head.parameters())
    assert counted == parameters + 2 * 2 * normalised  # two values, two branches


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_maps_and_box_equal_the_published_ones(design):
    """Recorded from the published MixViT, width 48: its search features, maps and box."""
    manifest, arrays = small_fixture(design)
    conversion = convert_state_dict(published_state_dict(manifest))
    weights = {
        name.removeprefix('box_head.'): value
        for name, value in conversion.state_dict.items()
        if name.startswith('box_head.')
    }
    head = CornerHead(in_channels=48, channels=32, design=design).eval()
    head.load_state_dict(weights, strict=True)
    features = features_of(torch.from_numpy(arrays['search_feat']))
    for logits, name in zip(head.corner_logits(features)[0], ('tl_logits', 'br_logits')):
        assert torch.allclose(logits, torch.from_numpy(arrays[name]), rtol=0, atol=2e-5)
    boxes = torch.from_numpy(arrays['box_xyxy'])
    assert torch.allclose(head(features).boxes, boxes, rtol=0, atol=2e-5)
