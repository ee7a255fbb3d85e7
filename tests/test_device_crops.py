"""Crops cut out by torch: byte for byte those of OpenCV, of any view of a frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtrack_mixformerv2.models.device_crops import DeviceCrops
from mmtrack_mixformerv2.tracking import crop_region, validate_frame

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICES = ['cpu', pytest.param('cuda', marks=needs_gpu)]
HEIGHT, WIDTH = 90, 130


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).integers(0, 256, shape, dtype=np.uint8)


VIEWS = {
    'contiguous': lambda h, w: noise(h, w, 3),
    'bgr': lambda h, w: noise(h, w, 3)[..., ::-1],
    'mirrored': lambda h, w: noise(h, w, 3)[:, ::-1],
    'turned': lambda h, w: noise(h, w, 3)[::-1, ::-1],
    'rgba': lambda h, w: noise(h, w, 4),
    'bgra': lambda h, w: noise(h, w, 4)[..., 2::-1],
    'planes': lambda h, w: noise(3, h, w).transpose(1, 2, 0),
    'part': lambda h, w: noise(h + 9, w + 20, 3)[4 : 4 + h, 11 : 11 + w],
    'sparse': lambda h, w: noise(3 * h, 4 * w, 3)[::3, ::4, ::-1],
    'grey': lambda h, w: noise(h, w),
    'read-only': lambda h, w: np.frombuffer(noise(h, w, 3).tobytes(), np.uint8).reshape(h, w, 3),
}


def check(crops: DeviceCrops, frame: np.ndarray, boxes: list, factor: float, size: int) -> None:
    """Compare one cut of several boxes with OpenCV's crops."""
    found = crops.cut_all(crops.load(frame), boxes, factor, size)
    assert len(found) == len(boxes)
    for (crop, resize_factor), box in zip(found, boxes):
        expected, expected_factor = crop_region(frame, box, factor, size)
        assert crop.dtype == torch.uint8 and crop.device.type == crops.device.type
        np.testing.assert_array_equal(
            crop.cpu().numpy(), expected, err_msg=str((box, factor, size))
        )
        assert resize_factor == expected_factor


def random_boxes(rng: np.random.Generator, count: int, height: int, width: int) -> list:
    """Boxes of all sizes, some on whole pixels, some far outside."""
    sizes = np.exp(rng.uniform(np.log(0.4), np.log(100), (count, 2)))
    whole = rng.random(count) < 0.3
    sizes[whole] = np.ceil(sizes[whole])
    centres = rng.uniform(-0.4, 1.4, (count, 2)) * (width, height)
    return np.concatenate([centres - sizes / 2, sizes], axis=1).tolist()


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('view', VIEWS)
def test_crops_are_those_of_opencv_byte_for_byte(view, device):
    rng, crops = np.random.default_rng(list(view.encode())), DeviceCrops(device)
    for _ in range(12):
        height, width = (int(side) for side in rng.integers(2, 160, 2))
        frame = validate_frame(VIEWS[view](height, width))
        size, factor = int(rng.choice([7, 16, 32, 61, 64])), float(rng.choice([1, 2, 3.3, 5]))
        check(crops, frame, random_boxes(rng, 16, height, width), factor, size)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('size', [32, 112])
def test_squares_that_opencv_treats_in_its_own_way(size, device):
    crops, frame = DeviceCrops(device), noise(HEIGHT, WIDTH, 3)
    for side in (1, 2, size // 2, size - 1, size, size + 1, 2 * size, 4 * size, 900):
        centres = [(60, 40), (60.5, 41), (-side / 2 + 3, 50), (WIDTH, HEIGHT)]
        boxes = [(x - side / 2, y - side / 2, side, side) for x, y in centres]
        check(crops, frame, boxes, 1.0, size)


def test_a_box_outside_of_the_frame_shows_black():
    crops = DeviceCrops('cpu')
    frame = crops.load(np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    for box in [(-90, 20, 30, 30), (WIDTH + 40, 20, 30, 30), (20, HEIGHT + 9, 8, 8)]:
        assert not crops.cut(frame, box, 1.5, 32)[0].any()


def test_the_memory_of_a_frame_is_uploaded_as_it_is_unless_most_of_it_is_not_seen():
    crops, size = DeviceCrops('cpu'), HEIGHT * WIDTH
    uploaded = {
        name: len(crops.load(validate_frame(view(HEIGHT, WIDTH))).memory)
        for name, view in VIEWS.items()
    }
    assert uploaded['grey'] == size
    assert uploaded['bgr'] == uploaded['mirrored'] == uploaded['planes'] == 3 * size
    assert uploaded['rgba'] == 4 * size - 1  # without the last alpha
    assert uploaded['sparse'] == 3 * size  # of 36


def test_a_loaded_frame_does_not_change_with_the_array():
    crops, array = DeviceCrops('cpu'), noise(HEIGHT, WIDTH, 3)
    expected = crop_region(array, (40, 30, 20, 20), 2, 32)[0]
    frame = crops.load(array)
    array[:] = 0  # as a decoder that reuses its buffer
    np.testing.assert_array_equal(crops.cut(frame, (40, 30, 20, 20), 2, 32)[0], expected)


@pytest.mark.parametrize('device', DEVICES)
def test_earlier_crops_and_frames_stay_as_they_are(device):
    crops, boxes = DeviceCrops(device), [(40, 30, 20, 20), (70, 50, 12, 18)]
    arrays = [noise(HEIGHT - 7 * i, WIDTH + 50 * i, 3, seed=i) for i in range(4)]
    frames = [crops.load(array) for array in arrays]
    # More kinds of cuts than there are steps kept, in two rounds.
    calls = [(i, count, size) for i in range(4) for count in (1, 2) for size in (16, 24, 32)] * 2
    cut = [crops.cut_all(frames[i], boxes[:count], 2.0, size) for i, count, size in calls]
    for (i, count, size), found in zip(calls, cut):
        for (crop, _), box in zip(found, boxes[:count]):
            expected = crop_region(arrays[i], box, 2.0, size)[0]
            np.testing.assert_array_equal(crop.cpu().numpy(), expected)
    assert crops.cut_all(frames[0], [], 2.0, 16) == []


@pytest.mark.parametrize('box', [(10, 10, 0, 5), (10, 10, 5, -1)])
def test_boxes_without_area_are_refused_as_by_the_host(box):
    crops = DeviceCrops('cpu')
    with pytest.raises(ValueError, match='must be at least 1 px'):
        crops.cut(crops.load(noise(HEIGHT, WIDTH, 3)), box, 2.0, 32)


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_a_missing_gpu_is_named_with_the_fix():
    with pytest.raises(RuntimeError, match='install a build for your driver|CUDA_VISIBLE_DEVICES'):
        DeviceCrops('cuda')
