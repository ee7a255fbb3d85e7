"""The baselines of the demonstration track what they can and never fail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from golden import noise_frame

from mmtrack_mixformerv2.tracking import OpenCVTracker, StillBox


@pytest.fixture(autouse=True)
def one_thread():
    """OpenCV's threads get in each other's way on machines that are busy."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def moving_square(count: int) -> tuple[list[np.ndarray], list[tuple[int, ...]]]:
    """A textured square that moves 3 px to the right per frame over another texture."""
    background = cv2.resize(noise_frame('background', (30, 40, 3)), (160, 120))
    target = cv2.resize(noise_frame('target', (6, 6, 3)), (24, 24))
    frames, boxes = [], []
    for index in range(count):
        x = 30 + 3 * index
        frame = background.copy()
        frame[50:74, x : x + 24] = target
        frames.append(frame)
        boxes.append((x, 50, 24, 24))
    return frames, boxes


def test_the_still_box_stays():
    frames, boxes = moving_square(3)
    tracker = StillBox()
    state = tracker.init(frames[0], boxes[0])
    for frame in frames[1:]:
        result = tracker.track(frame, state)
        np.testing.assert_array_equal(result.box_xywh, boxes[0])
        result.box_xywh[:] = 0  # the caller may write to it


def test_the_tracker_of_opencv_follows_a_square():
    frames, boxes = moving_square(12)
    tracker = OpenCVTracker()
    assert tracker.name.startswith('OpenCV ')
    state = tracker.init(frames[0][..., ::-1], boxes[0])
    for frame in frames[1:]:
        box = tracker.track(frame[..., ::-1], state).box_xywh
    np.testing.assert_allclose(box[:2], boxes[-1][:2], atol=6)


@pytest.mark.parametrize(
    'box', [(-10, -10, 30, 30), (150, 110, 60, 60), (0, 0, 160, 120), (10, 10, 3, 3), (0, 0, 1, 1)]
)
def test_boxes_that_opencv_cannot_start_with_do_not_fail(box):
    frame = noise_frame('border')
    tracker = OpenCVTracker()
    state = tracker.init(frame, box)
    for _ in range(3):
        frame = np.roll(frame, 5, axis=1)
        assert np.isfinite(tracker.track(frame, state).box_xywh).all()


def test_an_unknown_tracker_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r'has the trackers \[.*Tracker.*expected TrackerNone'):
        OpenCVTracker('TrackerNone')


@pytest.mark.parametrize('tracker', [StillBox(), OpenCVTracker()])
def test_bad_first_boxes_are_refused(tracker):
    with pytest.raises(ValueError, match='entirely outside'):
        tracker.init(noise_frame('bad'), (500, 0, 10, 10))
