"""Tracked, uncertain, lost: what the policy does, and that nothing changes without it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from golden import noise_frame
from small_tracker import lively_tracker

from mmtrack_mixformerv2.models.device_predictor import DevicePredictor
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.tracking import (
    ConfidenceModel,
    Prediction,
    SequenceTracker,
    StatePolicy,
    TargetState,
    TrackingSettings,
)
from mmtrack_mixformerv2.tracking.confidence import (
    TargetMemory,
    features,
    relative_spread,
)

BOX = (60, 45, 30, 24)
TRACKED, UNCERTAIN, LOST = TargetState
POLICY = StatePolicy(tracked_above=0.6, uncertain_below=0.4, lost_below=0.2, patience=2, confirm=2)


def walk(confidences, policy=POLICY):
    """The state after each frame."""
    memory, states = TargetMemory(anchor_xywh=BOX), []
    for confidence in confidences:
        policy.step(memory, confidence, BOX)
        states.append(memory.state)
    return states


class Scripted:
    """Answers from a list, and keeps what it saw."""

    search_size, template_size = 64, 32

    def __init__(self, scores, boxes=None):
        self.scores, self.boxes = list(scores), boxes
        self.encoded, self.seen = [], []

    def encode_templates(self, crops):
        self.encoded.append(list(crops))
        return len(self.encoded)

    def predict(self, search_crop, cache):
        self.seen.append(search_crop)
        index = len(self.seen) - 1
        box = (0.4, 0.4, 0.6, 0.6) if self.boxes is None else self.boxes[index]
        return Prediction(box, self.scores[index])


def track(scores, policy, boxes=None, **settings):
    predictor = Scripted(scores, boxes)
    loop = SequenceTracker(predictor, TrackingSettings(policy=policy, **settings))
    frames = [noise_frame(f'frame_{index}') for index in range(len(scores) + 1)]
    state = loop.init(frames[0], BOX)
    looks, results = [], []
    for frame in frames[1:]:
        looks.append((tuple(state.box_xywh), loop.look(frame, state).resize_factor))
        results.append(loop.track(frame, state))
    return results, looks, predictor


# ---- the policy --------------------------------------------------------------------------------


def test_states_have_hysteresis():
    assert walk([0.5, 0.39, 0.5, 0.6, 0.5]) == [TRACKED, UNCERTAIN, UNCERTAIN, TRACKED, TRACKED]


def test_a_target_is_lost_after_patience_and_back_after_confirmation():
    states = walk([0.1, 0.3, 0.1, 0.1, 0.7, 0.1, 0.7, 0.7])
    assert states == [UNCERTAIN, UNCERTAIN, UNCERTAIN, LOST, LOST, LOST, LOST, TRACKED]


def test_a_lost_target_is_looked_at_closely_where_there_may_be_one():
    """A box that is not believed to be lost stays, at the usual width, though not yet tracked."""
    memory, other = TargetMemory(anchor_xywh=BOX), (90, 60, 30, 24)
    searches = []
    for confidence in (0.1, 0.1, 0.1, 0.2, 0.1, 0.5):
        POLICY.step(memory, confidence, other)
        searches.append(POLICY.next_search(memory, other))
    away, close = (BOX, POLICY.lost_search_scale), (other, 1.0)
    assert searches == [close, away, away, close, away, close]
    assert memory.state is LOST


@pytest.mark.parametrize('changes', [{'patience': 1, 'confirm': 1}, {'patience': 3}])
def test_thresholds_are_inclusive_above_and_exclusive_below(changes):
    policy = replace(POLICY, **changes)
    assert walk([0.2] * 5, policy)[-1] is UNCERTAIN
    assert walk([0.1999] * 5, policy)[-1] is LOST
    assert walk([0.1] * 5 + [0.6] * 2, policy)[-1] is TRACKED


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'lost_below': 0.5}, 'lost_below=0.5, uncertain_below=0.4'),
        ({'tracked_above': 1.5}, 'tracked_above=1.5'),
        ({'tracked_above': math.nan}, 'in this order'),
        ({'patience': 0}, 'policy.patience is 0, expected 1 or more'),
        ({'patience': 1.5}, 'policy.patience is 1.5, expected a whole number'),
        ({'confirm': True}, 'policy.confirm is True'),
        ({'lost_search_scale': 0.5}, 'policy.lost_search_scale is 0.5'),
    ],
)
def test_impossible_policies_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(POLICY, **changes)


# ---- the confidence ----------------------------------------------------------------------------


def planted_edges(spread, bins=40):
    """Edges at 10, 10, 30, 30 of 40 bins, each on two bins ``2 * spread`` apart."""
    edges = np.zeros((4, bins), np.float32)
    for row, at in zip(edges, (10, 10, 30, 30)):
        row[[at - spread, at + spread]] = 0.5
    return edges


def test_spread_is_the_deviation_in_units_of_the_box():
    assert relative_spread(planted_edges(3)) == pytest.approx(3 / 20)
    _, log = features(None, planted_edges(3))
    assert log == pytest.approx(math.log(3 / 20))


def test_confidence_is_the_logistic_of_both_features():
    model = ConfidenceModel(bias=0.5, score=2.0, spread=-1.5)
    x = 0.5 + 2.0 * math.log(0.8 / 0.2) - 1.5 * math.log(3 / 20)
    assert model(0.8, planted_edges(3)) == pytest.approx(1 / (1 + math.exp(-x)))
    assert model(0.8, planted_edges(5)) < model(0.8, planted_edges(3))
    assert ConfidenceModel()(0.8, None) == pytest.approx(0.8)


@pytest.mark.parametrize('score', [0.0, 1.0, None])
@pytest.mark.parametrize('edges', [None, np.full((4, 8), 1 / 8), np.eye(4, 8)])
def test_confidence_is_a_probability_also_at_the_ends(score, edges):
    assert 0 <= ConfidenceModel(bias=800.0, score=50.0, spread=-90.0)(score, edges) <= 1
    assert 0 <= ConfidenceModel(bias=-800.0, score=50.0, spread=-90.0)(score, edges) <= 1


@pytest.mark.parametrize('value', [math.inf, math.nan, 'high', True])
def test_weights_are_finite_numbers(value):
    with pytest.raises(ValueError, match='confidence.spread is .* expected a finite number'):
        ConfidenceModel(spread=value)


# ---- in the loop -------------------------------------------------------------------------------


def test_settings_take_dicts_as_configs_have_them():
    made = TrackingSettings(policy={'patience': 7}, confidence={'bias': 1.0})
    assert made.policy == StatePolicy(patience=7)
    assert made.confidence == ConfidenceModel(bias=1.0)
    with pytest.raises(ValueError, match='patiense'):
        TrackingSettings(policy={'patiense': 7})
    with pytest.raises(ValueError, match='policy is 3, expected a StatePolicy'):
        TrackingSettings(policy=3)


def test_without_a_policy_nothing_is_judged():
    results, looks, _ = track([0.01] * 6, None)
    assert {result.state for result in results} == {None}
    assert {result.confidence for result in results} == {None}
    assert len({factor for _, factor in looks}) == 1


def test_calibration_alone_judges_and_changes_nothing():
    scores = [0.9, 0.01, 0.6, 0.02]
    plain, looks, _ = track(scores, None)
    judged, same, _ = track(scores, None, confidence=ConfidenceModel(bias=1.0))
    assert [result.confidence for result in judged] == pytest.approx(
        [ConfidenceModel(bias=1.0)(score, None) for score in scores]
    )
    assert looks == same
    for one, other in zip(plain, judged):
        np.testing.assert_array_equal(one.box_xywh, other.box_xywh)


def test_a_lost_target_is_searched_more_widely_where_it_was_tracked_last():
    boxes = [(0.4, 0.4, 0.6, 0.6), *[(0.5, 0.5, 0.7, 0.7)] * 4, (0.3, 0.3, 0.5, 0.5)]
    boxes += [(0.4, 0.4, 0.6, 0.6)] * 2
    results, looks, _ = track([0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9], POLICY, boxes)
    assert [one.state for one in results] == [
        TRACKED, UNCERTAIN, LOST, LOST, LOST, LOST, TRACKED, TRACKED,
    ]  # fmt: skip
    around, factors = zip(*looks)
    last_seen = tuple(results[0].box_xywh)
    assert around[3] == around[4] == around[5] == last_seen
    assert around[2] == tuple(results[1].box_xywh)  # uncertain: the last box, as published
    assert around[6] == tuple(results[5].box_xywh)  # the candidate is looked at closely
    # The crop is as large, so wide regions have fewer of its pixels to each one of the frame.
    assert factors[3] == pytest.approx(factors[1] / POLICY.lost_search_scale, rel=0.05)
    assert factors[3] == factors[4] == factors[5]
    area = math.sqrt(np.prod(results[5].box_xywh[2:]))
    assert factors[6] == pytest.approx(64 / math.ceil(5.0 * area))


def test_templates_change_only_while_the_target_is_tracked():
    scores = [0.9, 0.55, 0.3, 0.95, 0.97, 0.9, 0.9, 0.9]
    judge = ConfidenceModel(bias=0.0)
    with_policy, _, careful = track(scores, POLICY, update_interval=3, confidence=judge)
    without, _, published = track(scores, None, update_interval=3)
    assert [i for i, one in enumerate(without) if one.template_updated] == [2, 5]
    # Frame 2 is due and uncertain: the update comes with the next frame that is trusted.
    assert with_policy[2].state is UNCERTAIN
    assert [i for i, one in enumerate(with_policy) if one.template_updated] == [3, 5]
    assert not np.array_equal(careful.encoded[1][1], published.encoded[1][1])


def test_every_predictor_judges_alike_and_batches_do_too():
    """States and searches of several targets, on the host and in the steps of a GPU."""
    model = lively_tracker(depth=2)
    levels = dict(tracked_above=0.975, uncertain_below=0.97, lost_below=0.968)
    policy = StatePolicy(**levels, patience=1, confirm=1)
    settings = replace(model.loop.settings, policy=policy, confidence=ConfidenceModel(spread=-0.5))
    frames = [noise_frame(f'frame_{index}') for index in range(7)]
    boxes = [BOX, (20, 30, 24, 40), (90, 20, 20, 20)]
    one_by_one = SequenceTracker(model.loop.predictor, settings)
    states = [one_by_one.init(frames[0], box) for box in boxes]
    expected = [[one_by_one.track(frame, s) for s in states] for frame in frames[1:]]
    assert {one.state for row in expected for one in row} >= {TRACKED, LOST}

    device = DevicePredictor(InferenceNetwork.of(model).frozen())
    for predictor in (model.loop.predictor, device):
        loop = SequenceTracker(predictor, settings)
        states = loop.init_targets(frames[0], boxes)
        for frame, row in zip(frames[1:], expected):
            for found, wanted in zip(loop.track_targets(frame, states), row):
                np.testing.assert_allclose(found.box_xywh, wanted.box_xywh, atol=1e-3)
                assert found.state == wanted.state
                assert found.confidence == pytest.approx(wanted.confidence, abs=1e-4)
                np.testing.assert_allclose(
                    found.edges.probabilities, wanted.edges.probabilities, atol=1e-5
                )
                np.testing.assert_allclose(found.edges.positions, wanted.edges.positions, atol=1e-3)


def test_edges_in_the_image_have_the_box_as_their_mean():
    edges = planted_edges(3)
    box = (edges * np.arange(40) / 40).sum(axis=1)  # 0.25, 0.25, 0.75, 0.75

    class Planted(Scripted):
        def predict(self, search_crop, cache):
            return Prediction(box, 0.9, edges)

    loop = SequenceTracker(Planted([]), TrackingSettings(search_factor=2.0))
    frame = noise_frame('frame_0')
    state = loop.init(frame, BOX)
    factor = loop.look(frame, state).resize_factor
    result = loop.track(frame, state)
    left, top, right, bottom = (result.edges.probabilities * result.edges.positions).sum(axis=1)
    np.testing.assert_allclose(result.box_xywh, [left, top, right - left, bottom - top])
    # 3 bins of 64 / 40 pixels of the crop.
    np.testing.assert_allclose(result.edges.spread, 3 * 64 / 40 / factor)
