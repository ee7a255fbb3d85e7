"""From frames to crops: exact flips and brightness, published labels, jitter and rejection."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from golden import load, needs_golden

from mmtrack_mixformerv2.datasets import (
    CropBrightness,
    CropFlip,
    CropTemplatesAndSearch,
    JointFlip,
    JointGrayscale,
    LoadFrame,
    LoadFrames,
    transforms,
)
from mmtrack_mixformerv2.datasets.transforms import brightness_table, jitter_box
from mmtrack_mixformerv2.tracking import crop_region, training_label

HEIGHT, WIDTH = 60, 80


def noise(height=HEIGHT, width=WIDTH, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sample(boxes=((20, 15, 40, 35),) * 3, frames=None, seed=0):
    """Two templates and a search frame; boxes are xyxy."""
    return dict(
        img=[noise(seed=i) for i in range(len(boxes))] if frames is None else frames,
        gt_bboxes=[np.array([box], np.float32) for box in boxes],
        rng=np.random.default_rng(seed),
    )


def test_frames_are_read_as_bgr_and_repeated_ones_once(tmp_path, monkeypatch):
    image = noise()
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, image)
    read = []
    original = transforms.read_frame
    monkeypatch.setattr(transforms, 'read_frame', lambda p: read.append(p) or original(p))
    results = LoadFrames().transform(dict(img_path=[path] * 3))
    assert all((frame == image).all() for frame in results['img'])
    assert read == [path]


def test_a_missing_or_broken_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone.jpg.*data_root'):
        LoadFrames().transform(dict(img_path=[str(tmp_path / 'gone.jpg')]))
    whole = cv2.imencode('.jpg', noise())[1].tobytes()
    for name, content in (('empty.jpg', b''), ('cut.jpg', whole[:20]), ('text.jpg', b'not found')):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf'{name} \({len(content)} bytes\).*decoded'):
            LoadFrames().transform(dict(img_path=[str(path)]))
        with pytest.raises(ValueError, match=rf'{name} \({len(content)} bytes\).*decoded'):
            LoadFrame().transform(dict(img_path=str(path)))


def test_any_image_is_read_as_three_channels_of_eight_bits(tmp_path):
    gray = noise()[..., 0]
    for name, image in (
        ('gray.png', gray),
        ('alpha.png', np.dstack([noise(), gray])),
        ('deep.png', noise().astype(np.uint16) * 257),
    ):
        cv2.imwrite(str(tmp_path / name), image)
        results = LoadFrame().transform(dict(img_path=str(tmp_path / name)))
        expected = np.dstack([gray] * 3) if name == 'gray.png' else noise()
        np.testing.assert_array_equal(results['img'], expected)
        assert results['img_shape'] == results['ori_shape'] == (HEIGHT, WIDTH)


def test_grayscale_is_joint_and_keeps_three_channels():
    results = JointGrayscale(prob=1).transform(sample())
    for i, frame in enumerate(results['img']):
        gray = cv2.cvtColor(noise(seed=i), cv2.COLOR_BGR2GRAY)
        assert frame.shape == (HEIGHT, WIDTH, 3)
        assert all((frame[..., channel] == gray).all() for channel in range(3))
    grays = [JointGrayscale(prob=0.5).transform(sample(seed=seed))['img'] for seed in range(40)]
    counts = [sum(frame.strides[2] == 0 for frame in frames) for frames in grays]
    assert set(counts) == {0, 3}


def test_no_transform_copies_a_frame():
    frames = [noise(seed=i) for i in range(3)]
    results = JointFlip(prob=1).transform(sample(frames=list(frames)))
    assert all(np.shares_memory(a, b) for a, b in zip(frames, results['img']))


def test_joint_flip_twice_is_the_identity_and_the_box_follows():
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[15:36, 20:41] = 255  # corner pixels 20 and 40, as x' = width - 1 - x reads a box
    results = JointFlip(prob=1).transform(sample(frames=[frame] * 3))
    x1, y1, x2, y2 = results['gt_bboxes'][2][0].astype(int)
    assert (x1, y1, x2, y2) == (39, 15, 59, 35)
    flipped = results['img'][2]
    assert flipped[y1 : y2 + 1, x1 : x2 + 1].min() == 255
    assert flipped.astype(int).sum() == frame.astype(int).sum()
    twice = JointFlip(prob=1).transform(results)
    assert all((image == frame).all() for image in twice['img'])
    assert all((boxes == [[20, 15, 40, 35]]).all() for boxes in twice['gt_bboxes'])


def test_crop_flip_twice_is_the_identity_and_the_label_follows():
    crop = np.zeros((32, 32, 3), np.uint8)
    crop[4:9, 6:20] = 255  # label 6, 4, 20, 9: edges, not pixels
    results = CropFlip(prob=1).transform(sample([(6, 4, 20, 9)] * 3, frames=[crop] * 3))
    x1, y1, x2, y2 = results['gt_bboxes'][1][0].astype(int)
    assert (x1, y1, x2, y2) == (12, 4, 26, 9)
    flipped = results['img'][1]
    assert flipped.flags.c_contiguous
    assert flipped[y1:y2, x1:x2].min() == 255 and (flipped > 0).sum() == (crop > 0).sum()
    twice = CropFlip(prob=1).transform(results)
    assert all((image == crop).all() for image in twice['img'])
    assert all((boxes == [[6, 4, 20, 9]]).all() for boxes in twice['gt_bboxes'])


def test_crops_are_flipped_independently_and_half_of_the_time():
    flips = []
    for seed in range(300):
        results = CropFlip().transform(sample(seed=seed))
        flips.append([bool(boxes[0, 0] != 20) for boxes in results['gt_bboxes']])
    assert len({tuple(flip) for flip in flips}) == 8
    assert np.allclose(np.mean(flips, axis=0), 0.5, atol=0.1)


@pytest.mark.parametrize('factor', [0.0, 0.8, 0.9371, 1.0, 1.2])
def test_brightness_equals_its_formula(factor):
    crop = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    results = CropBrightness(low=factor, high=factor).transform(sample(frames=[crop] * 3))
    expected = np.clip(crop / 255 * factor, 0, 1) * 255
    for changed in results['img']:
        assert changed.dtype == np.uint8 and changed.flags.c_contiguous
        assert np.abs(changed - expected).max() <= 0.5 + 1e-9
    assert (brightness_table(1.0) == np.arange(256)).all()


def test_brightness_differs_from_crop_to_crop():
    crop = np.full((4, 4, 3), 100, np.uint8)
    values = {
        int(image[0, 0, 0])
        for seed in range(100)
        for image in CropBrightness().transform(sample(frames=[crop] * 3, seed=seed))['img']
    }
    assert min(values) in (80, 81) and max(values) in (119, 120) and len(values) > 35


def crop_transform(**kwargs):
    return CropTemplatesAndSearch(**{'template_size': 32, 'search_size': 64, **kwargs})


def test_crops_without_jitter_are_those_of_the_tracker():
    boxes = [(20, 15, 40, 35), (4, 5, 18, 28), (60, 40, 78, 58)]
    results = crop_transform(center_jitter=0, scale_jitter=0).transform(sample(boxes))
    expected = [(2.0, 32), (2.0, 32), (5.0, 64)]
    for i, (factor, size) in enumerate(expected):
        x1, y1, x2, y2 = boxes[i]
        xywh = (x1, y1, x2 - x1, y2 - y1)
        patch, resize_factor = crop_region(noise(seed=i), xywh, factor, size)
        assert (results['img'][i] == patch).all() and results['img'][i].flags.c_contiguous
        label = training_label(xywh, xywh, size, resize_factor) * size
        assert results['gt_bboxes'][i].dtype == np.float32
        assert np.allclose(results['gt_bboxes'][i], label[None])


@needs_golden
def test_labels_are_the_published_ones(monkeypatch):
    golden = load('mixformerv2/f_crops.npz')
    for box, jittered, expected in zip(
        golden['label_gt'], golden['label_jittered'], golden['label_out']
    ):
        monkeypatch.setattr(transforms, 'jitter_box', lambda *_, around=jittered: around.tolist())
        xyxy = (*box[:2], *(box[:2] + box[2:]))
        results = crop_transform().transform(sample([xyxy], frames=[noise(120, 160)]))
        label = results['gt_bboxes'][0][0] / 64
        assert np.allclose([*label[:2], *(label[2:] - label[:2])], expected, atol=1e-6)


def test_jitter_has_the_published_distribution():
    rng = np.random.default_rng(0)
    box = (30.0, 20.0, 12.0, 27.0)
    drawn = np.array([jitter_box(rng, box, 4.5, 0.5) for _ in range(4000)])
    scales = np.log(drawn[:, 2:] / box[2:])
    assert np.allclose(scales.mean(axis=0), 0, atol=0.03)
    assert np.allclose(scales.std(axis=0), 0.5, atol=0.03)
    reach = np.sqrt(drawn[:, 2] * drawn[:, 3])[:, None]
    shifts = (drawn[:, :2] + drawn[:, 2:] / 2 - (36, 33.5)) / reach
    assert np.abs(shifts).max() <= 2.25 and np.abs(shifts).max() > 2.2
    assert np.allclose(shifts.std(axis=0), 4.5 / math.sqrt(12), atol=0.05)
    assert abs(np.corrcoef(np.hstack([scales, shifts]).T) - np.eye(4)).max() < 0.06


def test_only_the_search_frame_is_jittered_unless_told():
    transform = crop_transform()
    still, moved = set(), set()
    for seed in range(5):
        boxes = transform.transform(sample(seed=seed))['gt_bboxes']
        still.add(boxes[0].tobytes() + boxes[1].tobytes())
        moved.add(boxes[2].tobytes())
    assert len(still) == 1 and len(moved) == 5
    transform = crop_transform(template_center_jitter=0.5, template_scale_jitter=0.1)
    assert (
        len({transform.transform(sample(seed=s))['gt_bboxes'][0].tobytes() for s in range(5)}) == 5
    )


@pytest.mark.parametrize(
    ('box', 'reason'),
    [
        ((200, 10, 220, 30), 'nothing but padding'),
        ((-60, 10, -40, 30), 'nothing but padding'),
        ((20, 15, 20, 35), 'no width'),
        ((20, 15, 10, 35), 'negative width'),
    ],
)
def test_samples_that_show_nothing_are_rejected(box, reason):
    still = crop_transform(center_jitter=0, scale_jitter=0, search_factor=2.0)
    good = (20, 15, 40, 35)
    assert still.transform(sample([good, good, good])) is not None
    assert still.transform(sample([good, good, box])) is None, reason
    assert still.transform(sample([good, box, good])) is None, reason


def test_a_crop_needs_one_patch_whose_first_pixel_is_image():
    # Box 20 px wide, factor 2: the crop of 40 px is 64 px wide, a patch of 16 is 10 image pixels.
    still = crop_transform(center_jitter=0, scale_jitter=0, search_factor=2.0)
    good = (20, 15, 40, 35)

    def accepted(left):  # the crop begins at column `left`; the last image column is padding
        box = (left + 10, 15, left + 30, 35)
        return still.transform(sample([good, good, box])) is not None

    assert accepted(WIDTH - 2) and not accepted(WIDTH - 1)
    # On the left it is the last patch: its first pixel mixes columns 29 and 30 of the crop.
    assert accepted(-29) and not accepted(-30)


@pytest.mark.parametrize(
    'build',
    [
        lambda: JointFlip(prob=1.5),
        lambda: JointGrayscale(prob=-0.1),
        lambda: CropFlip(prob=2),
        lambda: CropBrightness(low=1.2, high=0.8),
        lambda: crop_transform(search_size=0),
        lambda: crop_transform(template_factor=-1),
        lambda: crop_transform(scale_jitter=-0.5),
    ],
)
def test_settings_out_of_range_are_refused(build):
    with pytest.raises(ValueError, match='must|expected'):
        build()
