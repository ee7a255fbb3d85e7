"""The tracking loop: equal to the published tracker, free of hidden state, safe off-frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import load, needs_golden, noise_frame

from mmtrack_mixformerv2.tracking import SequenceTracker, TrackingSettings

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FIRST_BOX = (60, 45, 30, 24)
CENTRED = (0.4, 0.4, 0.6, 0.6)
OWN = Path(__file__).parent / 'data' / 'tracker_scripted.npz'  # the golden file, compressed


class ScriptedPredictor:
    """Answers from a list and keeps what it was given."""

    search_size, template_size = 64, 32

    def __init__(self, boxes, scores):
        self.answers = list(zip(boxes, scores))
        self.encoded, self.seen = [], []

    def encode_templates(self, crops):
        self.encoded.append(crops)
        return [crop.copy() for crop in crops]

    def predict(self, search_crop, cache):
        self.seen.append((search_crop, cache))
        return self.answers[len(self.seen) - 1]


class LeftHalfPredictor(ScriptedPredictor):
    """A pure function of what it sees, so that two sequences can be told apart."""

    def __init__(self):
        self.encoded = []

    def predict(self, search_crop, cache):
        shift = (float(search_crop.mean()) - float(cache[-1].mean())) / 100
        return np.array([0.4, 0.42, 0.6, 0.61]) + shift, float(search_crop[5:40].mean() % 1)


def settings(**changes) -> TrackingSettings:
    small = {'search_factor': 4.5, 'template_factor': 2.0, 'update_interval': 5}
    return TrackingSettings(**{**small, **changes})


def frames(count: int) -> list[np.ndarray]:
    return [noise_frame(f'frame_{index}') for index in range(count)]


def run(tracker, images, box=FIRST_BOX):
    state = tracker.init(images[0], box)
    return [tracker.track(image, state) for image in images[1:]]


def normalise(crop: np.ndarray) -> np.ndarray:
    return ((crop / 255 - MEAN) / STD).transpose(2, 0, 1)


@pytest.fixture(params=['own', pytest.param('golden', marks=needs_golden)])
def published(request) -> dict[str, np.ndarray]:
    if request.param == 'golden':
        return load('mixformerv2/g_tracker_scripted.npz')
    with np.load(OWN) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.mark.parametrize('decay', [1.0, 0.8])
def test_scripted_run_equals_the_published_tracker(published, decay):
    golden = {
        key[len(f'decay{decay}_') :]: values
        for key, values in published.items()
        if key.startswith(f'decay{decay}_')
    }
    cx, cy, w, h = published['script_boxes_cxcywh'].astype(np.float64).T
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    logits = published['script_logits'].astype(np.float64)
    predictor = ScriptedPredictor(boxes, 1 / (1 + np.exp(-logits)))
    tracker = SequenceTracker(predictor, settings(max_score_decay=decay))
    images = frames(len(boxes) + 1)
    state = tracker.init(images[0], FIRST_BOX)
    for index, image in enumerate(images[1:]):
        result = tracker.track(image, state)
        np.testing.assert_allclose(result.box_xywh, golden['boxes'][index], rtol=0, atol=1e-3)
        assert result.score == pytest.approx(golden['scores'][index], abs=1e-6)
        assert state.memory.best_score == pytest.approx(golden['max_score'][index], abs=1e-6)
        online = normalise(state.memory.online[0]).ravel()[:8]
        np.testing.assert_allclose(online, golden['online_after_first8'][index], atol=2e-6)
        is_initial = np.array_equal(state.memory.online[0], state.memory.static)
        assert is_initial == golden['online_after_is_initial'][index]
        search, (static, online) = predictor.seen[index]
        for name, crop in {'search': search, 'template': static, 'online': online}.items():
            tensor = normalise(crop)
            np.testing.assert_allclose(
                tensor.ravel()[:8], golden[f'seen_{name}_first8'][index], atol=2e-6
            )
            np.testing.assert_allclose(
                tensor.mean(axis=(1, 2)), golden[f'seen_{name}_mean'][index], atol=2e-6
            )


def test_templates_are_encoded_only_when_they_change():
    scores = [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    predictor = ScriptedPredictor([CENTRED] * 9, scores)
    results = run(SequenceTracker(predictor, settings(update_interval=3)), frames(10))
    # Frame 3 takes the crop of frame 1, frame 6 returns to the static template, 9 changes nothing.
    assert [i + 1 for i, result in enumerate(results) if result.template_updated] == [3, 6]
    start, updated, back = predictor.encoded
    assert updated[0] is start[0] and updated[1] is not start[1]
    assert back[0] is back[1] is start[0]


def test_this_frame_may_become_the_template_at_once():
    predictor = ScriptedPredictor([CENTRED] * 2, [0.6, 0.7])
    tracker = SequenceTracker(predictor, settings(update_interval=2))
    images = frames(3)
    state = tracker.init(images[0], FIRST_BOX)
    tracker.track(images[1], state)
    best_so_far = state.memory.candidate
    assert tracker.track(images[2], state).template_updated
    assert state.memory.online[0] is not best_so_far
    assert state.memory.best_score == -1 and state.memory.candidate is state.memory.static


@pytest.mark.parametrize('score', [0.5, 0.2, None])
def test_a_score_that_is_not_above_the_threshold_updates_nothing(score):
    predictor = ScriptedPredictor([CENTRED] * 6, [score] * 6)
    results = run(SequenceTracker(predictor, settings(update_interval=2)), frames(7))
    assert len(predictor.encoded) == 1
    assert not any(result.template_updated for result in results)
    assert [result.score for result in results] == [score] * 6


def test_several_online_templates_fill_up_and_then_replace_the_oldest():
    predictor = ScriptedPredictor([CENTRED] * 4, [0.9] * 4)
    tracker = SequenceTracker(predictor, settings(update_interval=1, num_online_templates=3))
    run(tracker, frames(5))
    static = predictor.encoded[0][0]
    assert [len(crops) for crops in predictor.encoded] == [2, 3, 4, 4, 4]
    third, fourth, fifth = (crops[1:] for crops in predictor.encoded[2:])
    assert third[0] is static and fourth[0] is not static  # the first to leave is the static one
    assert fourth[1:] == third[1:] and fifth[0] is fourth[0] and fifth[1] is not fourth[1]
    assert all(crops[0] is static for crops in predictor.encoded)


def test_without_online_templates_only_the_static_one_is_used():
    predictor = ScriptedPredictor([CENTRED] * 3, [0.9] * 3)
    run(SequenceTracker(predictor, settings(update_interval=1, num_online_templates=0)), frames(4))
    assert [len(crops) for crops in predictor.encoded] == [1]


def test_interleaved_sequences_do_not_disturb_each_other():
    first = [noise_frame(f'first_{i}') for i in range(13)]
    second = [noise_frame(f'second_{i}', (90, 200, 3)) for i in range(13)]
    box = (20, 30, 40, 22)

    def tracker():
        return SequenceTracker(LeftHalfPredictor(), settings(score_threshold=0.1))

    alone = [run(tracker(), first), run(tracker(), second, box)]
    shared = tracker()
    states = [shared.init(first[0], FIRST_BOX), shared.init(second[0], box)]
    together = [[], []]
    for pair in zip(first[1:], second[1:]):
        for results, image, state in zip(together, pair, states):
            results.append(shared.track(image, state))
    assert any(result.template_updated for result in alone[0])
    for expected, got in zip(alone, together):
        for one, other in zip(expected, got):
            np.testing.assert_array_equal(one.box_xywh, other.box_xywh)
            assert one[1:] == other[1:]


def test_read_only_reversed_views_track_like_contiguous_frames():
    rgb = frames(9)
    bgr = [np.ascontiguousarray(image[..., ::-1]) for image in rgb]
    for image in bgr:
        image.flags.writeable = False
    expected = run(SequenceTracker(LeftHalfPredictor(), settings()), rgb)
    got = run(SequenceTracker(LeftHalfPredictor(), settings()), [b[..., ::-1] for b in bgr])
    for one, other in zip(expected, got):
        np.testing.assert_array_equal(one.box_xywh, other.box_xywh)


@pytest.mark.parametrize('channels', [(), (1,), (4,)])
def test_grey_and_four_channel_frames_are_tracked(channels):
    base = [image[..., 0] for image in frames(4)]
    as_colour = [np.repeat(image[..., None], 3, axis=2) for image in base]
    images = (
        base
        if not channels
        else [np.repeat(image[..., None], channels[0], axis=2) for image in base]
    )
    expected = run(SequenceTracker(LeftHalfPredictor(), settings()), as_colour)
    for one, other in zip(expected, run(SequenceTracker(LeftHalfPredictor(), settings()), images)):
        np.testing.assert_array_equal(one.box_xywh, other.box_xywh)


@pytest.mark.parametrize('push', [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1)])
def test_a_target_that_leaves_the_frame_stays_at_the_border(push):
    dx, dy = push
    box = (0.4 + dx, 0.4 + dy, 0.6 + dx, 0.6 + dy)
    predictor = ScriptedPredictor([box] * 50, [0.9] * 50)
    image = noise_frame('pushed')
    results = run(SequenceTracker(predictor, settings()), [image] * 51)
    x, y, w, h = results[-1].box_xywh
    assert w >= 10 and h >= 10
    assert 0 <= x <= 150 and 0 <= y <= 110 and x + w >= 10 and y + h >= 10
    assert np.isfinite(predictor.seen[-1][0]).all()


@pytest.mark.parametrize('box', [(-9, -9, 9, 9), (0.9, 0.9, 0.1, 0.1), (0.5, 0.5, 0.5, 0.5)])
def test_huge_reversed_and_empty_predictions_do_not_crash(box):
    predictor = ScriptedPredictor([box] * 50, [0.9] * 50)
    for result in run(SequenceTracker(predictor, settings()), [noise_frame('odd')] * 51):
        assert (result.box_xywh[2:] >= 10).all() and (result.box_xywh[2:] <= [160, 120]).all()


def test_black_and_tiny_frames_are_tracked():
    for shape in ((120, 160, 3), (4, 6, 3)):
        predictor = ScriptedPredictor([CENTRED] * 20, [0.9] * 20)
        results = run(
            SequenceTracker(predictor, settings()), [np.zeros(shape, np.uint8)] * 21, (1, 1, 3, 2)
        )
        assert len(results) == 20 and not predictor.seen[-1][0].any()


def test_a_frame_of_another_size_names_both_sizes():
    tracker = SequenceTracker(ScriptedPredictor([CENTRED] * 2, [0.9] * 2), settings())
    state = tracker.init(frames(1)[0], FIRST_BOX)
    with pytest.raises(ValueError, match='frame 1 is 100 x 90 px.*began with 160 x 120 px'):
        tracker.track(np.zeros((90, 100, 3), np.uint8), state)
    assert state.frame_index == 0 and tracker.track(frames(2)[1], state).score == 0.9


@pytest.mark.parametrize(
    'box, score',
    [
        ((0.4, 0.4, float('nan'), 0.6), 0.9),
        ((0.4, float('inf'), 0.6, 0.6), None),
        (CENTRED, float('nan')),
    ],
)
def test_predictions_that_are_not_finite_are_reported(box, score):
    tracker = SequenceTracker(ScriptedPredictor([box], [score]), settings())
    with pytest.raises(ValueError, match='frame 1, expected finite numbers; check.*checkpoint'):
        run(tracker, frames(2))


def test_bad_first_frames_and_boxes_are_refused_before_anything_is_encoded():
    predictor = ScriptedPredictor([], [])
    tracker = SequenceTracker(predictor, settings())
    with pytest.raises(ValueError, match='entirely outside'):
        tracker.init(frames(1)[0], (500, 500, 10, 10))
    with pytest.raises(TypeError, match='the frame is None'):
        tracker.init(None, FIRST_BOX)
    assert not predictor.encoded


@pytest.mark.parametrize(
    'change, message',
    [
        ({'search_factor': 0}, 'search_factor is 0, expected a positive number'),
        ({'template_factor': float('nan')}, 'template_factor is nan'),
        ({'num_online_templates': -1}, 'num_online_templates is -1, expected an integer >= 0'),
        ({'update_interval': 0}, 'update_interval is 0, expected an integer >= 1'),
        ({'update_interval': [200]}, r'update_interval is \[200\]'),
        ({'update_interval': 2.5}, 'update_interval is 2.5'),
        ({'score_threshold': 1.5}, r'score_threshold is 1.5, expected a number in \[0, 1\]'),
        ({'max_score_decay': 0}, 'max_score_decay is 0'),
        ({'max_score_decay': True}, 'max_score_decay is True'),
        ({'clip_margin': 0}, 'clip_margin is 0, expected an integer >= 1'),
    ],
)
def test_wrong_settings_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)
