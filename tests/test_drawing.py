"""Pictures show the boxes where they are; videos can be read back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmtrack_mixformerv2.drawing import (
    Mark,
    count_frames,
    draw_boxes,
    read_frames,
    write_strip,
    write_video,
)

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


@pytest.mark.parametrize('size', [(48, 64), (33, 47)])
def test_a_video_is_read_back_frame_by_frame(tmp_path, size):
    frames = [grey(*size, value=20 * index) for index in range(7)]
    path = write_video(tmp_path / 'new' / 'clip', iter(frames))
    assert path.stem == 'clip' and [path] == list(path.parent.iterdir())
    assert count_frames(path) == 7
    for index, frame in enumerate(read_frames(path)):
        assert abs(frame.mean() - 20 * index) < 6
    assert index == 6


def test_a_video_that_fails_keeps_the_earlier_one(tmp_path):
    path = write_video(tmp_path / 'clip', [grey()])
    before = path.read_bytes()

    def broken():
        yield grey(value=200)
        raise RuntimeError('no more')

    with pytest.raises(RuntimeError, match='no more'):
        write_video(tmp_path / 'clip', broken())
    assert [path] == list(tmp_path.iterdir()) and path.read_bytes() == before


def test_a_video_without_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no frames for .*clip'):
        write_video(tmp_path / 'clip', [])


def test_a_folder_of_pictures_is_read_in_order(tmp_path):
    for index in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f'{index}.png'), grey(value=10 * index))
    (tmp_path / 'notes.txt').write_text('no picture')
    assert count_frames(tmp_path) == 3
    assert [int(frame.mean()) for frame in read_frames(tmp_path)] == [0, 10, 20]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.*does not exist'):
        next(read_frames(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='holds no pictures'):
        next(read_frames(tmp_path))
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='broken.png cannot be decoded as a picture'):
        next(read_frames(tmp_path))
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(ValueError, match='text.mp4 cannot be decoded as a video'):
        next(read_frames(tmp_path / 'text.mp4'))
