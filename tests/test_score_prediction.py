"""Precise RoI pooling against brute force, and the score prediction module against its formula."""

from __future__ import annotations

import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmtrack_mixformerv2.models import ScorePredictionModule
from mmtrack_mixformerv2.models.heads import prroi_pool as pooling
from mmtrack_mixformerv2.models.heads.prroi_pool import bin_weights, prroi_pool
from mmtrack_mixformerv2.structures import Features

BOXES = torch.tensor(
    [
        [1.3, 0.4, 4.1, 3.9],  # inside
        [-1.5, 2.0, 3.25, 9.0],  # reaches over the border, where the map is zero
        [2.0, 2.0, 2.5, 2.25],  # within one cell
        [-4.0, -4.0, 12.0, 12.0],  # larger than the map
    ]
)


@pytest.fixture
def maps() -> Tensor:
    return torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def brute_force(maps: Tensor, boxes: Tensor, size: int, samples: int = 400) -> Tensor:
    """Means over a dense grid of samples of the map, interpolated with zeros around it."""
    padded = F.pad(maps.double(), (1, 1, 1, 1))
    height, width = padded.shape[2:]
    pooled = []
    for image, (x0, y0, x1, y1) in zip(padded, boxes.double()):
        steps = (torch.arange(size * samples, dtype=torch.float64) + 0.5) / (size * samples)
        x, y = x0 + (x1 - x0) * steps + 1, y0 + (y1 - y0) * steps + 1  # in padded cells
        y, x = torch.meshgrid(y, x, indexing='ij')
        grid = torch.stack([x * 2 / (width - 1) - 1, y * 2 / (height - 1) - 1], dim=-1)
        sampled = F.grid_sample(image[None], grid[None], align_corners=True)
        pooled.append(F.avg_pool2d(sampled, samples)[0])
    return torch.stack(pooled)


def test_pooling_is_the_integral_of_the_interpolated_map(maps):
    expected = brute_force(maps, BOXES, size=4)
    torch.testing.assert_close(prroi_pool(maps, BOXES, 4).double(), expected, atol=1e-4, rtol=0)


def test_pooling_is_exact_where_the_map_is_linear():
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing='ij')
    maps = torch.stack([torch.ones(20, 20), rows, columns])[None]
    box = torch.tensor([[2.5, 3.0, 10.5, 15.0]])
    ones, y, x = prroi_pool(maps, box, 4)[0]
    torch.testing.assert_close(ones, torch.ones(4, 4))
    torch.testing.assert_close(y, torch.tensor([4.5, 7.5, 10.5, 13.5])[:, None].expand(4, 4))
    torch.testing.assert_close(x, torch.tensor([3.5, 5.5, 7.5, 9.5]).expand(4, 4))


@pytest.mark.parametrize('width', [1e-2, 1e-4, 1e-5])
def test_narrow_bins_keep_their_precision(width):
    start = torch.tensor([17.0])
    weights = bin_weights(start, start + width, 1, 20)
    assert weights.sum().item() == pytest.approx(1, abs=1e-6)
    assert weights[0, 0, 17].item() == pytest.approx(1 - width / 2, abs=1e-5)


def test_boxes_without_area_give_zeros(maps):
    boxes = torch.tensor([[3.0, 3.0, 1.0, 1.0], [1.0, 1.0, 1.0, 3.0], [2, 3, 4, 1], [9, 9, 12, 12]])
    assert not prroi_pool(maps, boxes, 4).any()


def test_pooling_has_gradients_for_map_and_box():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 2, 4, 5, dtype=torch.float64, generator=generator).requires_grad_()
    boxes = (BOXES[:2].double() + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, b: prroi_pool(m, b, 2), (maps, boxes))
    flat = torch.tensor([[1.0, 1, 1, 1], [3, 3, 1, 1]], requires_grad=True)
    prroi_pool(maps.float(), flat, 2).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_mmcv_lite_has_no_operator_and_an_operator_is_for_cuda_only(maps, monkeypatch):
    def never(*args):
        raise AssertionError('mmcv has no kernel for the CPU')

    expected = prroi_pool(maps, BOXES, 4)
    module = types.ModuleType('mmcv.ops.prroi_pool')
    module.prroi_pool = never
    monkeypatch.setitem(sys.modules, 'mmcv.ops', types.ModuleType('mmcv.ops'))
    monkeypatch.setitem(sys.modules, 'mmcv.ops.prroi_pool', module)
    find = pooling._compiled_operator.__wrapped__
    assert find() is never
    assert torch.equal(prroi_pool(maps, BOXES, 4), expected)
    monkeypatch.setitem(sys.modules, 'mmcv.ops.prroi_pool', None)  # as importing does in mmcv-lite
    assert find() is None


# ---- the module --------------------------------------------------------------------------------


@pytest.fixture
def head() -> ScorePredictionModule:
    torch.manual_seed(0)
    head = ScorePredictionModule(in_channels=12, num_heads=3).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(1)
    search, template = (torch.randn(4, n, 12, generator=generator) for n in (25, 9))
    return Features(search, template=template)


def formula(head: ScorePredictionModule, features: Features, boxes: Tensor) -> Tensor:
    """Keys and values of all tokens of the memory, heads of four channels."""
    maps = features.search.mT.unflatten(2, (5, 5))
    token = head.norm(head.score_token).expand(4, 1, 12)
    pooled = prroi_pool(maps, boxes * 5, 4).flatten(2).mT
    for reader, memory in ((head.read_box, pooled), (head.read_template, features.template)):
        query, key, value = (
            layer(tokens).unflatten(2, (3, 4)).transpose(1, 2)
            for layer, tokens in (
                (reader.query, token),
                (reader.key, memory),
                (reader.value, memory),
            )
        )
        attention = (query @ key.mT * 12**-0.5).softmax(dim=-1)  # of the full width
        token = reader.norm(reader.proj((attention @ value).transpose(1, 2).flatten(2)))
    return head.fc3(head.fc2(head.fc1(token[:, 0]).relu()).relu())[:, 0]


def test_the_logit_follows_the_formula(head, features):
    boxes = BOXES / 5
    logits = head(features, boxes)
    assert logits.shape == (4,)
    torch.testing.assert_close(logits, formula(head, features, boxes), atol=1e-5, rtol=1e-5)
    moved = head(features, boxes + 0.2)
    assert (logits - moved).abs().min() > 1e-4  # it looks at the box


def test_every_parameter_learns_from_true_boxes(head, features):
    logits = head(features, BOXES / 5)
    F.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0, 1.0, 0.0])).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    constant = [name for name, p in head.named_parameters() if not p.grad.abs().max() > 1e-6]
    # A softmax does not change with a shift of all its logits.
    assert constant == ['read_box.key.bias', 'read_template.key.bias']


def test_missing_inputs_and_heads_that_do_not_divide_are_named(head, features):
    with pytest.raises(ValueError, match='got no boxes'):
        head(features)
    with pytest.raises(ValueError, match='keep_template_output=True'):
        head(Features(features.search), BOXES)
    with pytest.raises(ValueError, match='in_channels=12 must be a multiple of num_heads=5'):
        ScorePredictionModule(in_channels=12, num_heads=5)
