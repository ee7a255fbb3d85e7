"""All trackers of a comparison are scored alike, on data that says every box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layouts import make_got10k
from mmengine.config import Config
from small_tracker import annotated_test

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.comparison import build_test_set, measure_tracker, open_test_set
from mmtrack_mixformerv2.evaluation import SequenceTable
from mmtrack_mixformerv2.tracking import StillBox, TrackResult

FRAMES = 24  # of each of two videos; frames 3 and 5 do not show the target


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Config:
    cfg = annotated_test(tmp_path_factory.mktemp('comparison'))
    cfg.test_evaluator = {'type': 'BenchmarkMetric', 'protocol': 'folder', 'outfile_prefix': 'no'}
    return cfg


@pytest.fixture(scope='module')
def test_set(config):
    return build_test_set(config)


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


def measure(tracker, test_set):
    dataset, new_scorer = test_set
    return measure_tracker(tracker, dataset, new_scorer(), progress=False)


def test_every_box_and_the_visibility_come_with_the_test_frames(test_set):
    dataset, _ = test_set
    samples = [dataset[(1, index)]['data_samples'] for index in range(FRAMES)]
    boxes = np.stack([sample.instances[0]['bbox'] for sample in samples])
    expected = dataset.get_bboxes_from_video(1)
    np.testing.assert_array_equal(boxes[:, 2:] - boxes[:, :2], expected[:, 2:])
    np.testing.assert_array_equal(boxes[:, :2], expected[:, :2])
    hidden = [i for i, sample in enumerate(samples) if not sample.instances[0]['visible']]
    assert hidden == [3, 5]


def test_the_metric_counts_what_it_should(test_set):
    record = measure(Oracle(test_set[0]), test_set)
    # Of 21 thresholds only "IoU above 1" is out of reach; two frames of 24 do not count.
    share = 100 * (FRAMES - 2) / FRAMES
    assert record.metrics['sot/success'] == pytest.approx(share * 20 / 21)
    assert record.metrics['sot/precision'] == pytest.approx(share)
    assert record.metrics['sot/norm_precision'] == pytest.approx(share)
    still = measure(StillBox(), test_set)
    assert still.metrics['sot/success'] < record.metrics['sot/success'] / 2
    assert 0 < record.frames_per_second < np.inf


def test_a_model_is_a_tracker_like_the_others(test_set, config):
    tracker = load_tracker(config, config.load_from)
    tracker.name = 'model'
    record = measure(tracker, test_set)
    assert record.boxes_xywh.keys() == {0, 1}
    assert all(boxes.shape == (FRAMES, 4) for boxes in record.boxes_xywh.values())
    assert np.ptp(record.boxes_xywh[1][:, 0]) > 0
    assert record.metrics == measure(tracker, test_set).metrics


def test_weights_of_another_model_are_refused(config, tmp_path):
    torch.save({'state_dict': {'other': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        load_tracker(config, str(tmp_path / 'other.pth'))


def visible(test_set) -> int:
    """Frames of the first sequence whose target is said to be seen."""
    return int(SequenceTable(test_set[0])[0].visible.sum())


def test_a_folder_is_a_test_set_with_its_labels_if_it_has_an_info_file(tmp_path):
    make_got10k(tmp_path / 'data')
    listed = open_test_set(tmp_path / 'data')
    assert listed[0].num_videos == 2 and visible(listed) == FRAMES - 2
    (tmp_path / 'data/annotations/got10k_train_infos.txt').unlink()
    plain = open_test_set(tmp_path / 'data')
    assert plain[0].num_videos == 2 and visible(plain) == FRAMES
    assert len(measure(StillBox(), plain).metrics) == 3


def test_a_config_is_a_test_set(config, tmp_path):
    config.dump(tmp_path / 'some_test.py')
    dataset, _ = open_test_set(tmp_path / 'some_test.py')
    assert dataset.num_videos == 2


def test_data_that_cannot_be_scored_are_named(tmp_path):
    make_got10k(tmp_path / 'data', split='test')  # only the first box, as its server has the others
    with pytest.raises(ValueError, match='GOT-10k_Test_000001 has 24 frames and 1 box'):
        open_test_set(tmp_path / 'data')
    with pytest.raises(FileNotFoundError, match='there is no .*nowhere, expected a test config or'):
        open_test_set(tmp_path / 'nowhere')
    (tmp_path / 'training.py').write_text('model = dict()')
    with pytest.raises(ValueError, match='has no test_dataloader or no test_evaluator'):
        open_test_set(tmp_path / 'training.py')
