"""Calibration and states: planted coefficients, known errors, splits without leaks, both tools."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tools_loader import load_tool

from mmtrack_mixformerv2.calibration import (
    Hidden,
    Samples,
    SequenceRun,
    brier_score,
    expected_calibration_error,
    fit_confidence,
    gather_samples,
    hidden_events,
    measure_states,
    observe,
    open_test,
    rank_quality,
    reliability,
    split_sequences,
    with_policy,
)
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.synthetic import RenderSettings, make_difficulty, write_dataset
from mmtrack_mixformerv2.tracking import ConfidenceModel, StatePolicy, TargetState
from mmtrack_mixformerv2.tracking.confidence import features

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(ROOT / 'configs/mixformerv2/mixformerv2-tiny_test-synthetic.py')
WEIGHTS = str(ROOT / 'weights/mixformerv2-tiny_synthetic.pth')
TRACKED, LOST = TargetState.TRACKED, TargetState.LOST


def test_the_score_head_left_the_boxes_as_they_were():
    """All other weights are those of the training from scratch, before there was a score head."""
    digest = hashlib.sha256()
    state = torch.load(WEIGHTS, weights_only=True)['state_dict']
    for name in sorted(state):
        if not name.startswith('score_head.'):
            digest.update(name.encode() + state[name].numpy().tobytes())
    assert digest.hexdigest()[:16] == '6ff3768c5eb31ed8'
    assert sum(name.startswith('score_head.') for name in state) == 4
    settings = read_config(CONFIG).model.test_cfg
    assert settings.num_online_templates == 0 and 'policy' not in settings


def planted(
    model: ConfidenceModel, count: int = 40_000, spread: tuple[float, float] = (-3, 0.8)
) -> Samples:
    """Frames whose boxes are right as often as a model says."""
    rng = np.random.default_rng(0)
    table = np.stack([rng.normal(1, 2, count), rng.normal(*spread, count)], axis=1)
    scores = 1 / (1 + np.exp(-table[:, 0]))
    samples = Samples(table, scores, np.zeros(count, bool))
    return samples._replace(right=rng.random(count) < samples.confidences(model))


def made_run(right: str, states: str, updates: list[tuple[int, int]] = ()) -> SequenceRun:
    """A run from a drawing: `+` box right, `-` box wrong, `.` no target; `t`racked or `l`ost."""
    visible = np.array([one != '.' for one in right])
    iou = np.array([0.9 if one == '+' else 0.1 for one in right])
    nothing = np.full(len(right), np.nan)
    return SequenceRun(
        'made',
        iou,
        visible,
        nothing,
        np.zeros((len(right), 2)),
        nothing,
        [LOST if one == 'l' else TRACKED for one in states],
        np.array(updates, int).reshape(-1, 2),
    )


# Fitting


@pytest.mark.parametrize('true', [ConfidenceModel(-2, 0.6, -1.2), ConfidenceModel(0.5, 1.5, 0)])
def test_planted_coefficients_are_found(true):
    found = fit_confidence(planted(true), 'planted')
    for name in ('bias', 'score', 'spread'):
        assert abs(getattr(found, name) - getattr(true, name)) < 0.15
    assert found.calibrated_on == 'planted'


def test_calibration_repairs_a_score_that_is_too_sure():
    true = ConfidenceModel(-1, 0.4, 0)
    samples = planted(true)
    before = expected_calibration_error(samples.scores, samples.right)
    after = expected_calibration_error(samples.confidences(fit_confidence(samples)), samples.right)
    assert before > 0.15 and after < 0.015


def test_without_a_score_only_the_spread_counts():
    samples = planted(ConfidenceModel(-3, 0, -1))
    samples.features[:, 0] = 0
    found = fit_confidence(samples)
    assert found.score == 0 and abs(found.spread + 1) < 0.1


def test_the_model_in_the_loop_is_the_one_that_was_fitted():
    rng = np.random.default_rng(3)
    model = ConfidenceModel(-2.5, 0.7, -1.1)
    edges = rng.random((4, 36)) ** 8
    edges /= edges.sum(axis=1, keepdims=True)
    rows = [features(score, edges) for score in (0.1, 0.9)]
    samples = Samples(np.array(rows), np.zeros(2), np.zeros(2, bool))
    np.testing.assert_allclose(
        samples.confidences(model), [model(score, edges) for score in (0.1, 0.9)]
    )


@pytest.mark.parametrize('right', [True, False])
def test_one_kind_of_frames_is_refused(right):
    samples = planted(ConfidenceModel(), 50)._replace(right=np.full(50, right))
    with pytest.raises(ValueError, match=f'{50 * right} of 50 boxes are on the target'):
        fit_confidence(samples)


def test_a_sequence_is_on_one_side_only():
    for count, share in ((2, 0.5), (7, 0.5), (40, 0.9)):
        fit_on, held_out = split_sequences(count, share, seed=1)
        assert sorted([*fit_on, *held_out]) == list(range(count))
        assert len(fit_on) and len(held_out)
    assert split_sequences(40, seed=1)[0].tolist() != split_sequences(40, seed=2)[0].tolist()
    with pytest.raises(ValueError, match='expected at least 2'):
        split_sequences(1)
    with pytest.raises(ValueError, match='share=1'):
        split_sequences(4, 1)


def test_first_frames_are_no_samples():
    run = made_run('++-.', 'tttt')
    assert gather_samples([run, run]).right.tolist() == [True, False, False] * 2
    with pytest.raises(ValueError, match='no tracked frame'):
        gather_samples([made_run('+', 't')])


# Reliability


def test_error_of_a_known_miscalibration():
    """Half of the frames say 0.95 and are right in 75 %, the others say 0.25 and are, in 25 %."""
    confidences = np.repeat([0.95, 0.25], 400)
    right = np.concatenate([np.arange(400) % 4 > 0, np.arange(400) % 4 == 0])
    assert expected_calibration_error(confidences, right) == pytest.approx(0.1)
    found = reliability(confidences, right, 10)
    assert found.count.tolist() == [0, 0, 400, 0, 0, 0, 0, 0, 0, 400]
    np.testing.assert_allclose(found.accuracy[[2, 9]], [0.25, 0.75])
    assert np.isnan(found.accuracy[0])
    assert brier_score([1, 0], [True, True]) == 0.5
    assert rank_quality([0.1, 0.8, 0.9, 0.2], [False, True, True, False]) == 1
    assert np.isnan(rank_quality([0.1], [True]))


def test_certainty_is_in_the_last_bin():
    assert reliability(np.array([0.0, 1.0]), np.array([0, 1]), 4).count.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize('confidences', [[1.2], [np.nan], []])
def test_no_confidences(confidences):
    with pytest.raises(ValueError, match=r'in \[0, 1\]|at least one'):
        reliability(np.array(confidences), np.ones(len(confidences)))


# States


def test_events_are_gaps_that_are_long_enough():
    visible = np.ones(40, bool)
    visible[3:6] = visible[10:18] = visible[30:] = False
    assert hidden_events(visible) == [Hidden(10, 18), Hidden(30, 40)]
    assert hidden_events(visible, 3)[0] == Hidden(3, 6)
    assert hidden_events(np.ones(5, bool)) == []


def test_measures_of_a_drawn_run():
    # Ten frames hidden: lost from the fifth on. Then the box is right after five frames, and the
    # tracker says so after seven. Two frames of doubt without reason.
    right = '+' * 10 + '.' * 10 + '-' * 5 + '+' * 20
    states = 'ttttlltttt' + 'tttt' + 'l' * 6 + 'l' * 7 + 't' * 18
    found = measure_states([made_run(right, states, [(12, 3), (30, 15), (40, 38)])])
    assert (found.events, found.hidden_frames, found.returns) == (1, 10, 1)
    assert (found.said_lost, found.events_lost, found.delay) == (0.6, 1, 4)
    assert found.visible_frames == 34
    assert found.false_lost == pytest.approx(4 / 29)  # two in the beginning, two at the end
    assert found.visible_lost == pytest.approx(9 / 34)
    assert (found.came_back, found.came_back_tracked, found.back_delay) == (1, 1, 5)
    assert (found.updates, found.wrong_updates) == (3, 1)
    # Overlaps of 0.9 and 0.1 are above 18 and 2 of the 21 thresholds.
    assert found.success == pytest.approx((30 * 18 + 5 * 2) / 35 / 21)


def test_a_target_that_stays_away_says_nothing_about_coming_back():
    found = measure_states([made_run('+' * 10 + '.' * 10 + '-' * 5, 't' * 25)])
    assert found.events == 1 and found.returns == 0
    assert found.as_dict()['came_back'] is None and found.as_dict()['delay'] is None
    assert json.dumps(found.as_dict(), allow_nan=False)


# On rendered sequences, with the tracker that comes with the package


@pytest.fixture(scope='module')
def occluded(tmp_path_factory) -> str:
    """Two sequences of 40 frames, whose target disappears."""
    out = tmp_path_factory.mktemp('occluded')
    settings = RenderSettings(
        seed=1, difficulty=make_difficulty('occlusion'), frames=dict(train=20, val=40)
    )
    write_dataset(out, settings, dict(val=2), progress=False)
    return str(out)


def test_a_run_is_what_the_tracker_said(occluded):
    tracker, table = open_test(read_config(CONFIG), WEIGHTS, occluded)
    steps = []
    run = observe(with_policy(tracker, StatePolicy()), table[0], lambda: steps.append(1))
    assert len(steps) == len(run.iou) == len(run.states) == 40
    assert run.iou[0] == 1 and run.iou[1:5].min() > 0.4
    assert np.isnan(run.scores[0]) and np.isfinite(run.scores[1:]).all()
    assert run.states[0] is None and set(run.states[1:]) <= set(TargetState)
    model = tracker.settings.confidence
    expected = Samples(run.features, run.scores, run.right).confidences(model)
    np.testing.assert_allclose(run.confidences[1:], expected[1:], rtol=1e-6)
    without = observe(with_policy(tracker, None), table[0])
    assert without.states[1:] == [None] * 39 and not without.lost.any()


def test_the_frame_of_a_new_template_is_known(occluded):
    """Updates every 4 frames: each puts in the best-scored of the frames since the last one."""
    options = {
        'model.test_cfg.num_online_templates': 1,
        'model.test_cfg.update_interval': 4,
        'model.test_cfg.score_threshold': 0.0,
    }
    tracker, table = open_test(read_config(CONFIG, options), WEIGHTS, occluded)
    run = observe(with_policy(tracker, None), table[1])
    assert run.updates[:, 0].tolist() == list(range(4, 40, 4))
    for frame, source in run.updates:
        recent = np.arange(frame - 3, frame + 1)
        assert source == recent[np.argmax(run.scores[recent])]


def test_calibrating_prints_what_a_config_takes(occluded, tmp_path, capsys):
    plot, out = tmp_path / 'reliability.png', tmp_path / 'fit.json'
    arguments = [CONFIG, WEIGHTS, '--data-root', occluded, '--plot', str(plot), '--json', str(out)]
    load_tool('analysis_tools/calibrate').main([*arguments, '--note', 'two sequences'])
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    line = printed.splitlines()[-1].strip()
    config = {}
    exec(line, config)
    assert config['test_cfg']['confidence'] == found['model']
    assert ConfidenceModel(**found['model']).calibrated_on == 'two sequences'
    assert set(found['measures']) == {'score as it is', 'calibrated'}
    assert found['sequences'] == [1, 1] and found['frames'] == [39, 39]
    assert plot.read_bytes()[:4] == b'\x89PNG'


def test_states_are_measured_with_and_without_a_policy(occluded, tmp_path, capsys):
    out = tmp_path / 'states.json'
    arguments = [CONFIG, WEIGHTS, '--data-root', occluded, '--json', str(out)]
    load_tool('analysis_tools/measure_states').main([*arguments, '--policy', 'patience=1'])
    printed = capsys.readouterr().out
    off, on = json.loads(out.read_text()).values()
    assert off['events'] == on['events'] == 2 and off['said_lost'] == 0
    assert f'{100 * on["success"]:.1f} %' in printed and f'{100 * off["success"]:.1f} %' in printed


@pytest.mark.parametrize('tool', ['calibrate', 'measure_states'])
def test_what_cannot_be_measured(tool, tmp_path, capsys):
    main = load_tool(f'analysis_tools/{tool}').main
    with pytest.raises(SystemExit, match='error: .*no-such-folder'):
        main([CONFIG, WEIGHTS, '--data-root', str(tmp_path / 'no-such-folder')])
    with pytest.raises(SystemExit):
        main([CONFIG, WEIGHTS, '--json', str(tmp_path / 'nowhere' / 'a.json')])
    assert 'there is no folder' in capsys.readouterr().err


def test_a_policy_that_does_not_exist(occluded):
    main = load_tool('analysis_tools/measure_states').main
    with pytest.raises(SystemExit, match='error: .*patiense'):
        main([CONFIG, WEIGHTS, '--data-root', occluded, '--policy', 'patiense=3'])
