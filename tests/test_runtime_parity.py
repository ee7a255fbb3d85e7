"""A tracker gives the same boxes exported as in torch, over a clip with template updates."""

from __future__ import annotations

import numpy as np
import pytest
from small_tracker import lively_tracker

from mmtrack_mixformerv2.runtime import open_predictor
from mmtrack_mixformerv2.synthetic import render_sequence
from mmtrack_mixformerv2.tracking import SequenceTracker, Tracker, TrackingSettings

CLIP = render_sequence(3, 1, 'easy', num_frames=16, size=(160, 120))
FRAMES = CLIP.frames[..., ::-1]
TARGET = CLIP.boxes_xywh[0]
OTHERS = [TARGET + [12, -8, 6, 4], TARGET * [0.5, 1, 1, 1.5]]


@pytest.fixture(scope='module')
def model():
    return lively_tracker(depth=2)


@pytest.fixture(scope='module', params=['onnxruntime', 'openvino'])
def predictor(request, exported_tracker):
    pytest.importorskip(request.param)
    return open_predictor(exported_tracker, backend=request.param, num_threads=1)


def track(predictor, boxes, online: int) -> list[list]:
    settings = TrackingSettings(
        num_online_templates=online, update_interval=3, score_threshold=0.3, search_factor=4.5
    )
    tracker = Tracker(SequenceTracker(predictor, settings))
    tracker.init(FRAMES[0], boxes)
    return [tracker.update(frame) for frame in FRAMES[1:]]


@pytest.mark.parametrize('online', [0, 1, 2, 3])
def test_the_boxes_are_those_of_torch(model, predictor, online):
    boxes = [TARGET, *OTHERS]
    expected = track(model.loop.predictor, boxes, online)
    assert any(one.template_updated for row in expected for one in row) == (online > 0)
    moved = np.ptp([row[0].box_xywh for row in expected], axis=0)
    assert moved.max() > 5  # pixels: a tracker that gave one box again and again would not do
    for row, expected_row in zip(track(predictor, boxes, online), expected, strict=True):
        for one, other in zip(row, expected_row, strict=True):
            np.testing.assert_allclose(one.box_xywh, other.box_xywh, rtol=0, atol=1e-3)
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert one.template_updated == other.template_updated


def test_a_batch_of_targets_is_each_of_them(predictor):
    together = track(predictor, [TARGET, *OTHERS], online=2)
    for number, box in enumerate([TARGET, *OTHERS]):
        for row, one in zip(together, track(predictor, box, online=2), strict=True):
            np.testing.assert_allclose(row[number].box_xywh, one.box_xywh, rtol=0, atol=1e-3)
            assert row[number].template_updated == one.template_updated


def test_one_crop_in_every_place_is_as_several_equal_ones(predictor):
    """Equal templates attend to each other as one does to itself."""
    rng = np.random.default_rng(0)
    size = predictor.template_size
    crop = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    once = predictor.encode_templates([crop] * 3)
    each = predictor.encode_templates([crop, crop.copy(), crop.copy()])
    for array, expected in zip(once.arrays, each.arrays, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_settings_of_the_model_travel_with_it(model, predictor):
    assert predictor.info.settings == model.loop.settings
    assert predictor.info.search_size == model.backbone.search_size
    assert predictor.info.template_size == model.backbone.template_size
