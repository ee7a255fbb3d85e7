"""Regions as the VOT toolkit writes them: rectangles, polygons and masks.

A rectangle is ``left,top,width,height`` in pixels. A polygon is ``x,y,x,y,...`` with at least three
points. A mask is ``mask:left,top,width,height,n0,n1,...``: a window of the image and, row by row,
the lengths of runs of pixels, first outside of the target, then in it, and so on in turns; what is
missing at the end is outside. Files of the toolkit write ``m`` in place of ``mask:``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

_MASK = re.compile(r'm(?:ask)?:?(?=[\d,-])')


def region_to_box(text: str) -> np.ndarray:
    """The smallest upright box around a region.

    A pixel of a mask is a square of side 1, so a mask of one pixel is 1 px wide and high.

    Args:
        text: A rectangle, a polygon or a mask.

    Returns:
        x, y, width, height in pixels, float64 of shape ``(4,)``.

    Raises:
        ValueError: If it is none of these, or a mask without a pixel.
    """
    if mask := _MASK.match(text):
        return _mask_to_box(text, _read_numbers(text[mask.end() :], int, text))
    values = np.array(_read_numbers(text, float, text))
    if len(values) == 4:
        return values
    if len(values) >= 6 and len(values) % 2 == 0:
        points = values.reshape(-1, 2)
        low = points.min(axis=0)
        return np.concatenate([low, points.max(axis=0) - low])
    raise ValueError(
        f'the region {_shorten(text)} has {len(values)} numbers, expected a rectangle '
        '(left,top,width,height), a polygon (x,y of three points or more) or a mask; a target '
        'that is not in the image cannot start a sequence.'
    )


def format_rectangle(box_xywh: Sequence[float]) -> str:
    """Write x, y, width, height in pixels as a rectangle."""
    return ','.join(f'{value:.4f}' for value in box_xywh)


def format_filled_box(box_xywh: Sequence[float], height: int, width: int) -> str:
    """Write a box as a mask whose pixels are all in the target.

    The edges are rounded to whole pixels and clipped to the image.

    Args:
        box_xywh: x, y, width, height in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        ValueError: If nothing of the box lies in the image.
    """
    x, y, w, h = (float(value) for value in box_xywh)
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = min(round(x + w), width), min(round(y + h), height)
    if right <= left or bottom <= top:
        raise ValueError(
            f'the box {(x, y, w, h)} has no whole pixel in the image of {width} x {height} px '
            '(width x height), so no mask can be made of it.'
        )
    size = (right - left) * (bottom - top)
    return f'mask:{left},{top},{right - left},{bottom - top},0,{size}'


def format_mask(mask: np.ndarray, prefix: str = 'mask:') -> str:
    """Write a mask.

    Args:
        mask: Bools ``(height, width)`` of a whole image, with at least one pixel in the target.
        prefix: ``'mask:'`` in messages, ``'m'`` in files.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    changes = np.flatnonzero(np.diff(window.reshape(-1), prepend=False))
    runs = np.diff(changes, prepend=0, append=window.size)
    numbers = [columns[0], rows[0], window.shape[1], window.shape[0], *runs]
    return prefix + ','.join(str(number) for number in numbers)


def _mask_to_box(text: str, numbers: list[int]) -> np.ndarray:
    left, top, width, height = (numbers + [0] * 4)[:4]
    runs = np.array(numbers[4:], np.int64)
    if width < 1 or height < 1 or (runs < 0).any() or runs.sum() > width * height:
        raise ValueError(
            f'the mask {_shorten(text)} is not valid, expected left,top,width,height and the '
            'lengths of runs that fill no more than width x height pixels.'
        )
    stops = np.cumsum(runs)
    inside = np.arange(len(runs)) % 2 == 1
    inside &= runs > 0
    if not inside.any():
        raise ValueError(
            f'the mask {_shorten(text)} has no pixel, expected at least one; a target that is not '
            'in the image cannot start a sequence.'
        )
    first, last = (stops - runs)[inside], stops[inside] - 1
    low, high = (first % width).min(), (last % width).max()
    if (first // width < last // width).any():  # a run that goes on in the next row
        low, high = 0, width - 1
    y_low, y_high = first.min() // width, last.max() // width
    return np.array([left + low, top + y_low, high - low + 1, y_high - y_low + 1], np.float64)


def _read_numbers(text: str, kind: type, region: str) -> list:
    try:
        values = [kind(value) for value in text.split(',')]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise ValueError(
            f'the region {_shorten(region)} cannot be read, expected numbers between commas.'
        )
    return values


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f'{text[:60]}...')
