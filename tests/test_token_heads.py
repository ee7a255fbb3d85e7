"""Heads on planted tokens, and every design of the paper's Tables 3a and 8a."""

from __future__ import annotations

import pytest
import torch

from mmtrack_mixformerv2.models import TokenDistributionHead, TokenScoreHead
from mmtrack_mixformerv2.models.heads.token_heads import expected_edges
from mmtrack_mixformerv2.structures import Features


def features(tokens: int = 4, dims: int = 8, batch: int = 3) -> Features:
    generator = torch.Generator().manual_seed(0)
    return Features(
        torch.zeros(batch, 4, dims), torch.randn(batch, tokens, dims, generator=generator)
    )


def test_edges_are_expectations_over_the_left_borders_of_bins():
    logits = torch.full((1, 4, 10), -40.0)
    for edge, value in enumerate([2, 3, 7, 9]):
        logits[0, edge, value] = 40.0
    torch.testing.assert_close(expected_edges(logits), torch.tensor([[0.2, 0.3, 0.7, 0.9]]))
    uniform = expected_edges(torch.zeros(1, 4, 10))
    torch.testing.assert_close(uniform, torch.full((1, 4), 0.45))


def test_edges_are_not_rounded_by_low_precision():
    logits = torch.randn(2, 4, 96)
    exact = expected_edges(logits.bfloat16().double())
    torch.testing.assert_close(expected_edges(logits.bfloat16()).double(), exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize('num_tokens, mlps', sorted(TokenDistributionHead.DESIGNS))
def test_designs(num_tokens, mlps):
    torch.manual_seed(0)
    head = TokenDistributionHead(in_channels=8, num_bins=12, num_tokens=num_tokens, mlps=mlps)
    assert len(head.mlps) == (4 if mlps == 'per_edge' else 1)
    prediction = head(features(num_tokens))
    assert prediction.boxes.shape == (3, 4)
    assert prediction.score_logits is None
    if mlps == 'box':
        assert prediction.edge_logits is None
        assert (prediction.boxes[:, 2:] > prediction.boxes[:, :2]).all()  # sizes are sigmoids
    else:
        assert prediction.edge_logits.shape == (3, 4, 12)
        torch.testing.assert_close(prediction.boxes, expected_edges(prediction.edge_logits))
    prediction.boxes.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize('num_tokens, mlps', sorted(TokenDistributionHead.DESIGNS))
def test_designs_can_learn_any_box(num_tokens, mlps):
    """Sixteen boxes by heart; the direct design needs all four degrees of freedom."""
    torch.manual_seed(0)
    head = TokenDistributionHead(in_channels=32, num_bins=16, num_tokens=num_tokens, mlps=mlps)
    given = features(num_tokens, dims=32, batch=16)
    low, size = torch.rand(16, 2) * 0.4 + 0.05, torch.rand(16, 2) * 0.4 + 0.05
    boxes = torch.cat([low, low + size], dim=1)
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    for _ in range(400):
        loss = (head(given).boxes - boxes).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.015


def test_each_edge_has_its_own_token_and_mlp():
    torch.manual_seed(0)
    for mlps in ('shared', 'per_edge'):
        head = TokenDistributionHead(in_channels=8, num_bins=12, mlps=mlps)
        given = features()
        base = head(given).edge_logits
        changed = given.tokens.clone()
        changed[:, 2] += torch.linspace(-1, 1, 8)
        moved = (head(Features(given.search, changed)).edge_logits - base).abs().amax(dim=(0, 2))
        assert moved[2] > 0.01
        assert moved[[0, 1, 3]].max() == 0
    torch.testing.assert_close(head.mlps[3](given.tokens[:, 3]), base[:, 3])


def test_impossible_designs_and_wrong_tokens_are_refused():
    with pytest.raises(ValueError, match=r"num_tokens=1 with mlps='shared'"):
        TokenDistributionHead(in_channels=8, num_tokens=1)
    with pytest.raises(ValueError, match='brings 1 prediction tokens, this head reads 4'):
        TokenDistributionHead(in_channels=8)(features(1))
    with pytest.raises(ValueError, match="order is 'mean', expected one of"):
        TokenScoreHead(in_channels=8, order='mean')


def test_the_orders_of_the_score_differ_by_the_relu_between():
    torch.manual_seed(0)
    logits, tokens = (TokenScoreHead(in_channels=8, order=order) for order in TokenScoreHead.ORDERS)
    tokens.load_state_dict(logits.state_dict())
    given = features()
    per_token = [logits(Features(given.search, given.tokens[:, i : i + 1])) for i in range(4)]
    torch.testing.assert_close(logits(given), torch.stack(per_token).mean(dim=0))
    mean = Features(given.search, given.tokens.mean(dim=1, keepdim=True))
    torch.testing.assert_close(tokens(given), logits(mean))
    assert not torch.allclose(tokens(given), logits(given), atol=1e-4)
    assert logits(given).shape == (3,)
