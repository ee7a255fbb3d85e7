"""Losses against the published ones, and where the published ones break."""

from __future__ import annotations

import pytest
import torch
from golden import load, needs_golden
from mmtrack.registry import MODELS

from mmtrack_mixformerv2.models import EdgeCIoULoss, EdgeDistributionLoss
from mmtrack_mixformerv2.models.losses.box_losses import soft_edge_targets

# Pairs of tests/data size, as the published implementation scored them (the golden case e).
PAIRS = torch.tensor(
    [
        [[0.1, 0.1, 0.5, 0.4], [0.15, 0.12, 0.55, 0.38]],
        [[0.2, 0.2, 0.6, 0.6], [0.5, 0.5, 0.9, 0.8]],
        [[0.0, 0.0, 0.2, 0.2], [0.7, 0.7, 0.9, 1.0]],
        [[0.3, 0.1, 0.4, 0.9], [0.1, 0.3, 0.9, 0.5]],
        [[0.4, 0.4, 0.3, 0.6], [0.2, 0.3, 0.5, 0.6]],
        [[0.1, 0.1, 0.9, 0.9], [0.15, 0.1, 0.95, 0.8]],
    ]
)
PUBLISHED_CIOU = torch.tensor([0.32434714, 1.1423748, 1.5814917, 0.9344815, 1.0138888, 0.22590625])


def test_ciou_equals_the_published_one():
    loss = EdgeCIoULoss(inverted='published').per_box(PAIRS[:, 0], PAIRS[:, 1])
    torch.testing.assert_close(loss, PUBLISHED_CIOU, atol=1e-6, rtol=0)


@needs_golden
def test_golden_box_losses():
    arrays = {k: torch.from_numpy(v) for k, v in load('mixformerv2/e_losses.npz').items()}
    boxes, targets = arrays['pairs_a_xyxy'], arrays['pairs_b_xyxy']
    ciou = EdgeCIoULoss(inverted='published')
    torch.testing.assert_close(
        ciou.per_box(boxes, targets), arrays['pairs_ciou_loss'], atol=2e-6, rtol=0
    )
    torch.testing.assert_close(ciou(boxes, targets), arrays['all_ciou_loss'], atol=2e-6, rtol=0)
    l1 = MODELS.build(dict(type='mmdet.L1Loss', loss_weight=1.0))
    each = torch.stack([l1(box[None], target[None]) for box, target in zip(boxes, targets)])
    torch.testing.assert_close(each, arrays['pairs_l1_loss'], atol=2e-6, rtol=0)

    upright = boxes[:5].clone().requires_grad_()
    EdgeCIoULoss()(upright, targets[:5]).backward()
    # Pair 0 is a box against itself, where the gradient is a matter of rounding.
    torch.testing.assert_close(upright.grad[1:], arrays['ciou_grad'][1:], atol=2e-6, rtol=0)

    centre, size = arrays['pred_cxcywh'].split(2, dim=1)
    predicted = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    corner, extent = arrays['gt_xywh'].split(2, dim=1)
    truth = torch.cat([corner, corner + extent], dim=1).clamp(0, 1)
    torch.testing.assert_close(l1(predicted, truth), arrays['stage1_l1'], atol=2e-6, rtol=0)
    torch.testing.assert_close(ciou(predicted, truth), arrays['stage1_ciou'], atol=2e-6, rtol=0)
    both = 2 * ciou(predicted, truth) + 5 * l1(predicted, truth) + 5 * arrays['stage1_kl']
    torch.testing.assert_close(both, arrays['stage1_total'], atol=2e-5, rtol=0)


def test_repel_touches_only_inverted_boxes():
    repel = EdgeCIoULoss().per_box(PAIRS[:, 0], PAIRS[:, 1])
    excess = repel - PUBLISHED_CIOU
    torch.testing.assert_close(
        excess, torch.tensor([0, 0, 0, 0, 0.1, 0]), atol=1e-6, rtol=0
    )  # the fifth is 0.1 wide the wrong way round


@pytest.mark.parametrize(
    'box',
    [
        [0.2, 0.2, 0.6, 0.6],  # the target itself: 0/0 in the published alpha
        [0.3, 0.3, 0.3, 0.3],  # no area
        [0.3, 0.3, 0.3, 0.5],
        [0.3, 0.3, 0.5, 0.3],
        [0.5, 0.5, 0.3, 0.3],  # inverted twice: a positive area
        [0.5, 0.2, 0.3, 0.6],
    ],
)
def test_degenerate_boxes_give_finite_losses_and_gradients(box):
    boxes = torch.tensor([box], requires_grad=True)
    loss = EdgeCIoULoss()(boxes, torch.tensor([[0.2, 0.2, 0.6, 0.6]]))
    loss.backward()
    assert loss.isfinite() and boxes.grad.isfinite().all()


@pytest.mark.parametrize('start', [[0.5] * 4, [0.7, 0.7, 0.3, 0.3], [0.6, 0.2, 0.4, 0.5]])
def test_training_leaves_points_and_inverted_boxes(start):
    """Four free edges, as at the start from scratch, reach the target."""
    edges = torch.tensor([start], requires_grad=True)
    target = torch.tensor([[0.35, 0.4, 0.6, 0.75]])
    l1 = MODELS.build(dict(type='mmdet.L1Loss', loss_weight=5.0))
    ciou = EdgeCIoULoss(loss_weight=2.0)
    optimizer = torch.optim.Adam([edges], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        (l1(edges, target) + ciou(edges, target)).backward()
        optimizer.step()
    torch.testing.assert_close(edges.detach(), target, atol=0.05, rtol=0)


def test_soft_targets_keep_the_edge():
    edges = torch.tensor([[0.25, 0.5, 0.61, 0.8]])
    soft = soft_edge_targets(edges, bins=36, sigma=1.0)
    positions = torch.arange(36) / 36
    torch.testing.assert_close(soft.sum(-1), torch.ones(1, 4))
    torch.testing.assert_close((soft * positions).sum(-1), edges, atol=2e-3, rtol=0)


def test_distribution_loss_is_least_at_its_target():
    edges = torch.tensor([[0.2, 0.3, 0.6, 0.7]])
    loss = EdgeDistributionLoss(loss_weight=2.0)
    soft = soft_edge_targets(edges, 24, 1.0)
    entropy = -(soft * soft.clamp(min=1e-30).log()).sum(-1).mean()
    torch.testing.assert_close(loss(soft.clamp(min=1e-30).log(), edges), 2 * entropy)
    assert loss(torch.zeros(1, 4, 24), edges) > 2 * entropy + 0.5


def test_unknown_treatment_is_refused():
    with pytest.raises(ValueError, match="inverted is 'skip', expected 'repel' or 'published'"):
        EdgeCIoULoss(inverted='skip')
