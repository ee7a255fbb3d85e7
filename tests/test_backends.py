"""One tracking loop, whatever runs the network."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from golden import noise_frame
from mmengine.config import Config
from small_tracker import lively_tracker, write_small_tracker

from mmtrack_mixformerv2.apis import open_tracker
from mmtrack_mixformerv2.deployment.backends import DTYPES, build_predictor, check_backend
from mmtrack_mixformerv2.runtime import BackendNotInstalled, ExportedModelError
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


def first_boxes(**runtime) -> np.ndarray:
    """``(2, 4)``: of a smaller model, for what takes long with every block."""
    model = lively_tracker()
    tracker = Tracker(SequenceTracker(build_predictor(model, **runtime), model.loop.settings))
    tracker.init(FRAMES[0], BOX)
    return np.stack([tracker.update(frame).box_xywh for frame in FRAMES[1:3]])


@pytest.fixture(scope='module')
def expected(model) -> np.ndarray:
    return track(model.loop.predictor)


def test_torch_is_exact(model, expected):
    np.testing.assert_allclose(track(build_predictor(model)), expected, atol=1e-3)


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_exported_models_are_exact(model, expected, backend, exported_tracker):
    pytest.importorskip(backend)
    predictor = build_predictor(model, backend=backend, exported=exported_tracker)
    np.testing.assert_allclose(track(predictor), expected, atol=1e-3)


def test_without_files_the_model_is_exported_for_the_time_being():
    for package in ('onnxscript', 'onnxruntime', 'openvino'):
        pytest.importorskip(package)
    np.testing.assert_allclose(
        first_boxes(backend='openvino'), first_boxes(backend='torch'), atol=1e-3
    )


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_what_is_not_installed_is_said_before_the_export(model, monkeypatch, backend):
    monkeypatch.setitem(sys.modules, backend, None)
    monkeypatch.setitem(sys.modules, 'onnxscript', None)  # which the export would miss
    with pytest.raises(BackendNotInstalled, match=f'python -m pip install {backend}'):
        build_predictor(model, backend=backend)


def test_files_of_other_weights_are_refused(exported_tracker):
    with pytest.raises(ExportedModelError, match='was exported from the weights .* export the'):
        build_predictor(lively_tracker(), exported=exported_tracker)


@pytest.mark.skipif(shutil.which('c++') is None, reason='torch.compile needs a C++ compiler')
def test_compiled_is_exact():
    np.testing.assert_allclose(first_boxes(compile=True), first_boxes(compile=False), atol=1e-3)


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
        ({'num_threads': 2}, r'leave it out and call torch.set_num_threads\(2\)'),
        ({'backend': 'openvino', 'dtype': 'int8'}, 'needs calibration: export it with tools/'),
        ({'backend': 'tensorrt'}, 'beside an exported model; make one'),
    ],
)
def test_settings_that_do_not_fit_are_named(model, settings, message):
    with pytest.raises(ValueError, match=message):
        build_predictor(model, **settings)


def test_a_model_in_training_mode_is_named():
    with pytest.warns(RuntimeWarning, match=r'training mode, .* call model\.eval\(\)'):
        build_predictor(lively_tracker().train())


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
