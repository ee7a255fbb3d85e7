"""Several targets of one frame: each as if it were alone, in one forward for all."""

from __future__ import annotations

import numpy as np
import pytest
from golden import noise_frame
from small_tracker import lively_tracker
from test_sequence_tracker import LeftHalfPredictor, settings

from mmtrack_mixformerv2.tracking import HostCrops, SequenceTracker, Tracker, TrackingSettings

BOXES = [(60, 45, 30, 24), (20, 70, 40, 16), (100, 20, 18, 30)]
FRAMES = [noise_frame(f'frame_{index}') for index in range(8)]


@pytest.fixture(scope='module')
def predictor():
    return lively_tracker(depth=2).loop.predictor


def alone(loop: SequenceTracker, box) -> list:
    tracker = Tracker(loop)
    tracker.init(FRAMES[0], box)
    return [tracker.update(frame) for frame in FRAMES[1:]]


def together(loop: SequenceTracker) -> list:
    tracker = Tracker(loop)
    tracker.init(FRAMES[0], BOXES)
    return [tracker.update(frame) for frame in FRAMES[1:]]


@pytest.mark.parametrize('online', [0, 1, 3])
def test_each_target_moves_as_if_it_were_alone(predictor, online):
    """Scores decide about updates at different frames, so numbers of templates may differ."""
    loop = SequenceTracker(
        predictor,
        TrackingSettings(num_online_templates=online, update_interval=2, score_threshold=0.4),
    )
    all_of_them, updates = together(loop), 0
    for number, box in enumerate(BOXES):
        for found, expected in zip((row[number] for row in all_of_them), alone(loop, box)):
            np.testing.assert_allclose(found.box_xywh, expected.box_xywh, rtol=0, atol=1e-3)
            assert found.score == pytest.approx(expected.score, abs=1e-5)
            assert found.template_updated == expected.template_updated
            updates += found.template_updated
    assert (updates > 0) == (online > 0)


def test_one_forward_for_all(predictor, monkeypatch):
    batches = []
    forward = predictor.predict_batch

    def counted(crops, caches):
        batches.append(len(crops))
        return forward(crops, caches)

    monkeypatch.setattr(predictor, 'predict_batch', counted)
    together(SequenceTracker(predictor, TrackingSettings()))
    assert batches == [len(BOXES)] * (len(FRAMES) - 1)


def test_a_predictor_of_one_target_does_them_one_by_one():
    loop = SequenceTracker(LeftHalfPredictor(), settings(update_interval=3))
    for number, box in enumerate(BOXES):
        for row, expected in zip(together(loop), alone(loop, box)):
            np.testing.assert_array_equal(row[number].box_xywh, expected.box_xywh)


def test_a_frame_is_loaded_once_for_all_targets(predictor):
    class Counted(HostCrops):
        loaded = 0

        def load(self, frame):
            self.loaded += 1
            return super().load(frame)

    loop = SequenceTracker(predictor, TrackingSettings())
    loop.crops = Counted()
    together(loop)
    assert loop.crops.loaded == len(FRAMES)


def test_the_shape_of_the_boxes_decides_about_the_shape_of_the_results(predictor):
    tracker = Tracker(SequenceTracker(predictor, TrackingSettings()))
    with pytest.raises(RuntimeError, match=r'call init\(first_frame, box\) first'):
        tracker.update(FRAMES[1])
    tracker.init(FRAMES[0], np.array(BOXES[:1]))
    assert len(tracker.update(FRAMES[1])) == 1
    tracker.init(FRAMES[0], BOXES[0])
    assert tracker.update(FRAMES[1]).box_xywh.shape == (4,)


def test_a_bad_box_among_good_ones_loses_nothing(predictor):
    tracker = Tracker(SequenceTracker(predictor, TrackingSettings()))
    tracker.init(FRAMES[0], BOXES)
    with pytest.raises(ValueError, match='expected a positive width and height'):
        tracker.init(FRAMES[0], (5, 5, -1, 5))
    with pytest.raises(ValueError, match=r'the box has shape \(3,\), expected \(4,\)'):
        tracker.init(FRAMES[0], [BOXES[0], (5, 5, 1)])
    with pytest.raises(ValueError, match='resize the frames to one size'):
        tracker.update(FRAMES[1][:-1])
    assert len(tracker.update(FRAMES[1])) == len(BOXES)


def test_no_target_is_none(predictor):
    tracker = Tracker(SequenceTracker(predictor, TrackingSettings()))
    tracker.init(FRAMES[0], np.empty((0, 4)))
    assert tracker.update(FRAMES[1]) == []


def test_where_one_target_fails_all_stay_as_they_were(predictor, monkeypatch):
    loop = SequenceTracker(predictor, TrackingSettings(update_interval=1, score_threshold=0.0))
    states = loop.init_targets(FRAMES[0], BOXES)
    expected = loop.track_targets(FRAMES[1], loop.init_targets(FRAMES[0], BOXES))
    forward = predictor.predict_batch
    with monkeypatch.context() as patch, pytest.raises(ValueError, match='expected finite numbers'):
        patch.setattr(
            predictor,
            'predict_batch',
            lambda *batch: [*forward(*batch)[:-1], (np.full(4, np.nan), 0.5)],
        )
        loop.track_targets(FRAMES[1], states)
    assert [state.frame_index for state in states] == [0] * len(BOXES)
    for found, one in zip(loop.track_targets(FRAMES[1], states), expected):
        np.testing.assert_array_equal(found.box_xywh, one.box_xywh)
