"""Exported models in a tracking loop: batches, sequences side by side, threads, wrong caches."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from golden import noise_frame

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('openvino')

from toy_graphs import GRAPHS, INFO, write_graph, write_toy, write_toy_ir

from mmtrack_mixformerv2.runtime import CacheMismatch, open_predictor
from mmtrack_mixformerv2.tracking import SequenceTracker, Tracker
from mmtrack_mixformerv2.tracking.lock_step import LockStep

BOXES = [(60, 45, 30, 24), (20, 70, 40, 16), (100, 20, 18, 30)]
FRAMES = [noise_frame(f'frame_{index}') for index in range(9)]


def crops(size: int, count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.fixture(scope='module')
def folders(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('toy')
    return {'onnx': write_toy(folder / 'onnx'), 'ir': write_toy_ir(folder / 'ir')}


@pytest.fixture(scope='module', params=['onnxruntime onnx', 'openvino onnx', 'openvino ir'])
def predictor(request, folders):
    backend, kind = request.param.split()
    return open_predictor(folders[kind], backend=backend, num_threads=1)


def alone(predictor, box, **changes) -> list:
    tracker = Tracker(SequenceTracker(predictor, dataclasses.replace(INFO.settings, **changes)))
    tracker.init(FRAMES[0], box)
    return [tracker.update(frame) for frame in FRAMES[1:]]


def assert_same(results, expected) -> None:
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one.box_xywh, other.box_xywh, rtol=0, atol=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-6)
        assert one.template_updated == other.template_updated


def test_the_graphs_are_really_run(predictor):
    """The numbers that the graphs of toy_graphs stand for, by NumPy."""
    (search,), templates = crops(16, 1), crops(8, 2)
    key = np.mean([template.mean((0, 1)) / 255 for template in templates], axis=0)
    seen = search.mean((0, 1)) / 255
    weights = [[0.3, 0.1, -0.2, 0.1], [0.2, -0.3, 0.1, 0.2], [-0.1, 0.1, 0.3, -0.1]]
    expected = (seen - key) * 2 * key @ np.array(weights) + [0.4, 0.4, 0.6, 0.6]
    box, score, edges = predictor.predict(search, predictor.encode_templates(templates))
    np.testing.assert_allclose(box, expected, atol=1e-6)
    assert box.dtype == np.float64 and score == pytest.approx(seen[0], abs=1e-6)
    assert edges is None  # this model has none


@pytest.mark.parametrize('online', [0, 1, 3])
def test_each_target_of_a_frame_moves_as_if_it_were_alone(predictor, online):
    settings = dataclasses.replace(INFO.settings, num_online_templates=online)
    tracker = Tracker(SequenceTracker(predictor, settings))
    tracker.init(FRAMES[0], BOXES)
    together = [tracker.update(frame) for frame in FRAMES[1:]]
    assert any(one.template_updated for row in together for one in row) == (online > 0)
    for number, box in enumerate(BOXES):
        expected = alone(predictor, box, num_online_templates=online)
        assert_same([row[number] for row in together], expected)


def test_interleaved_sequences_do_not_disturb_each_other(predictor):
    loop = SequenceTracker(predictor, INFO.settings)
    trackers = [Tracker(loop) for _ in BOXES]
    for tracker, box in zip(trackers, BOXES):
        tracker.init(FRAMES[0], box)
    rows = [[tracker.update(frame) for tracker in trackers] for frame in FRAMES[1:]]
    for results, box in zip(zip(*rows), BOXES):
        assert_same(results, alone(predictor, box))


def test_several_threads_may_use_one_predictor(predictor):
    expected = [alone(predictor, box) for box in BOXES]
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(alone, predictor, box) for _ in range(8) for box in BOXES]
        for number, run in enumerate(runs):
            assert_same(run.result(), expected[number % len(BOXES)])


def test_signals_are_handled_after_the_older_of_two_trackers_ended_first(folders):
    """In a process of its own, which OpenVINO would end."""
    code = """
import signal, subprocess, sys
from mmtrack_mixformerv2.runtime import open_predictor
signal.signal(signal.SIGCHLD, lambda *_: None)
first, second = (open_predictor(sys.argv[1], backend='openvino') for _ in range(2))
del first
del second
subprocess.run([sys.executable, '-c', ''], check=True)
"""
    command = [sys.executable, '-c', code, str(folders['onnx'])]
    subprocess.run(command, check=True)


def test_sequences_in_lock_step(predictor):
    @dataclasses.dataclass
    class Clip:
        frames: list
        boxes_xywh: np.ndarray

    clips = [Clip(FRAMES[: 5 + i], np.array([box])) for i, box in enumerate(BOXES)]
    lock_step = LockStep(SequenceTracker(predictor, INFO.settings), lambda frame: frame, 2)
    found = {
        (one.sequence, one.frame_index): one.box_xywh
        for step in lock_step.run(range(3), clips.__getitem__)
        for one in step
    }
    assert len(found) == 5 + 6 + 7
    for number, clip in enumerate(clips):
        for index, result in enumerate(alone(predictor, BOXES[number])[: len(clip.frames) - 1]):
            np.testing.assert_allclose(found[number, index + 1], result.box_xywh, atol=1e-4)


def test_one_crop_in_every_place_is_encoded_once(predictor, monkeypatch):
    run, counts = predictor._run_template, []

    def counted(batch):
        counts.append(batch.shape[:2])
        return run(batch)

    monkeypatch.setattr(predictor, '_run_template', counted)
    (still,), moved = crops(8, 1), crops(8, 3, seed=1)
    once, other = predictor.encode_templates_batch([[still] * 3, moved])
    assert counts == [(1, 1), (1, 3)]
    each = predictor.encode_templates([still, still.copy(), still.copy()])
    for cache, expected in ((once, each), (other, predictor.encode_templates(moved))):
        for array, wanted in zip(cache.arrays, expected.arrays, strict=True):
            np.testing.assert_allclose(array, wanted, rtol=0, atol=1e-6)


def test_a_target_keeps_nothing_of_the_others_in_memory(predictor):
    caches = predictor.encode_templates_batch([crops(8, 2, seed) for seed in range(3)])
    assert all(array.base is None or len(array.base) == 1 for c in caches for array in c.arrays)


def test_another_cache_takes_the_place_of_the_last_one(predictor):
    """The last batch of caches is kept where the runtime reads it; it must not be read too long."""
    (search,) = crops(16, 1)
    first, second = (predictor.encode_templates(crops(8, 2, seed)) for seed in (1, 2))
    before = predictor.predict(search, first)[0]
    assert np.abs(predictor.predict(search, second)[0] - before).max() > 1e-3
    pairs = predictor.predict_batch([search, search], [second, first])
    np.testing.assert_allclose(pairs[1][0], before, atol=1e-6)
    np.testing.assert_allclose(predictor.predict(search, first)[0], before, atol=1e-6)


def test_a_model_without_score_gives_none(folders, tmp_path):
    folder = write_toy(tmp_path / 'plain')
    text = GRAPHS['search'].replace(', float[B] score)', ')')
    text = text.replace('score = Gather <axis = 1> (seen, red)', '')
    info = dataclasses.replace(INFO, graph='search')
    write_graph(folder / 'search.onnx', text, info.to_strings())
    for backend in ('onnxruntime', 'openvino'):
        predictor = open_predictor(folder, backend=backend)
        box, score, _ = predictor.predict(crops(16, 1)[0], predictor.encode_templates(crops(8, 1)))
        assert score is None and box.shape == (4,)


def test_a_cache_of_another_model_is_refused(predictor, tmp_path):
    other = open_predictor(write_toy(tmp_path, model_hash='cd' * 32))
    (search,), cache = crops(16, 1), other.encode_templates(crops(8, 2))
    with pytest.raises(CacheMismatch, match='by the model cdcdcdcdcdcd, and this is toy abab'):
        predictor.predict(search, cache)
    own = predictor.encode_templates(crops(8, 2))
    with pytest.raises(CacheMismatch, match='cdcdcdcdcdcd'):
        predictor.predict_batch([search, search], [own, cache])
    with pytest.raises(CacheMismatch, match='the cache is a dict, expected what encode_templates'):
        predictor.predict(search, {'keys': own.arrays[0]})


@pytest.mark.parametrize(
    'crop',
    [
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((16, 16, 3), np.float32),
        np.zeros((16, 16), np.uint8),
    ],
)
def test_a_crop_that_the_model_does_not_read_is_refused(predictor, crop):
    cache = predictor.encode_templates(crops(8, 2))
    with pytest.raises(ValueError, match=r'expected uint8 RGB of shape \(16, 16, 3\); cut it with'):
        predictor.predict(crop, cache)


def test_a_view_on_a_larger_picture_may_be_a_crop(predictor):
    (large,), cache = crops(32, 1), predictor.encode_templates(crops(8, 2))
    view = large[:16, :16, ::-1]
    box = predictor.predict(view, cache).box
    np.testing.assert_array_equal(box, predictor.predict(view.copy(), cache)[0])
