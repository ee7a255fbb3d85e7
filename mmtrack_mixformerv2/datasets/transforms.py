"""From sampled frames to template and search crops.

Follows the training data of MCG-NJU/MixFormerV2: joint grayscale and flip of the frames, jittered
crop, label with the crop's middle at ``(size - 1) / 2``, then brightness and flip of every crop.

All transforms work on lists that hold the templates first and the search frame last (see
:class:`SampledTripletDataset`), and draw from ``results['rng']`` only. Frames are never copied:
flips are views, crops are cut from them, and everything stays uint8 BGR until the model.
Deliberate difference: brightness rounds to uint8, published code keeps the fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmtrack.registry import TRANSFORMS

from ..tracking.region import crop_region, padding_mask, training_label


def read_frame(path: str) -> np.ndarray:
    """Reads an image as uint8 BGR of shape ``(height, width, 3)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If OpenCV cannot decode it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'there is no image {path}; unpack the images there or correct '
            'data_root and data_prefix in the config.'
        )
    frame = cv2.imread(path, cv2.IMREAD_COLOR)
    if frame is None:
        raise ValueError(
            f'{path} ({Path(path).stat().st_size} bytes) cannot be decoded as an '
            'image; replace the file, it is probably truncated.'
        )
    return frame


@TRANSFORMS.register_module()
class LoadFrame(BaseTransform):
    """Reads ``img_path`` into ``img``: one frame of a test, told from mmcv's by its errors."""

    def transform(self, results: dict) -> dict:
        """Adds ``img`` (uint8 BGR), ``img_shape`` and ``ori_shape`` (height, width).

        Raises:
            FileNotFoundError: If the image is missing.
            ValueError: If it cannot be decoded.
        """
        frame = read_frame(results['img_path'])
        results.update(img=frame, img_shape=frame.shape[:2], ori_shape=frame.shape[:2])
        return results


@TRANSFORMS.register_module()
class LoadFrames(BaseTransform):
    """Reads ``img_path`` into ``img``; a path that occurs twice is decoded once.

    A frame whose entry in ``gt_bboxes`` is None does not show the target, and gets a box in the
    middle.

    Args:
        middle_box: Sides of that box, in units of those of the frame.

    Raises:
        ValueError: If ``middle_box`` is not positive.
    """

    def __init__(self, middle_box: float = 1 / 8) -> None:
        if not middle_box > 0:
            raise ValueError(f'middle_box must be positive, got {middle_box}.')
        self.middle_box = middle_box

    def transform(self, results: dict) -> dict:
        """Adds ``img``, a list of uint8 BGR frames, and the boxes that are None.

        Raises:
            FileNotFoundError: If an image is missing.
            ValueError: If an image cannot be decoded.
        """
        frames = {path: read_frame(path) for path in dict.fromkeys(results['img_path'])}
        results['img'] = [frames[path] for path in results['img_path']]
        boxes = results.get('gt_bboxes', [])
        for i in [i for i, box in enumerate(boxes) if box is None]:
            boxes[i] = self._box_in_the_middle(results['img'][i])
        return results

    def _box_in_the_middle(self, frame: np.ndarray) -> np.ndarray:
        """``(1, 4)`` float32, xyxy in pixels."""
        height, width = frame.shape[:2]
        middle = np.array([width, height]) / 2
        half = self.middle_box * middle
        return np.concatenate([middle - half, middle + half])[None].astype(np.float32)


@TRANSFORMS.register_module()
class JointGrayscale(BaseTransform):
    """Turns all frames of a sample grey, keeping three channels.

    Args:
        prob: Probability per sample.
    """

    def __init__(self, prob: float = 0.05) -> None:
        self.prob = _probability(prob)

    def transform(self, results: dict) -> dict:
        """Replaces ``img`` by views ``(height, width, 3)`` of one grey channel."""
        if results['rng'].random() < self.prob:
            results['img'] = [_gray(frame) for frame in results['img']]
        return results


@TRANSFORMS.register_module()
class JointFlip(BaseTransform):
    """Mirrors all frames of a sample and their boxes left to right, ``x' = width - 1 - x``.

    Args:
        prob: Probability per sample.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = _probability(prob)

    def transform(self, results: dict) -> dict:
        """Replaces ``img`` by mirrored views, and ``gt_bboxes``."""
        if results['rng'].random() < self.prob:
            widths = [frame.shape[1] for frame in results['img']]
            results['gt_bboxes'] = [
                _mirror(boxes, width - 1) for boxes, width in zip(results['gt_bboxes'], widths)
            ]
            results['img'] = [frame[:, ::-1] for frame in results['img']]
        return results


@TRANSFORMS.register_module()
class CropTemplatesAndSearch(BaseTransform):
    """Cuts each frame to a square around its target, the search frame around a jittered box.

    The jittered box has sides ``w exp(s n)``, ``h exp(s n)`` with n standard normal, and its
    centre is moved by ``(u - 0.5) c sqrt(w' h')`` per axis with u uniform in [0, 1).

    Args:
        template_size: Side of a template crop in pixels.
        search_size: Side of the search crop in pixels.
        template_factor: Side of the square in units of ``sqrt(width * height)`` of the box.
        search_factor: The same for the search frame.
        center_jitter: c above, for the search frame.
        scale_jitter: s above, for the search frame.
        template_center_jitter: c for the templates.
        template_scale_jitter: s for the templates.
        patch_size: Side of the patches of the model in pixels.
        keep_padding_mask: Whether to add ``padding_mask``, to show it; the network does not use it.

    Raises:
        ValueError: If a size or a factor is not positive, or a jitter negative.
    """

    def __init__(
        self,
        *,
        template_size: int,
        search_size: int,
        template_factor: float = 2.0,
        search_factor: float = 5.0,
        center_jitter: float = 4.5,
        scale_jitter: float = 0.5,
        template_center_jitter: float = 0.0,
        template_scale_jitter: float = 0.0,
        patch_size: int = 16,
        keep_padding_mask: bool = False,
    ) -> None:
        jitters = (center_jitter, scale_jitter, template_center_jitter, template_scale_jitter)
        if min(template_size, search_size, template_factor, search_factor, patch_size) <= 0:
            raise ValueError(
                f'sizes and factors must be positive, got template_size={template_size}, '
                f'search_size={search_size}, patch_size={patch_size}, '
                f'template_factor={template_factor}, search_factor={search_factor}.'
            )
        if min(jitters) < 0:
            raise ValueError(
                'center_jitter, scale_jitter and those of the templates must not be '
                f'negative, got {jitters}.'
            )
        self.template = (
            template_size,
            template_factor,
            template_center_jitter,
            template_scale_jitter,
        )
        self.search = (search_size, search_factor, center_jitter, scale_jitter)
        self.patch_size = patch_size
        self.keep_padding_mask = keep_padding_mask

    def transform(self, results: dict) -> dict | None:
        """Replaces ``img`` by crops and ``gt_bboxes`` by labels, float32 pixels of the crop.

        Adds ``padding_mask`` if wanted, bools ``(size, size)`` that are True in the padding.

        Returns:
            ``None`` where a crop shows no patch of the frame (see :meth:`_shows_frame`).
        """
        rng, frames = results['rng'], results['img']
        crops, labels, masks = [], [], []
        for i, (frame, boxes) in enumerate(zip(frames, results['gt_bboxes'])):
            size, factor, center, scale = self.search if i == len(frames) - 1 else self.template
            x1, y1, x2, y2 = boxes[0].tolist()
            target = (x1, y1, x2 - x1, y2 - y1)
            around = jitter_box(rng, target, center, scale)
            if not self._shows_frame(frame.shape, around, factor, size):
                return None
            crop, resize_factor = crop_region(frame, around, factor, size)
            label = training_label(target, around, size, resize_factor) * size
            crops.append(crop)
            labels.append(label[None].astype(np.float32))
            if self.keep_padding_mask:
                masks.append(padding_mask(frame.shape, around, factor, size))
        results['img'], results['gt_bboxes'] = crops, labels
        if self.keep_padding_mask:
            results['padding_mask'] = masks
        return results

    def _shows_frame(
        self, frame_shape: Sequence[int], around: Sequence[float], factor: float, size: int
    ) -> bool:
        """Whether the crop has a patch whose first pixel is not padding.

        Published code rejects samples whose padding mask is full after its reduction to patches
        by nearest neighbour. It also rejects crops of less than a pixel and of padding only:
        the first cannot come from a box of positive size, the second is contained in this.
        """
        x, y, w, h = around
        if not (w > 0 and h > 0):
            return False
        half = 0.5 * factor * (w * h) ** 0.5 + 1
        cx, cy = x + 0.5 * w, y + 0.5 * h
        height, width = frame_shape[:2]
        if half <= cx < width - 1 - half and half <= cy < height - 1 - half:
            return True  # no padding at all
        mask = padding_mask(frame_shape, around, factor, size)
        return not mask[:: self.patch_size, :: self.patch_size].all()


@TRANSFORMS.register_module()
class CropBrightness(BaseTransform):
    """Multiplies each crop by a factor of its own and clamps to [0, 255].

    Args:
        low: Smallest factor.
        high: Largest factor.

    Raises:
        ValueError: If not ``0 <= low <= high``.
    """

    def __init__(self, low: float = 0.8, high: float = 1.2) -> None:
        if not 0 <= low <= high:
            raise ValueError(f'expected 0 <= low <= high, got low={low} and high={high}.')
        self.low = low
        self.high = high

    def transform(self, results: dict) -> dict:
        """Replaces the crops in ``img``."""
        factors = results['rng'].uniform(self.low, self.high, size=len(results['img']))
        results['img'] = [
            cv2.LUT(crop, brightness_table(factor)) for crop, factor in zip(results['img'], factors)
        ]
        return results


@TRANSFORMS.register_module()
class CropFlip(BaseTransform):
    """Mirrors each crop and its label left to right, ``x' = size - x``.

    Args:
        prob: Probability per crop.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = _probability(prob)

    def transform(self, results: dict) -> dict:
        """Replaces crops in ``img``, labels in ``gt_bboxes`` and, if there, padding masks."""
        flips = results['rng'].random(len(results['img'])) < self.prob
        for i in np.flatnonzero(flips):
            crop = results['img'][i]
            results['gt_bboxes'][i] = _mirror(results['gt_bboxes'][i], crop.shape[1])
            results['img'][i] = cv2.flip(crop, 1)
            if 'padding_mask' in results:
                results['padding_mask'][i] = results['padding_mask'][i][:, ::-1]
        return results


def jitter_box(
    rng: np.random.Generator, box_xywh: Sequence[float], center_jitter: float, scale_jitter: float
) -> tuple[float, float, float, float]:
    """Moves and scales a box at random; formula in :class:`CropTemplatesAndSearch`.

    Returns:
        x, y, width, height in the unit of ``box_xywh``; without jitter the box itself.
    """
    x, y, w, h = box_xywh
    if center_jitter == 0 and scale_jitter == 0:
        return x, y, w, h
    scale_w, scale_h = np.exp(scale_jitter * rng.standard_normal(2)).tolist()
    new_w, new_h = w * scale_w, h * scale_h
    reach = center_jitter * (new_w * new_h) ** 0.5
    shift_x, shift_y = ((rng.random(2) - 0.5) * reach).tolist()
    cx, cy = x + 0.5 * w + shift_x, y + 0.5 * h + shift_y
    return cx - 0.5 * new_w, cy - 0.5 * new_h, new_w, new_h


def brightness_table(factor: float) -> np.ndarray:
    """What each of the 256 grey values becomes, uint8."""
    return np.minimum(np.rint(np.arange(256) * factor), 255).astype(np.uint8)


def _gray(frame: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return np.broadcast_to(gray[:, :, None], frame.shape)


def _mirror(boxes: np.ndarray, width: float) -> np.ndarray:
    """Boxes ``(N, 4)`` xyxy with ``x' = width - x``."""
    mirrored = boxes.copy()
    mirrored[:, 0], mirrored[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return mirrored


def _probability(prob: float) -> float:
    if not 0 <= prob <= 1:
        raise ValueError(f'prob must be in [0, 1], got {prob}.')
    return prob
