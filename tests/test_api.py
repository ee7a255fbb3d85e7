"""The tracker for programs: by every name of a model, on every kind of frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from small_tracker import write_small_tracker

import mmtrack_mixformerv2
from mmtrack_mixformerv2.apis import Tracker, inference_sot, init_model, open_tracker
from mmtrack_mixformerv2.synthetic import render_sequence
from mmtrack_mixformerv2.tracking import StatePolicy, TargetState
from mmtrack_mixformerv2.tracking.track_log import TrackLog

TINY = 'mixformerv2-tiny'


@pytest.fixture(scope='module')
def clip():
    return render_sequence(3, 1, 'easy', num_frames=6, size=(160, 120))  # BGR


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    return tuple(map(str, write_small_tracker(tmp_path_factory.mktemp('small'))))


@pytest.fixture(scope='module')
def results(small, clip):
    """Of the small tracker, frame by frame."""
    return follow(Tracker(*small), clip.frames[..., ::-1], clip.boxes_xywh[0])


def follow(tracker, frames, box):
    tracker.init(frames[0], box)
    return [tracker.update(frame) for frame in frames[1:]]


def assert_equal(found, expected, atol=0.0):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one.box_xywh, other.box_xywh, rtol=0, atol=atol)
        assert one.state == other.state
        assert one.score == pytest.approx(other.score, abs=1e-5)


# ---- names of models ---------------------------------------------------------------------------


def test_a_name_of_the_zoo_tracks(clip):
    tracker = Tracker(TINY)
    assert tracker.name == TINY
    for result, truth in zip(follow(tracker, clip.frames[..., ::-1], clip.boxes_xywh[0]),
                             clip.boxes_xywh[1:]):  # fmt: skip
        assert overlap(result.box_xywh, truth) > 0.5
        assert result.state is TargetState.TRACKED
        assert 0.5 < result.confidence <= 1
        assert result.edges.probabilities.shape == (4, 36)


def overlap(one, other):
    left, top = np.maximum(one[:2], other[:2])
    right, bottom = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    both = max(right - left, 0) * max(bottom - top, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def test_a_config_is_a_file_or_an_object(small, clip, results):
    config, weights = small
    tracker = Tracker(Config.fromfile(config), weights)
    assert_equal(follow(tracker, clip.frames[..., ::-1], clip.boxes_xywh[0]), results)
    assert tracker.name == 'small_test'


def test_an_exported_model_is_a_folder_or_one_of_its_files(exported_tracker, clip):
    frames, box = clip.frames[..., ::-1], clip.boxes_xywh[0]
    by_folder = Tracker(exported_tracker)
    expected = follow(by_folder, frames, box)
    assert all(one.edges is not None and one.confidence is not None for one in expected)
    by_file = Tracker(str(exported_tracker / 'search.onnx'), num_threads=1)
    assert_equal(follow(by_file, frames, box), expected, atol=1e-3)


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        ('mixformerv2-tinny', {}, 'mixformerv2-tiny'),
        ('nowhere/config.py', {}, 'there is no config nowhere/config.py'),
        ('nowhere/exported', {}, 'there is no file or folder nowhere/exported'),
        ('', {}, "there is no model ''"),
        ('nowhere/search.onnx', {}, 'there is no file nowhere/search.onnx'),
        ('CONFIG', {}, 'needs a checkpoint'),
        ('WEIGHTS', {}, 'is no config; pass its config first'),
        ('EXPORTED', {'backend': 'torch'}, 'is an exported model, which torch does not run'),
        ('EXPORTED', {'checkpoint': 'WEIGHTS'}, 'has no checkpoint'),
        ('EXPORTED', {'compile': True}, 'has no compile'),
        (TINY, {'device': 'cuda'}, "device is 'cuda', and torch sees no GPU"),
        (TINY, {'device': 'gpu'}, "device is 'gpu', expected 'cpu', 'cuda'"),
        (TINY, {'color': 'grb'}, "color is 'grb', expected 'rgb', or 'bgr'"),
        (TINY, {'policy': {'patience': 0}}, 'policy.patience is 0'),
        (TINY, {'backend': 'tensorrt'}, 'tensorrt'),
    ],
)
def test_wrong_names_and_settings_say_what_to_do(model, options, message, small, request):
    if options.get('device') == 'cuda' and torch.cuda.is_available():
        pytest.skip('there is a GPU')
    if model == 'EXPORTED':
        model = request.getfixturevalue('exported_tracker')
    model = {'CONFIG': small[0], 'WEIGHTS': small[1]}.get(model, model)
    with pytest.raises((ValueError, OSError), match=message):
        Tracker(model, **options)


def test_without_openmmlab_exported_models_are_all_there_is():
    code = 'from mmtrack_mixformerv2 import Tracker; Tracker("mixformerv2-tiny")'
    root = str(Path(mmtrack_mixformerv2.__file__).parents[1])
    kept = [path for path in sys.path if 'site-packages' in path]
    hide = f"""
import sys
sys.path[:0] = {[root, *kept]!r}
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'mmengine', 'mmtrack', 'mmcv'):
            raise ModuleNotFoundError(name)
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == 'mmengine' else find(name, *a)
sys.meta_path.insert(0, Hidden())
"""
    done = subprocess.run([sys.executable, '-c', hide + code], capture_output=True, text=True)
    assert done.stderr.rstrip().splitlines()[-1].endswith('mmtrack==1.0.0rc1 mmcv-lite==2.1.0')
    assert 'needs MMTracking, which is not installed' in done.stderr


# ---- frames ------------------------------------------------------------------------------------


def test_the_order_of_channels_is_said_once(small, clip, results):
    box = clip.boxes_xywh[0]
    assert_equal(follow(Tracker(*small, color='bgr'), clip.frames, box), results)
    with_alpha = np.concatenate([clip.frames, clip.frames[..., :1]], axis=-1)
    assert_equal(follow(Tracker(*small, color='bgr'), with_alpha, box), results)
    swapped = follow(Tracker(*small), clip.frames, box)
    assert any(not np.array_equal(a.box_xywh, b.box_xywh) for a, b in zip(swapped, results))


def test_videos_are_iterated_with_their_first_frame(small, clip, results, tmp_path):
    box = clip.boxes_xywh[0]
    for index, frame in enumerate(clip.frames):
        assert cv2.imwrite(str(tmp_path / f'{index}.png'), frame)
    tracker = Tracker(*small)
    for source in (clip.frames[..., ::-1], tmp_path, str(tmp_path / '*.png')):
        first, *others = tracker.track(source, box)
        assert_equal(others, results)
        np.testing.assert_array_equal(first.box_xywh, box)
        assert first.score is None and first.state is TargetState.TRACKED
    bgr = Tracker(*small, color='bgr')
    assert_equal(list(bgr.track(tmp_path, box))[1:], results)  # files have their own order
    assert_equal(list(bgr.track(iter(clip.frames), box))[1:], results)


def test_videos_that_are_tracked_at_the_same_time_do_not_disturb_each_other(small, clip, results):
    frames, box = clip.frames[..., ::-1], clip.boxes_xywh[0]
    tracker = Tracker(*small)
    tracker.init(frames[0], box)
    one, other = tracker.track(frames, box), tracker.track(frames[::-1], box + [20, 10, 0, 0])
    rows = [(a, tracker.update(frame)) for frame, a, _ in zip(frames, one, other)][1:]
    assert_equal([a for a, _ in rows], results)
    assert_equal(follow(tracker, frames, box), results)


@pytest.mark.parametrize('color', ['rgb', 'bgr'])
@pytest.mark.parametrize('convert', [np.ndarray.tolist, torch.from_numpy])
def test_frames_that_are_no_arrays_are_refused(small, clip, color, convert):
    with pytest.raises(TypeError, match='expected a numpy uint8 array'):
        Tracker(*small, color=color).init(convert(clip.frames[0]), clip.boxes_xywh[0])


def test_several_targets_are_lists(small, clip, results):
    box = clip.boxes_xywh[0]
    rows = list(Tracker(*small).track(clip.frames[..., ::-1], [box, box + [10, 5, 0, 0]]))
    assert [len(row) for row in rows] == [2] * len(clip.frames)
    assert_equal([row[0] for row in rows[1:]], results, atol=1e-3)


def test_a_video_without_frames_and_an_update_too_early(small):
    tracker = Tracker(*small)
    with pytest.raises(ValueError, match='no frames'):
        next(tracker.track([], (1, 2, 30, 40)))
    with pytest.raises(RuntimeError, match='update came before init'):
        tracker.update(np.zeros((60, 80, 3), np.uint8))


# ---- states ------------------------------------------------------------------------------------


def test_states_are_on_here_and_off_in_the_published_tracker(small, clip, results):
    frames, box = clip.frames[..., ::-1], clip.boxes_xywh[0]
    assert all(one.state is not None and one.confidence is not None for one in results)
    published = follow(open_tracker(*small), frames, box)
    assert all(one.state is None and one.confidence is None for one in published)
    assert open_tracker(*small).loop.settings.policy is None
    own = StatePolicy(patience=9)
    assert Tracker(*small, policy=own).loop.settings.policy == own
    assert Tracker(*small).loop.settings.policy == StatePolicy()


def test_the_policy_of_a_config_goes_before_the_default(small):
    config = Config.fromfile(small[0])
    config.model.test_cfg.policy = dict(patience=5)
    assert Tracker(config, small[1]).loop.settings.policy == StatePolicy(patience=5)
    assert Tracker(config, small[1], policy=None).loop.settings.policy is None


# ---- OpenMMLab's names -------------------------------------------------------------------------


def test_openmmlabs_names_track_as_ours_do(small, clip):
    model = init_model(*small, cfg_options={'model.test_cfg.update_interval': 2})
    assert model.loop.settings.update_interval == 2
    x, y, w, h = clip.boxes_xywh[0]
    tracker = open_tracker(model.cfg, small[1], backend='torch')
    expected = follow(tracker, clip.frames[..., ::-1], clip.boxes_xywh[0])
    corners = np.array([x, y, x + w, y + h])
    samples = [inference_sot(model, frame, corners, i) for i, frame in enumerate(clip.frames)]
    for sample, result in zip(samples[1:], expected):
        found = sample.pred_track_instances.bboxes[0].numpy()
        x, y, w, h = result.box_xywh
        np.testing.assert_allclose(found, [x, y, x + w, y + h], atol=1e-3)


# ---- the log of a track ------------------------------------------------------------------------


def test_a_log_is_the_same_after_json(results):
    import json

    log = TrackLog('target', results)
    again = TrackLog.from_dict(json.loads(json.dumps(log.to_dict())))
    assert again.name == 'target' and len(again) == len(results)
    np.testing.assert_allclose(again.boxes_xywh, log.boxes_xywh, atol=1e-4)
    np.testing.assert_allclose(again.confidences, log.confidences, atol=1e-6)
    assert again.states == log.states and again.template_updates == log.template_updates
    for one, other in zip(again.results, results):
        np.testing.assert_allclose(one.edges.positions, other.edges.positions, atol=2e-3)
        np.testing.assert_allclose(one.edges.probabilities, other.edges.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    'values',
    [{}, {'name': 'a'}, {'name': 'a', 'frames': [{}]}, {'name': 'a', 'frames': [3]},
     {'name': 'a', 'frames': [{'box_xywh': [1, 2, 3]}]},
     {'name': 'a', 'frames': [{'box_xywh': [1, 2, 3, 4], 'state': 'gone'}]},
     {'name': 'a', 'frames': [{'box_xywh': [1, 2, 3, 4], 'score': [1]}]},
     {'name': 'a', 'frames': [{'box_xywh': [1, 2, 3, 4], 'edges': {
         'probabilities': [[1, 2]], 'first': [1], 'last': [2]}}]}],
)  # fmt: skip
def test_what_is_no_log_is_refused(values):
    with pytest.raises(ValueError, match='expected|is not a valid'):
        TrackLog.from_dict(values)
