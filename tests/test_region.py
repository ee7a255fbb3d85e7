"""Crops, the way back and the clip: equal to the published tracker, and safe on bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden import load, needs_golden, noise_frame

from mmtrack_mixformerv2.tracking import (
    clip_box,
    crop_region,
    padding_mask,
    region_to_image,
    training_label,
    validate_box,
    validate_frame,
)

HEIGHT, WIDTH, SIZE = 120, 160, 64
OWN = Path(__file__).parent / 'data' / 'crops.npz'  # a part of the golden file


@pytest.fixture(params=['own', pytest.param('golden', marks=needs_golden)])
def published(request) -> dict[str, np.ndarray]:
    if request.param == 'golden':
        return load('mixformerv2/f_crops.npz')
    with np.load(OWN) as arrays:
        return {key: arrays[key] for key in arrays.files}


def ramp_frame() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    channels = [
        255 * columns // (WIDTH - 1),
        255 * rows // (HEIGHT - 1),
        7 * (rows + columns) % 256,
    ]
    return np.stack(channels, axis=-1).astype(np.uint8)


def test_crops_equal_the_published_ones_byte_by_byte(published):
    frames = {'noise': noise_frame('crop_image'), 'ramp': ramp_frame()}
    names = [name for name in published if name.endswith('_crop')]
    assert len(names) >= 9
    for name in names:
        frame, box, factor, _ = name.split('_')
        expected_box = published[f'{box}_{factor}_box']
        patch, resize_factor = crop_region(frames[frame], expected_box, float(factor), SIZE)
        assert patch.dtype == np.uint8 and patch.flags.c_contiguous
        np.testing.assert_array_equal(patch, published[name], err_msg=name)
        assert resize_factor == published[f'{box}_{factor}_factor']


def test_padding_masks_equal_the_published_ones(published):
    names = [name for name in published if name.endswith('_padmask')]
    assert any(published[name].any() for name in names)
    for name in names:
        box, factor, _ = name.split('_')
        mask = padding_mask(
            (HEIGHT, WIDTH, 3), published[f'{box}_{factor}_box'], float(factor), SIZE
        )
        np.testing.assert_array_equal(mask, published[name], err_msg=name)


def test_clip_equals_the_published_one(published):
    for box, expected in zip(published['clip_in'], published['clip_out']):
        np.testing.assert_array_equal(clip_box(box, HEIGHT, WIDTH, margin=10), expected)


def test_training_label_equals_the_published_one(published):
    labels = zip(published['label_gt'], published['label_jittered'], published['label_out'])
    for box, around, (x, y, w, h) in labels:
        resize_factor = SIZE / np.ceil(5 * np.sqrt(around[2] * around[3]))
        label = training_label(box, around, SIZE, resize_factor)
        np.testing.assert_allclose(label, [x, y, x + w, y + h], rtol=0, atol=1e-6)


@pytest.mark.parametrize('box', [(60, 40, 30, 20), (-25, 100, 44, 31.5), (130.25, -8, 60, 12)])
def test_the_way_back_undoes_the_label_up_to_the_published_half_pixel(box):
    around = (50.0, 41.5, 33.0, 24.0)
    resize_factor = crop_region(ramp_frame(), around, 4.5, SIZE)[1]
    back = region_to_image(
        training_label(box, around, SIZE, resize_factor), around, SIZE, resize_factor
    )
    shift = 0.5 / resize_factor
    np.testing.assert_allclose(back, np.array(box) - [shift, shift, 0, 0], atol=1e-9)


def test_a_crop_shows_the_pixels_that_the_way_back_points_to():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[50:60, 90:110] = 255
    patch, resize_factor = crop_region(frame, (88, 45, 20, 20), 4, SIZE)
    rows, columns = np.nonzero(patch[..., 0] > 127)
    edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIZE
    box = region_to_image(edges, (88, 45, 20, 20), SIZE, resize_factor)
    np.testing.assert_allclose(box, [90, 50, 20, 10], atol=1.5)


@pytest.mark.parametrize(
    'box', [(-300, 40, 30, 20), (400, 40, 30, 20), (60, -300, 30, 20), (60, 900, 30, 20)]
)
def test_a_crop_outside_of_the_image_is_black(box):
    patch, _ = crop_region(np.full((HEIGHT, WIDTH, 3), 200, np.uint8), box, 2, 32)
    assert patch.shape == (32, 32, 3) and not patch.any()
    assert padding_mask((HEIGHT, WIDTH), box, 2, 32).all()


@pytest.mark.parametrize('box', [(60, 40, 30, 20), (140, 100, 30, 40)])
def test_a_crop_of_a_view_equals_the_crop_of_its_copy(box):
    bgr = noise_frame('view')
    bgr.flags.writeable = False
    patch, _ = crop_region(bgr[..., ::-1], box, 3, SIZE)
    expected, _ = crop_region(np.ascontiguousarray(bgr[..., ::-1]), box, 3, SIZE)
    np.testing.assert_array_equal(patch, expected)


@pytest.mark.parametrize(
    'box',
    [(1, 2, 0, 5), (1, 2, -3, 5), (1, 2, -3, -5), (1, 2, 1e-300, 1e-300), (1, 2, float('nan'), 5)],
)
def test_a_crop_without_a_pixel_is_refused(box):
    with pytest.raises(ValueError, match='is 0 px wide but must be at least 1 px'):
        crop_region(np.zeros((20, 20, 3), np.uint8), box, 2, 32)


def test_clip_keeps_a_reversed_box_usable():
    np.testing.assert_array_equal(clip_box((80, 60, -40, -30), HEIGHT, WIDTH), [80, 60, 10, 10])


@pytest.mark.parametrize('shape', [(7, 9, 3), (7, 9), (7, 9, 1), (7, 9, 4)])
def test_frames_pass_without_a_copy(shape):
    frame = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    checked = validate_frame(frame)
    assert checked.shape == (7, 9, 3) and np.shares_memory(checked, frame)
    first = frame if frame.ndim == 2 else frame[..., 0]
    np.testing.assert_array_equal(checked[..., 0], first)
    if shape[2:] in ((), (1,)):
        np.testing.assert_array_equal(checked[..., 2], first)
    else:
        np.testing.assert_array_equal(checked, frame[..., :3])
    if shape == (7, 9, 3):
        assert checked is frame
        assert np.shares_memory(validate_frame(frame[:, :, ::-1]), frame)


@pytest.mark.parametrize(
    'frame, error, message',
    [
        (None, TypeError, 'the frame is None.*cv2.imread.*check the file'),
        ([[0, 0], [0, 0]], TypeError, 'the frame is a list, expected a numpy uint8 array'),
        (np.zeros((4, 5, 3), np.uint16), TypeError, r'uint16.*expected uint8.*frame >> 8'),
        (np.zeros((4, 5, 3), np.float32), TypeError, r'float32.*expected uint8.*frame \* 255'),
        (np.zeros((4, 5), bool), TypeError, 'bool values, expected uint8.*convert'),
        (
            np.zeros((3, 4, 5), np.uint8),
            ValueError,
            r'\(3, 4, 5\).*1, 3 or 4 channels.*channels last',
        ),
        (np.zeros((1, 4, 5, 3), np.uint8), ValueError, r'\(1, 4, 5, 3\).*one frame at a time'),
        (np.zeros((5,), np.uint8), ValueError, r'shape \(5,\)'),
        (np.zeros((0, 5, 3), np.uint8), ValueError, 'at least one pixel'),
    ],
)
def test_unusable_frames_are_refused_with_advice(frame, error, message):
    with pytest.raises(error, match=message):
        validate_frame(frame)


@pytest.mark.parametrize(
    'box',
    [
        (1, 2, 3, 4),
        [1.5, 2, 3, 4],
        np.array([-2, -3, 10, 10]),
        np.array([155, 110, 40, 40], np.float32),
    ],
)
def test_usable_boxes_pass_unchanged(box):
    assert validate_box(box, HEIGHT, WIDTH) == tuple(float(value) for value in box)


@pytest.mark.parametrize(
    'box, message',
    [
        (
            (10, 10, 0, 5),
            r'size 0.0 x 5.0, expected a positive width and height.*not the two corners',
        ),
        ((10, 10, 5, -1), 'expected a positive width and height'),
        ((10, float('nan'), 5, 5), 'expected four finite numbers'),
        ((10, 10, float('inf'), 5), 'expected four finite numbers'),
        ((10, 10, 5), r'shape \(3,\), expected \(4,\); give x, y, width, height'),
        ([[10, 10, 5, 5]], r'shape \(1, 4\), expected \(4,\)'),
        (None, 'box'),
        (('a', 'b', 'c', 'd'), 'expected four numbers'),
        ([(1, 2), 3], 'expected four numbers'),
        ((160, 10, 5, 5), r'entirely outside of the frame of 160 x 120 px'),
        ((10, 120, 5, 5), 'entirely outside'),
        ((-5, 10, 5, 5), 'entirely outside'),
        ((10, -9, 5, 5), 'entirely outside'),
        ((0, 0, 1e6, 1e6), 'more than 2 times as large as the frame of 160 x 120 px'),
    ],
)
def test_unusable_boxes_are_refused_with_advice(box, message):
    with pytest.raises(ValueError, match=message):
        validate_box(box, HEIGHT, WIDTH)
