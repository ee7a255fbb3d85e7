"""The check after an export finds differences of the size that they have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from small_tracker import lively_tracker

from mmtrack_mixformerv2.deployment.parity import (
    RENDERED,
    Clip,
    compare,
    read_clip,
    record,
    refreshing,
    render_clip,
)
from mmtrack_mixformerv2.tracking import SequenceTracker, TrackingSettings

FRAMES = 12


@pytest.fixture(scope='module')
def clip() -> Clip:
    return render_clip(FRAMES)


@pytest.fixture(scope='module')
def loop(clip) -> SequenceTracker:
    """Templates are replaced every second frame."""
    model = lively_tracker()
    model.loop.settings = TrackingSettings(update_interval=5, score_threshold=0.01)
    return refreshing(model.loop, clip)


class Off:
    """A network that is off by so much of the crop at every frame, and of the score."""

    def __init__(self, loop: SequenceTracker, box: float = 0.0, score: float = 0.0) -> None:
        self.predictor, self.box, self.score = loop.predictor, box, score
        self.search_size, self.template_size = (
            loop.predictor.search_size,
            loop.predictor.template_size,
        )
        self.encoded = 0

    def encode_templates(self, crops: list[np.ndarray]) -> object:
        self.encoded += 1
        return self.predictor.encode_templates(crops)

    def predict(self, crop: np.ndarray, cache: object) -> tuple[np.ndarray, float]:
        found = self.predictor.predict(crop, cache)
        return found._replace(box=found.box + [0, self.box, 0, 0], score=found.score + self.score)


def test_the_clip_is_tracked_as_ever_and_its_templates_change(loop, clip):
    steps = record(loop, clip)
    state, boxes = loop.init(clip.frames[0], clip.box_xywh), []
    for frame in clip.frames[1:]:
        boxes.append(loop.track(frame, state).box_xywh)
    np.testing.assert_array_equal([step.box_xywh for step in steps], boxes)
    assert len({id(step.templates) for step in steps}) > 2
    assert clip.source == RENDERED and len(steps) == FRAMES - 1


def test_equal_trackers_do_not_differ(loop, clip):
    steps, same = record(loop, clip), Off(loop)
    parity = compare(loop, same, clip, steps, bound=0)
    assert parity.passed
    assert all(one == (0, 0) for one in (parity.crop, parity.frame, parity.score, parity.free))
    updates = len({id(step.templates) for step in steps})
    assert 2 * updates <= same.encoded <= 2 * updates + 1  # step by step, and freely


def test_a_planted_difference_is_measured_in_its_units(loop, clip):
    steps = record(loop, clip)
    size = loop.predictor.search_size
    parity = compare(loop, Off(loop, box=0.25 / size, score=0.01), clip, steps, bound=0.3)
    assert parity.passed and not compare(loop, Off(loop, 0.25), clip, steps, bound=0.3).passed
    np.testing.assert_allclose(parity.crop, 0.25, rtol=1e-5)
    np.testing.assert_allclose(parity.score, 0.01, rtol=1e-5)
    in_frame = [0.25 / step.resize_factor for step in steps]
    np.testing.assert_allclose(parity.frame, (max(in_frame), np.mean(in_frame)), rtol=1e-5)
    assert parity.free.largest > 0


def test_what_is_not_a_number_is_beyond_any_bound(loop, clip):
    parity = compare(loop, Off(loop, box=np.nan), clip, record(loop, clip), bound=np.inf)
    assert not parity.passed and parity.free is None


def test_clips_of_pictures_are_read_up_to_a_number_of_frames(tmp_path):
    for index in range(5):
        cv2.imwrite(str(tmp_path / f'{index}.png'), np.full((40, 60, 3), [index, 0, 9], np.uint8))
    clip = read_clip(tmp_path, (10, 10, 20, 20), frames=3)
    assert len(clip.frames) == 3 and clip.source == str(tmp_path)
    np.testing.assert_array_equal(clip.frames[2][0, 0], [9, 0, 2])  # RGB
    with pytest.raises(ValueError, match='entirely outside of the frame of 60 x 40'):
        read_clip(tmp_path, (100, 10, 20, 20), frames=3)
    cv2.imwrite(str(tmp_path / '1.png'), np.zeros((40, 61, 3), np.uint8))
    with pytest.raises(ValueError, match='has 5 frames of 2 sizes'):
        read_clip(tmp_path, (10, 10, 20, 20), frames=9)
    with pytest.raises(ValueError, match='has 1 frames'):
        read_clip(tmp_path, (10, 10, 20, 20), frames=1)
    with pytest.raises(FileNotFoundError, match=r'nowhere.mp4 does not exist'):
        read_clip('nowhere.mp4', (10, 10, 20, 20), frames=9)
