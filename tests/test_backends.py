"""One tracking loop, whatever runs the network."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from golden import noise_frame
from mmengine.config import Config
from small_tracker import lively_tracker, write_small_tracker

from mmtrack_mixformerv2.apis import open_tracker
from mmtrack_mixformerv2.deployment.backends import DTYPES, build_predictor, check_backend
from mmtrack_mixformerv2.tracking import SequenceTracker, Tracker, TrackingSettings

BOX = (60, 45, 30, 24)
FRAMES = [noise_frame(f'frame_{index}') for index in range(8)]


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    return lively_tracker(depth=2)


def track(predictor) -> np.ndarray:
    """``(frames, 5)``: boxes and scores, with updates of the templates on the way."""
    settings = TrackingSettings(update_interval=3, score_threshold=0.1)
    tracker = Tracker(SequenceTracker(predictor, settings))
    tracker.init(FRAMES[0], BOX)
    results = [tracker.update(frame) for frame in FRAMES[1:]]
    assert any(result.template_updated for result in results)
    return np.array([[*result.box_xywh, result.score] for result in results])


@pytest.fixture(scope='module')
def expected(model) -> np.ndarray:
    return track(model.loop.predictor)


@pytest.mark.parametrize('backend', ['torch', 'onnxruntime', 'openvino'])
def test_float32_is_exact(model, expected, backend):
    if backend != 'torch':
        pytest.importorskip(backend)
        pytest.importorskip('onnxscript')
    np.testing.assert_allclose(track(build_predictor(model, backend=backend)), expected, atol=1e-3)


@pytest.mark.skipif(shutil.which('c++') is None, reason='torch.compile needs a C++ compiler')
def test_compiled_is_exact():
    model, found = lively_tracker(), []
    for compile in (False, True):
        tracker = Tracker(
            SequenceTracker(build_predictor(model, compile=compile), model.loop.settings)
        )
        tracker.init(FRAMES[0], BOX)
        found.append([tracker.update(frame).box_xywh for frame in FRAMES[1:3]])
    np.testing.assert_allclose(*found, atol=1e-3)


def test_other_types_are_near(model, expected):
    for dtype in ('bfloat16', 'float16'):
        boxes = track(build_predictor(model, dtype=dtype))
        assert 0 < np.abs(boxes[0] - expected[0]).max() < 1


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'backend': 'onnx'}, "backend is 'onnx', expected one of torch, onnxruntime, openvino"),
        ({'dtype': 'int8'}, 'for the backend torch; int8 runs on onnxruntime, openvino'),
        ({'backend': 'onnxruntime', 'dtype': 'bfloat16'}, 'bfloat16 runs on torch, openvino'),
        ({'backend': 'openvino', 'compile': True}, "compile is for the backend 'torch'"),
        ({'backend': 'torch', 'exported': 'folder'}, 'is not for the backend torch'),
        ({'backend': 'openvino', 'dtype': 'int8'}, 'needs calibration: export it with tools/'),
    ],
)
def test_settings_that_do_not_fit_are_named(model, settings, message):
    with pytest.raises(ValueError, match=message):
        build_predictor(model, **settings)


def test_every_backend_has_an_exact_type():
    for backend in DTYPES:
        check_backend(backend, 'float32')


def test_a_tracker_is_opened_with_a_config_and_weights(tmp_path):
    config, weights = write_small_tracker(tmp_path)
    boxes = []
    for source in (str(config), Config.fromfile(config)):
        tracker = open_tracker(source, str(weights))
        tracker.init(FRAMES[0], BOX)
        boxes.append(tracker.update(FRAMES[1]).box_xywh)
    np.testing.assert_array_equal(*boxes)
