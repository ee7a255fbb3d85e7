"""All trackers of a comparison are scored alike, on data that says every box."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
import torch
from layouts import make_got10k
from mmengine.config import Config
from mmengine.runner import Runner
from small_tracker import write_small_tracker

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.comparison import (
    dataset_of,
    measure_model,
    measure_tracker,
)
from mmtrack_mixformerv2.tracking import StillBox, TrackResult

FRAMES = 24  # of each of two videos; frames 3 and 5 do not show the target


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp('comparison')
    make_got10k(folder / 'data')
    path, weights = write_small_tracker(folder)
    cfg = Config.fromfile(path)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.update(
        type='AnnotatedGOT10kDataset',
        data_root=str(folder / 'data'),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix={'img_path': ''},
    )
    cfg.test_evaluator = {'type': 'SOTMetric', 'metric_options': {'only_eval_visible': True}}
    cfg.update(work_dir=str(folder / 'work_dir'), load_from=str(weights), log_level='ERROR')
    return cfg


@pytest.fixture
def runner(config) -> Runner:
    config.experiment_name = uuid.uuid4().hex
    return Runner.from_cfg(config)


class Oracle:
    """Knows the boxes."""

    name = 'oracle'

    def __init__(self, dataset):
        self.boxes = np.concatenate([dataset.get_bboxes_from_video(i) for i in range(2)])
        self.count = 0

    def init(self, frame, box_xywh):
        np.testing.assert_array_equal(box_xywh, self.boxes[self.count])
        assert frame[int(box_xywh[1]) + 2, int(box_xywh[0]) + 2, 0] > 200  # red comes first
        self.count += 1

    def track(self, frame, state):
        self.count += 1
        return TrackResult(self.boxes[self.count - 1], None, False)


def test_every_box_and_the_visibility_come_with_the_test_frames(runner):
    dataset = dataset_of(runner)
    samples = [dataset[(1, index)]['data_samples'] for index in range(FRAMES)]
    boxes = np.stack([sample.instances[0]['bbox'] for sample in samples])
    expected = dataset.get_bboxes_from_video(1)
    np.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], expected[:, 2:])
    np.testing.assert_array_equal(boxes[:, :2], expected[:, :2])
    hidden = [i for i, sample in enumerate(samples) if not sample.instances[0]['visible']]
    assert hidden == [3, 5]


def measure(tracker, runner, config):
    scorer = runner.build_evaluator(config.test_evaluator)
    return measure_tracker(tracker, dataset_of(runner), scorer, progress=False)


def test_the_metric_counts_what_it_should(runner, config):
    dataset = dataset_of(runner)
    record = measure(Oracle(dataset), runner, config)
    # Of 21 thresholds only "IoU above 1" is out of reach; two frames of 24 do not count.
    share = 100 * (FRAMES - 2) / FRAMES
    assert record.metrics['sot/success'] == pytest.approx(share * 20 / 21)
    assert record.metrics['sot/precision'] == pytest.approx(share)
    assert record.metrics['sot/norm_precision'] == pytest.approx(share)
    still = measure(StillBox(), runner, config)
    assert still.metrics['sot/success'] < record.metrics['sot/success'] / 2
    assert 0 < record.frames_per_second < np.inf


def test_both_ways_to_measure_give_the_same(runner, config):
    by_runner = measure_model(runner, 'model', progress=False)
    tracker = load_tracker(config, config.load_from).cpu()
    tracker.name = 'model'
    by_hand = measure(tracker, runner, config)
    assert by_runner.metrics == by_hand.metrics
    assert by_runner.boxes_xywh.keys() == by_hand.boxes_xywh.keys() == {0, 1}
    for video, boxes in by_hand.boxes_xywh.items():
        assert boxes.shape == (FRAMES, 4)
        np.testing.assert_allclose(by_runner.boxes_xywh[video], boxes, atol=1e-4)
    assert np.ptp(boxes[:, 0]) > 0


def test_weights_of_another_model_are_refused(config, tmp_path):
    torch.save({'state_dict': {'other': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        load_tracker(config, str(tmp_path / 'other.pth'))
