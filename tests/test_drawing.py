"""Pictures show the boxes where they are."""

from __future__ import annotations

import cv2
import numpy as np

from mmtrack_mixformerv2.drawing import Mark, draw_boxes, write_strip

MARKS = [Mark('tracker', (0, 0, 255)), Mark('annotation', (0, 255, 0))]


def grey(height: int = 40, width: int = 60, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_boxes_are_drawn_at_scale_and_the_first_mark_on_top():
    frame = grey()
    picture = draw_boxes(frame, [(10, 8, 20, 16), (10, 8, 30, 16)], MARKS, width=120)
    assert picture.shape == (80, 120, 3)
    assert (frame == 90).all()
    red, green = ((picture[..., channel] > 200).nonzero() for channel in (2, 1))
    assert (red[1].min(), red[0].min()) == (20, 16) and red[1].max() == 60
    assert green[1].max() == 80
    assert picture[30, 20, 2] > 200 > picture[30, 20, 1]  # both boxes have their left edge here


def test_a_missing_box_and_one_off_the_frame_are_left_out():
    picture = draw_boxes(grey(), [None, (500, 500, 10, 10)], MARKS, width=60)
    np.testing.assert_array_equal(picture, grey())


def test_a_strip_holds_rows_of_different_lengths(tmp_path):
    path = tmp_path / 'new' / 'strip.png'
    write_strip(path, [[grey(), grey(30)], [grey(value=200)]], MARKS)
    strip = cv2.imread(str(path))
    assert strip.shape == (24 + 2 * 42, 2 * 62, 3)
    assert (strip[24 + 42 + 5, 5] == 200).all()
