"""The search region: cutting it out of a frame, and mapping boxes into it and back.

The rules follow the online tracker of MixFormerV2 (arXiv 2305.15896; MCG-NJU/MixFormerV2 at
1041438) byte for byte, oddities included:

- a crop that reaches the right or bottom border loses the last image column or row to padding;
- padding is black and happens before the resize, on uint8, and so before normalisation;
- the origin of a crop is rounded (half to even), while the way back assumes that it is not;
- training labels put the middle of a crop at ``(size - 1) / 2``, the tracker at ``size / 2``.

Frames are arrays ``(height, width, 3)`` of uint8. Only the part of a frame that a crop shows is
ever copied, so a frame may be any strided view, for instance ``bgr[..., ::-1]``. NumPy and OpenCV
only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

# A first box larger than this many frames is a mistake in its unit or its order, and its crop
# would not fit into memory.
_LARGEST_BOX_IN_FRAMES = 2


class CropWindow(NamedTuple):
    """A square of pixels that may reach over the border; the part from start to stop is image."""

    side: int
    left: int
    top: int
    x_start: int
    x_stop: int
    y_start: int
    y_stop: int


def crop_window(box_xywh: Sequence[float], factor: float, height: int, width: int) -> CropWindow:
    """The square of image pixels that :func:`crop_region` cuts; raises the same."""
    x, y, w, h = (float(value) for value in box_xywh)
    side = math.ceil(math.sqrt(w * h) * factor) if w > 0 and h > 0 else 0
    if side < 1:
        raise ValueError(
            f'the crop around box {(x, y, w, h)} (x, y, width, height) with factor {factor} is '
            f'{side} px wide but must be at least 1 px; give a box with positive width and height.'
        )
    left = round(x + 0.5 * w - 0.5 * side)
    top = round(y + 0.5 * h - 0.5 * side)
    right, bottom = left + side, top + side
    # One pixel more than needed is padded on the right and at the bottom, as published.
    x_stop = right - max(0, right - width + 1)
    y_stop = bottom - max(0, bottom - height + 1)
    return CropWindow(side, left, top, max(0, left), x_stop, max(0, top), y_stop)


def crop_region(
    image: np.ndarray, box_xywh: Sequence[float], factor: float, size: int
) -> tuple[np.ndarray, float]:
    """Cut a square around a box, black outside of the image, and resize it bilinearly.

    Args:
        image: Frame of shape ``(height, width, 3)``, uint8, any strides.
        box_xywh: x, y, width, height in pixels; the crop has its centre.
        factor: Side of the square in units of ``sqrt(width * height)``, rounded up to pixels.
        size: Side of the result in pixels.

    Returns:
        The patch ``(size, size, 3)``, uint8 and contiguous, and the resize factor
        ``size / side``: patch pixels per image pixel.

    Raises:
        ValueError: If the square is less than 1 px wide.
    """
    window = crop_window(box_xywh, factor, *image.shape[:2])
    turned = image.strides[2] < 0  # BGR seen as RGB, which NumPy copies slowly
    if turned:
        image = image[..., ::-1]
    inside = image[
        window.y_start : max(window.y_start, window.y_stop),
        window.x_start : max(window.x_start, window.x_stop),
    ]
    if inside.size and inside.strides[1] < 0:
        inside = cv2.flip(inside[:, ::-1], 1)  # a mirrored view, which NumPy copies slowly
    if inside.shape[:2] == (window.side, window.side):
        square = np.ascontiguousarray(inside)
    else:
        square = np.zeros((window.side, window.side, image.shape[2]), np.uint8)
        y, x = window.y_start - window.top, window.x_start - window.left
        if inside.size:
            square[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    patch = cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR)
    if turned:
        patch = cv2.cvtColor(patch, cv2.COLOR_BGR2RGB)
    return patch, size / window.side


def padding_mask(
    image_shape: Sequence[int], box_xywh: Sequence[float], factor: float, size: int
) -> np.ndarray:
    """Where :func:`crop_region` shows padding, or a mixture of padding and image.

    Args:
        image_shape: Height and width of the frame (more entries are ignored).
        box_xywh: x, y, width, height in pixels.
        factor: As for :func:`crop_region`.
        size: Side of the crop in pixels.

    Returns:
        Bools of shape ``(size, size)``, True in the padding.

    Raises:
        ValueError: If the square is less than 1 px wide.
    """
    window = crop_window(box_xywh, factor, *image_shape[:2])

    def padded(start: int, stop: int) -> np.ndarray:
        line = np.ones((1, window.side), np.float64)
        line[:, start : max(start, stop)] = 0
        return cv2.resize(line, (size, 1), interpolation=cv2.INTER_LINEAR)[0] > 0

    # A bilinear weight is the product of a row's and a column's, so the two axes are independent.
    columns = padded(window.x_start - window.left, window.x_stop - window.left)
    rows = padded(window.y_start - window.top, window.y_stop - window.top)
    return rows[:, None] | columns[None, :]


def region_to_image(
    box_norm_xyxy: Sequence[float],
    previous_xywh: Sequence[float],
    size: int,
    resize_factor: float,
) -> np.ndarray:
    """Map a predicted box from the search region back to the image.

    Args:
        box_norm_xyxy: left, top, right, bottom in [0, 1] of the search region. Right may lie
            left of left (an untrained head does that); the size is then negative.
        previous_xywh: The box the region was cut around, pixels.
        size: Side of the search region in pixels.
        resize_factor: As returned by :func:`crop_region`.

    Returns:
        x, y, width, height in image pixels, float64 of shape ``(4,)``, not clipped.
    """
    left, top, right, bottom = (float(edge) * size / resize_factor for edge in box_norm_xyxy)
    x, y, w, h = (float(value) for value in previous_xywh)
    half = 0.5 * size / resize_factor
    origin_x, origin_y = x + 0.5 * w - half, y + 0.5 * h - half
    return np.array([left + origin_x, top + origin_y, right - left, bottom - top])


def training_label(
    box_xywh: Sequence[float], around_xywh: Sequence[float], size: int, resize_factor: float
) -> np.ndarray:
    """Map a box of the image into the crop around another box, as the published training does.

    This is not quite the inverse of :func:`region_to_image`: the middle of the crop is at
    ``(size - 1) / 2`` here, half a crop pixel less.

    Args:
        box_xywh: The annotated box, image pixels.
        around_xywh: The (jittered) box the crop was cut around, image pixels.
        size: Side of the crop in pixels.
        resize_factor: As returned by :func:`crop_region`.

    Returns:
        left, top, right, bottom in units of the crop's side, float64 of shape ``(4,)``; not
        clamped, so outside of [0, 1] where the box leaves the crop.
    """
    box = np.asarray(box_xywh, np.float64)
    around = np.asarray(around_xywh, np.float64)
    shift = (box[:2] + 0.5 * box[2:]) - (around[:2] + 0.5 * around[2:])
    centre = 0.5 * (size - 1) + shift * resize_factor
    half = 0.5 * box[2:] * resize_factor
    return np.concatenate([centre - half, centre + half]) / size


def clip_box(box_xywh: Sequence[float], height: int, width: int, margin: int = 10) -> np.ndarray:
    """Clip a box to the image so that at least ``margin`` pixels of it stay inside.

    Args:
        box_xywh: x, y, width, height in pixels; negative sizes are allowed.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        margin: Least width and height of the result in pixels.

    Returns:
        x, y, width, height in pixels, float64 of shape ``(4,)``.
    """
    x1, y1, w, h = (float(value) for value in box_xywh)
    x2, y2 = x1 + w, y1 + h
    x1, x2 = min(max(0.0, x1), width - margin), min(max(margin, x2), width)
    y1, y2 = min(max(0.0, y1), height - margin), min(max(margin, y2), height)
    return np.array([x1, y1, max(margin, x2 - x1), max(margin, y2 - y1)], np.float64)


def validate_frame(frame: np.ndarray) -> np.ndarray:
    """Check a frame and give it three channels, without copying it.

    Grey frames are repeated over three channels by a broadcast view; of four channels the last
    one (alpha) is left out, so turn BGRA into RGB after this call, not before.

    Args:
        frame: uint8 of shape ``(height, width)`` or ``(height, width, 1 | 3 | 4)``.

    Returns:
        A view of shape ``(height, width, 3)`` on the same memory; a frame that already has three
        channels is returned itself.

    Raises:
        TypeError: If ``frame`` is no array, or its values are not uint8.
        ValueError: If its shape is another one, or it is empty.
    """
    if frame is None:
        raise TypeError(
            'the frame is None, expected a uint8 array (height, width, 3); cv2.imread and '
            'cv2.VideoCapture.read give None for what they cannot decode: check the file.'
        )
    if not isinstance(frame, np.ndarray):
        raise TypeError(
            f'the frame is a {type(frame).__name__}, expected a numpy uint8 array '
            '(height, width, 3); convert it with numpy.asarray.'
        )
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f'the frame has shape {frame.shape}, expected (height, width) or (height, width, '
            'channels) with 1, 3 or 4 channels; move the channels last and pass one frame at a '
            'time.'
        )
    if frame.dtype != np.uint8:
        advice = {
            'u': 'scale it, for 16 bits (frame >> 8).astype("uint8")',
            'f': 'scale it to 0..255 and round: (frame * 255).round().astype("uint8") for 0..1',
        }.get(frame.dtype.kind, 'convert it to uint8 with values 0..255')
        raise TypeError(f'the frame holds {frame.dtype} values, expected uint8 (0..255); {advice}.')
    if not frame.size:
        raise ValueError(f'the frame has shape {frame.shape}, expected at least one pixel.')
    if frame.ndim == 2:
        frame = frame[:, :, None]
    if frame.shape[2] == 1:
        return np.broadcast_to(frame, (*frame.shape[:2], 3))
    return frame[:, :, :3] if frame.shape[2] == 4 else frame


def validate_box(box_xywh: Sequence[float], height: int, width: int) -> tuple[float, ...]:
    """Check the box that starts a sequence.

    Args:
        box_xywh: x, y, width, height in pixels; may reach over the border of the frame.
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.

    Returns:
        The box as four floats.

    Raises:
        ValueError: If it is not four finite numbers, has no area, lies entirely outside of the
            frame, or is more than twice as large as the frame.
    """
    advice = 'give x, y, width, height in pixels of the first frame'
    try:
        values = np.asarray(box_xywh, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'the box is {box_xywh!r}, expected four numbers; {advice}.') from error
    if values.shape != (4,):
        raise ValueError(f'the box has shape {values.shape}, expected (4,); {advice}.')
    x, y, w, h = box = tuple(values.tolist())
    if not np.isfinite(values).all():
        raise ValueError(f'the box is {box}, expected four finite numbers; {advice}.')
    if w <= 0 or h <= 0:
        raise ValueError(
            f'the box is {box} with size {w} x {h}, expected a positive width and height; '
            f'{advice} (not the two corners).'
        )
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(
            f'the box {box} lies entirely outside of the frame of {width} x {height} px '
            f'(width x height), expected one that overlaps it; {advice}.'
        )
    if w > _LARGEST_BOX_IN_FRAMES * width or h > _LARGEST_BOX_IN_FRAMES * height:
        raise ValueError(
            f'the box {box} is more than {_LARGEST_BOX_IN_FRAMES} times as large as the frame of '
            f'{width} x {height} px (width x height), expected one of about its size; {advice}.'
        )
    return box
