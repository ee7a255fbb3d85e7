"""What a student learns from its teacher: published values, resampling, degenerate input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden import load, make_input, needs_golden
from mmengine.config import Config
from mmtrack.registry import MODELS

from mmtrack_mixformerv2.engine.depth_pruning_hook import fading_rate
from mmtrack_mixformerv2.models import EdgeKLLoss, FeatureMimickingLoss
from mmtrack_mixformerv2.models.heads.corner_head import marginal_edges
from mmtrack_mixformerv2.models.losses.distillation_losses import resample_edges, resize_grid

RECIPES = Path(__file__).resolve().parents[1] / 'configs' / '_base_' / 'distillation'

# Of the published implementation for the drawn inputs (golden case e).
STAGE_1_KL, STAGE_2_KL, STAGE_2_FEATURE = 0.46584105, 0.76995754, 1.98879397
SIDES = 'ltrb'


def published() -> Config:
    return Config.fromfile(RECIPES / 'published.py')


def edge_logits(who: str) -> torch.Tensor:
    return torch.stack([make_input(f'{who}_{side}', (3, 16)) for side in SIDES], dim=1)


def corner_marginals() -> torch.Tensor:
    maps = [make_input(f'teacher_{corner}', (3, 256)).view(3, 16, 16) for corner in ('tl', 'br')]
    return marginal_edges(torch.stack(maps, dim=1))


def distillation_losses(recipe: Config) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """KL of stages 1 and 2 and the feature loss of stage 2, for the drawn inputs."""
    kl = MODELS.build(recipe.dense_to_sparse.loss_kl)
    stage1 = kl(edge_logits('student'), corner_marginals())
    kl = MODELS.build(recipe.deep_to_shallow.loss_kl)
    stage2 = kl(edge_logits('student'), edge_logits('teacher'))
    student = [make_input(f'student_feat_{i}', (3, 28, 48)) for i in (1, 3)]
    teacher = [make_input(f'teacher_feat_{i}', (3, 28, 48)) for i in (2, 5)]
    feature = MODELS.build(recipe.deep_to_shallow.loss_feature)(student, teacher)
    return stage1, stage2, feature


def test_losses_under_the_published_recipe_equal_the_published_ones():
    losses = torch.stack(distillation_losses(published()))
    wanted = torch.tensor([5 * STAGE_1_KL, 5 * STAGE_2_KL, 0.2 * STAGE_2_FEATURE])
    print(f'worst difference {(losses - wanted).abs().max():.2g}')
    torch.testing.assert_close(losses, wanted, atol=2e-6, rtol=0)


def test_losses_under_the_paper_s_recipe_are_sums():
    losses = torch.stack(distillation_losses(Config.fromfile(RECIPES / 'paper.py')))
    wanted = torch.tensor([4 * STAGE_1_KL, 4 * STAGE_2_KL, 0.2 * 2 * STAGE_2_FEATURE])
    torch.testing.assert_close(losses, wanted, atol=2e-6, rtol=0)


@needs_golden
def test_golden_totals_under_the_published_recipe():
    golden = {k: torch.from_numpy(v) for k, v in load('mixformerv2/e_losses.npz').items()}
    recipe = published()
    stage1, stage2, feature = distillation_losses(recipe)
    boxes = [golden[name] for name in ('pred_cxcywh', 'gt_xywh')]
    centre, size = boxes[0].split(2, dim=1)
    predicted = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    corner, extent = boxes[1].split(2, dim=1)
    truth = torch.cat([corner, corner + extent], dim=1).clamp(0, 1)
    task = sum(MODELS.build(loss)(predicted, truth) for loss in recipe.losses.values())
    torch.testing.assert_close(task + stage1, golden['stage1_total'], atol=2e-5, rtol=0)
    torch.testing.assert_close(task + stage2 + feature, golden['stage2_total'], atol=2e-5, rtol=0)

    score = MODELS.build(recipe.score_losses.loss_score)
    logits, labels = golden['score_logits'], golden['score_labels']
    torch.testing.assert_close(score(logits, labels), golden['score_bce'], atol=2e-6, rtol=0)
    total = score(logits[:3], labels[:3])
    torch.testing.assert_close(total, golden['score_stage_total'], atol=2e-6, rtol=0)


@needs_golden
def test_golden_fading_rates():
    golden = load('mixformerv2/e_losses.npz')
    rates = [fading_rate(t, 40) for t in range(51)]
    assert rates == pytest.approx(golden['gamma_formula'].tolist(), abs=1e-7)
    # The published trainer counts its epochs from 1.
    hook = published().depth_pruning
    rates = [fading_rate(epoch - 1 + hook.offset, hook.horizon) for epoch in range(51)]
    assert rates == pytest.approx(golden['rate_by_epoch'].tolist(), abs=1e-7)


def test_fading_ends_exactly():
    assert fading_rate(0, 40) == 1
    assert fading_rate(20, 40) == pytest.approx(0.5)
    assert fading_rate(40, 40) == fading_rate(500, 40) == 0
    rates = [fading_rate(t, 40) for t in range(41)]
    assert all(a > b for a, b in zip(rates, rates[1:]))


def test_sum_and_mean_differ_by_the_number_of_terms():
    student, teacher = torch.randn(2, 3, 4, 8).unbind()
    published_loss = EdgeKLLoss(5.0, 'mean')(student, teacher)
    torch.testing.assert_close(published_loss, 1.25 * EdgeKLLoss(1.0, 'sum')(student, teacher))
    layers = [torch.randn(2, 5, 8) for _ in range(6)]
    total = FeatureMimickingLoss(pairs='sum')(layers[:3], layers[3:])
    mean = FeatureMimickingLoss(pairs='mean')(layers[:3], layers[3:])
    torch.testing.assert_close(total, 3 * mean)


def test_the_divergence_is_that_of_the_teacher_from_the_student():
    """KL(T || S) = sum T log(T / S): a teacher that is sure costs -log S of its bin."""
    student = torch.tensor([0.7, 0.2, 0.1]).log().expand(1, 4, 3)
    teacher = torch.tensor([-1e4, -1e4, 0.0]).expand(1, 4, 3)
    loss = EdgeKLLoss()(student, teacher)
    torch.testing.assert_close(loss, -4 * torch.tensor(0.1).log())
    assert EdgeKLLoss()(student, student).item() == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_computed_in_float32_under_autocast():
    student, teacher = (3 * torch.randn(2, 5, 4, 96)).unbind()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = EdgeKLLoss()(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, EdgeKLLoss()(student, teacher), atol=0, rtol=0)


@pytest.mark.parametrize('extreme', [1e4, -1e4, 0.0])
def test_extreme_logits_give_finite_losses_and_gradients(extreme):
    student = torch.zeros(2, 4, 8)
    student[..., 0] = extreme
    student.requires_grad_()
    teacher = torch.zeros(2, 4, 8)
    teacher[..., -1] = 1e4
    loss = EdgeKLLoss()(student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('source', [5, 14, 72, 96])
@pytest.mark.parametrize('target', [5, 14, 32, 72, 96])
def test_resampling_conserves_mass_and_expectation(source, target):
    torch.manual_seed(source * target)
    logits = torch.cat([torch.randn(20, source), 8 * torch.randn(20, source)])
    probabilities = logits.double().softmax(dim=-1)
    resampled = resample_edges(probabilities, target)
    assert resampled.shape == (40, target)
    assert (resampled >= 0).all()
    torch.testing.assert_close(resampled.sum(-1), torch.ones(40).double(), atol=1e-12, rtol=0)

    def expectation(p: torch.Tensor) -> torch.Tensor:
        return p @ torch.arange(p.shape[-1]).double() / p.shape[-1]

    wanted = expectation(probabilities).clamp(max=(target - 1) / target)
    torch.testing.assert_close(expectation(resampled), wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(resample_edges(3 * probabilities, target), 3 * resampled)


def test_half_precision_is_resampled_to_any_number_of_bins():
    probabilities = torch.full((2, 4), 0.25, dtype=torch.float16)
    for target in (1, 2, 3, 9):
        total = resample_edges(probabilities, target).sum(-1)
        torch.testing.assert_close(total, torch.ones(2).half(), atol=2e-3, rtol=0)


@pytest.mark.parametrize(('source', 'target'), [(14, 96), (96, 14), (72, 96), (3, 3)])
def test_resampling_of_a_single_bin(source, target):
    """Each bin lands around its place; the outermost do not leave the range."""
    resampled = resample_edges(torch.eye(source, dtype=torch.float64), target)
    places = resampled @ torch.arange(target).double() / target
    wanted = (torch.arange(source).double() / source).clamp(max=(target - 1) / target)
    torch.testing.assert_close(places, wanted, atol=1e-12, rtol=0)
    assert (resampled.sum(-1) - 1).abs().max() < 1e-12


def test_finer_bins_leave_no_gaps():
    """14 bins spread over 96 would otherwise be a comb that no student should learn."""
    uniform = torch.full((14,), 1 / 14)
    inner = resample_edges(uniform, 96)[7:-14]
    assert inner.min() > 0.5 * inner.max()


def test_a_grid_is_resized_as_an_image():
    ramp = torch.arange(6.0).repeat(6, 1)  # grows from left to right
    tokens = ramp.reshape(1, 36, 1)
    smaller = resize_grid(tokens, 9).view(3, 3)
    torch.testing.assert_close(smaller, torch.tensor([0.5, 2.5, 4.5]).repeat(3, 1))
    assert resize_grid(tokens, 36) is tokens


@pytest.mark.parametrize(
    ('kind', 'settings', 'message'),
    [
        ('EdgeKLLoss', dict(sides='max'), 'sides'),
        ('FeatureMimickingLoss', dict(pairs='max'), 'pairs'),
        ('FeatureMimickingLoss', dict(tokens='templates'), 'tokens'),
    ],
)
def test_unknown_options_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type=kind, **settings))
