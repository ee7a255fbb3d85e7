"""Boxes on frames: marked frames, strips of pictures, videos. BGR throughout; OpenCV only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


class Mark(NamedTuple):
    """How one kind of box is drawn.

    Attributes:
        label: Its name in the legend.
        color: Blue, green, red, 0 to 255.
    """

    label: str
    color: tuple[int, int, int]


def draw_boxes(
    frame: np.ndarray,
    boxes_xywh: Sequence[Sequence[float] | None],
    marks: Sequence[Mark],
    width: int,
    text: str = '',
) -> np.ndarray:
    """A resized copy of a frame with boxes and a line of text.

    Args:
        frame: uint8 BGR ``(height, width, 3)``.
        boxes_xywh: One for each mark, in pixels of the frame; None where there is none.
        marks: The first one is drawn last, over the others.
        width: Of the result in pixels.
        text: Written into the upper left corner.

    Returns:
        uint8 BGR ``(width * frame height / frame width, width, 3)``.
    """
    scale = width / frame.shape[1]
    height = max(2, round(frame.shape[0] * scale))
    picture = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    thickness = max(1, width // 240)
    for box, mark in reversed(list(zip(boxes_xywh, marks))):
        if box is not None:
            x, y, w, h = (value * scale for value in box)
            corners = (round(x), round(y)), (round(x + w), round(y + h))
            cv2.rectangle(picture, *corners, mark.color, thickness, cv2.LINE_AA)
    if text:
        _write(picture, text, (4, 14), (255, 255, 255))
    return picture


def make_legend(marks: Sequence[Mark], width: int) -> np.ndarray:
    """A dark bar ``(24, width, 3)`` with the name of each mark in its color."""
    bar = np.full((24, width, 3), 24, np.uint8)
    x = 6
    for mark in marks:
        cv2.rectangle(bar, (x, 7), (x + 10, 17), mark.color, -1)
        _write(bar, mark.label, (x + 15, 17), mark.color)
        x += 15 + cv2.getTextSize(mark.label, _FONT, 0.42, 1)[0][0] + 14
    return bar


def hatch(picture: np.ndarray, mask: np.ndarray, color: Sequence[int]) -> None:
    """Draws slanted lines over the part of a picture where a mask of its size is True."""
    rows, columns = np.indices(mask.shape, sparse=True)
    picture[mask & ((rows + columns) % 8 < 2)] = color


def make_caption(lines: Sequence[str], width: int) -> np.ndarray:
    """A dark bar ``(18 * lines + 4, width, 3)`` of text; what is too long for it is cut off."""
    bar = np.full((18 * len(lines) + 4, width, 3), 24, np.uint8)
    for row, line in enumerate(lines):
        _write(bar, line, (4, 18 * row + 15), (255, 255, 255))
    return bar


def stack(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below each other (axis 0) or side by side (axis 1), filled up with dark grey."""
    other = max(picture.shape[1 - axis] for picture in pictures)
    padded = []
    for picture in pictures:
        missing = [(0, 0), (0, 0), (0, 0)]
        missing[1 - axis] = (0, other - picture.shape[1 - axis])
        padded.append(np.pad(picture, missing, constant_values=24))
    return np.concatenate(padded, axis)


def write_strip(
    path: str | Path, rows: Sequence[Sequence[np.ndarray]], marks: Sequence[Mark]
) -> None:
    """Write pictures as a table with a legend on top, as png; gaps are filled up."""
    tile_height = [max(picture.shape[0] for picture in row) + 2 for row in rows]
    tile_width = max(picture.shape[1] for row in rows for picture in row) + 2
    width = tile_width * max(map(len, rows))
    table = np.full((sum(tile_height), width, 3), 24, np.uint8)
    top = 0
    for row, height in zip(rows, tile_height):
        for column, picture in enumerate(row):
            left = column * tile_width
            table[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += height
    path = Path(path)
    encoded, code = cv2.imencode('.png', np.concatenate([make_legend(marks, width), table]))
    assert encoded
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code.tobytes())


def write_video(path: str | Path, frames: Iterable[np.ndarray], rate: float = 25.0) -> Path:
    """Write frames of one size as a video, and check that it can be read back.

    Args:
        path: Without ending: mp4 is written where this OpenCV can, else Motion JPEG in avi.
        frames: uint8 BGR; read once, one at a time.
        rate: Frames per second.

    Returns:
        The file that was written.

    Raises:
        OSError: If neither can be written, or the file does not hold all the frames. An earlier
            file of that name is replaced only by a whole one.
        ValueError: If there is no frame.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f'no frames for {path}, expected at least one.')
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer, part = _open_writer(path, (first.shape[1], first.shape[0]), rate)
    count = 0
    try:
        for frame in itertools.chain([first], frames):
            writer.write(frame)
            count += 1
        writer.release()
        found = sum(1 for _ in _decode(part))
        if found != count:
            raise OSError(
                f'{part} holds {found} frames after writing {count}; the disk may be full, or '
                'this OpenCV lacks a codec.'
            )
        return part.replace(path.with_name(path.name + part.suffix))
    finally:
        writer.release()
        part.unlink(missing_ok=True)


def count_frames(source: str | Path) -> int | None:
    """Number of frames of a video or a folder of pictures; None if the video does not say."""
    source = Path(source)
    if source.is_dir():
        return len(_list_pictures(source))
    capture = cv2.VideoCapture(str(source))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None


def read_frames(source: str | Path) -> Iterator[np.ndarray]:
    """Frames of a video file, or of the pictures of a folder in the order of their names.

    Yields:
        uint8 BGR ``(height, width, 3)``.

    Raises:
        FileNotFoundError: If there is no such file, or no picture in the folder.
        ValueError: If the video, or a picture, cannot be decoded.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist; name a video or a folder of pictures.')
    if source.is_dir():
        for path in _list_pictures(source):
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f'{path} cannot be decoded as a picture; replace or remove it.')
            yield picture
        return
    frame = None
    for frame in _decode(source):
        yield frame
    if frame is None:
        raise ValueError(
            f'{source} cannot be decoded as a video by this OpenCV; convert it, for instance to '
            'mp4, or give a folder of pictures.'
        )


def _list_pictures(folder: Path) -> list[Path]:
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not pictures:
        raise FileNotFoundError(f'{folder} holds no pictures ({", ".join(_PICTURES)}).')
    return pictures


def _decode(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            yield frame
    finally:
        capture.release()


def _open_writer(path: Path, size: tuple[int, int], rate: float) -> tuple[cv2.VideoWriter, Path]:
    for ending, codec in (('.mp4', 'mp4v'), ('.avi', 'MJPG')):
        part = path.with_name(f'.{path.name}.part{ending}')
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter_fourcc(*codec), rate, size)
        if writer.isOpened():
            return writer, part
    raise OSError(
        f'neither {path}.mp4 nor {path}.avi could be opened for writing; check the folder, and '
        'that this OpenCV was built with video output.'
    )


def _write(picture: np.ndarray, text: str, origin: tuple[int, int], color: Sequence[int]) -> None:
    (width, height), base = cv2.getTextSize(text, _FONT, 0.42, 1)
    x, y = origin
    cv2.rectangle(picture, (x - 2, y - height - 2), (x + width + 1, y + base), (24, 24, 24), -1)
    cv2.putText(picture, text, origin, _FONT, 0.42, tuple(color), 1, cv2.LINE_AA)
