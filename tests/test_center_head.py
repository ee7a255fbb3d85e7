"""The centre head of MVT and FERMT, the heat maps it learns and the loss on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmtrack.registry import MODELS
from test_corner_head import features_of

from mmtrack_mixformerv2.models import CenterFocalLoss, CenterHead
from mmtrack_mixformerv2.models.heads.center_head import hann_window
from mmtrack_mixformerv2.models.losses.center_losses import gaussian_heatmaps
from mmtrack_mixformerv2.structures import Features


def small_head(**settings) -> CenterHead:
    """A head whose maps are far from flat."""
    torch.manual_seed(0)
    head = CenterHead(in_channels=12, channels=16, **settings).eval()
    for tower in (head.score, head.size, head.offset):
        tower.predict.weight.data.mul_(20)
    return head


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(1)
    return features_of(3 * torch.randn(3, 12, 5, 5, generator=generator))


@pytest.mark.parametrize('window', [False, True])
@torch.inference_mode()
def test_box_is_that_of_the_best_cell(features, window):
    head = small_head()
    maps = {name: value.double().numpy() for name, value in head.maps(features).items()}
    prediction = head(features, window=window)
    cosine = np.hanning(7)[1:-1]
    weights = np.outer(cosine, cosine) if window else np.ones((5, 5))
    chosen = []
    for i, box in enumerate(prediction.boxes.tolist()):
        response = weights * maps['score'][i, 0]
        row, column = np.unravel_index(response.argmax(), response.shape)
        x, y = (maps['offset'][i, :, row, column] + (column, row)) / 5
        w, h = maps['size'][i, :, row, column]
        assert box == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], abs=1e-6)
        score = prediction.score_logits[i].sigmoid().item()
        assert score == pytest.approx(maps['score'][i, 0, row, column], abs=1e-6)
        chosen.append((row, column))
    assert len(set(chosen)) > 1  # they are not all in one place
    assert torch.equal(prediction.score_map, head.maps(features)['score'][:, 0])
    assert prediction.edge_logits is None


def test_the_window_moves_the_choice_to_the_middle_and_can_be_left_out(features):
    plain, moved = (small_head()(features, window=window) for window in (False, True))
    assert torch.equal(plain.score_map, moved.score_map)
    assert (moved.score_logits <= plain.score_logits).all()
    assert (moved.score_logits < plain.score_logits).any()
    without = small_head(window=None)(features, window=True)
    assert torch.equal(without.boxes, plain.boxes)
    window = hann_window(16)
    assert torch.equal(window, window.T) and window.min() > 0
    assert torch.allclose(window, window.flip(0), rtol=0, atol=1e-6)
    assert window[7, 8] == window.max() and 0.98 < window.max() < 1


def test_scores_and_sizes_stay_inside():
    head = small_head()
    head.score.predict.weight.data.mul_(1e4)
    extreme = head.maps(features_of(torch.randn(2, 12, 4, 4)))
    assert extreme['score'].min() == 1e-4 and extreme['score'].max() == 1 - 1e-4
    logits = head(features_of(torch.randn(2, 12, 4, 4))).score_logits
    assert torch.allclose(logits.sigmoid(), torch.tensor(1 - 1e-4), rtol=0, atol=1e-6)


def test_half_precision_features_give_float32_boxes(features):
    head = small_head().bfloat16()
    low = Features(features.search.bfloat16())
    assert {value.dtype for value in head.maps(low).values()} == {torch.float32}
    prediction = head(low, window=True)
    assert prediction.boxes.dtype == prediction.score_map.dtype == torch.float32


def test_boxes_train_size_and_offset_and_the_map_trains_the_score(features):
    torch.manual_seed(0)
    head = CenterHead(in_channels=12, channels=32).train()
    prediction = head(features)
    losses = {('size', 'offset'): prediction.boxes, ('score',): prediction.score_map}
    for trained, output in losses.items():
        head.zero_grad()
        output.square().sum().backward(retain_graph=True)
        for name in ('score', 'size', 'offset'):
            kernels = [p.grad for p in getattr(head, name).parameters() if p.ndim == 4]
            moved = [grad is not None and bool(grad.any()) for grad in kernels]
            assert moved == [name in trained] * 5, name


def test_wrong_settings_are_refused():
    for channels in (0, 12):
        with pytest.raises(ValueError, match=f'channels is {channels}, expected a positive mult'):
            CenterHead(in_channels=12, channels=channels)
    with pytest.raises(ValueError, match="window is 'cosine', expected 'hann' or None"):
        CenterHead(in_channels=12, window='cosine')
    for positive in ('peaks', 1.0, -0.1):
        with pytest.raises(ValueError, match="positive is .*, expected 'peak' or a number"):
            CenterFocalLoss(positive=positive)


@pytest.mark.parametrize(('in_channels', 'parameters'), [(256, 2_935_173), (192, 2_492_805)])
def test_published_number_of_parameters(in_channels, parameters):
    """Reference: the heads of MVT and of FERMT."""
    with torch.device('meta'):
        head = MODELS.build(dict(type='CenterHead', in_channels=in_channels))
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


# ---- heat maps and loss ------------------------------------------------------------------------


def drawn_heatmap(box: list[float], grid: int) -> np.ndarray:
    """The rule, cell by cell in double precision."""
    x1, y1, x2, y2 = (grid * edge for edge in box)
    w, h, tau = x2 - x1, y2 - y1, 0.7
    s, p = w + h, w * h
    roots = (
        (s + math.sqrt(s * s - 4 * p * (1 - tau) / (1 + tau))) / 2,
        (2 * s + math.sqrt(4 * s * s - 16 * (1 - tau) * p)) / 2,
        (-2 * tau * s + math.sqrt(4 * tau**2 * s * s + 16 * tau * (1 - tau) * p)) / 2,
    )
    radius = int(max(0, min(roots)))
    sigma, cx, cy = (2 * radius + 1) / 6, round((x1 + x2) / 2), round((y1 + y2) / 2)
    heat = np.zeros((grid, grid))
    for row in range(max(0, cy - radius), min(grid, cy + radius + 1)):
        for column in range(max(0, cx - radius), min(grid, cx + radius + 1)):
            squared = (row - cy) ** 2 + (column - cx) ** 2
            heat[row, column] = math.exp(-squared / (2 * sigma**2))
    return heat


BOXES = [
    [0.2, 0.3, 0.7, 0.9],
    [-0.4, 0.1, 0.6, 1.5],  # half outside
    [0.8, 0.8, 1.3, 1.25],  # centre outside, its Gaussian reaches in
    [2.0, 2.0, 2.1, 2.1],  # nothing of it
    [0.43, 0.5, 0.46, 0.51],  # radius 0
]


def test_heatmaps_follow_the_rule():
    maps = gaussian_heatmaps(torch.tensor(BOXES), 16)
    assert maps.dtype == torch.float32
    for heat, box in zip(maps, BOXES):
        assert np.allclose(heat, drawn_heatmap(box, 16), rtol=0, atol=1e-6)
    assert [heat.max().item() == 1 for heat in maps] == [True, True, False, False, True]
    assert maps[2].any() and not maps[3].any() and maps[4].count_nonzero() == 1


def test_a_centre_between_two_cells_goes_to_the_even_one():
    centres = torch.tensor([2.5, 3.5]) / 8
    boxes = torch.stack([centres, centres, centres, centres], dim=1)
    boxes += torch.tensor([-0.01, -0.01, 0.01, 0.01])
    peaks = gaussian_heatmaps(boxes, 8).flatten(1).argmax(dim=1).tolist()
    assert peaks == [2 * 8 + 2, 4 * 8 + 4]


@pytest.mark.parametrize(('positive', 'boxes'), [('peak', BOXES), (0.1, BOXES), (0.1, BOXES[3:4])])
def test_focal_loss_follows_the_rule(positive, boxes):
    targets = torch.tensor(boxes)
    scores = torch.rand(len(boxes), 16, 16, generator=torch.Generator().manual_seed(2))
    scores = scores.clamp(1e-4, 1 - 1e-4).requires_grad_()
    loss = CenterFocalLoss(loss_weight=3.0, positive=positive)(scores, targets)
    total = count = 0.0
    for score, box in zip(scores.tolist(), boxes):
        heat = drawn_heatmap(box, 16).astype(np.float32)
        for p, t in zip(np.ravel(score), np.ravel(heat)):
            if t == 1 if positive == 'peak' else t > positive:
                total, count = total - math.log(p) * (1 - p) ** 2, count + 1
            elif t < (1 if positive == 'peak' else positive):
                total -= math.log(1 - p) * p**2 * (1 - t) ** 4
    assert loss.item() == pytest.approx(3 * total / max(count, 1), rel=1e-5)
    loss.backward()
    assert scores.grad.isfinite().all() and scores.grad.any()
