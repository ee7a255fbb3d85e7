"""Where frames come from: files, folders, cameras, streams; BGR throughout.

OpenCV and NumPy only. A source says in a sentence what went wrong.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Union
from urllib.parse import urlsplit

import cv2
import numpy as np
from cv2.utils import logging

from .writing import RATES

PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')

# They keep the number of their frames; of others it is estimated from duration and rate, which goes
# far wrong where the rate varies.
_COUNTED = ('.avi', '.m4v', '.mov', '.mp4')

Source = Union[str, Path, int, Iterable[np.ndarray]]


class SourceError(ValueError):
    """Frames cannot be read; the message says of what, and what to do."""


class FrameSource:
    """Frames of a video, a folder, a camera, a stream or a list, to be read once.

    Iterating gives uint8 BGR arrays ``(height, width, 3)``; arrays that were passed in come as they
    are. It is a context manager, which closes the file or the camera.

    Attributes:
        name: Short, fit for a file name: ``clip`` for ``videos/clip.mp4``.
        shown: For messages and records; a stream's user and password are left out.
        kind: ``'video'``, ``'pictures'``, ``'camera'``, ``'stream'`` or ``'arrays'``.
        rate: Frames per second, or None if that is not known.
        count: Number of frames, or None if that is not known.
        exact: Whether the count is more than an estimate.
        live: Whether it has no end that is known, as a camera.
        read: Frames that were given so far.
    """

    def __init__(
        self,
        frames: Iterator[np.ndarray],
        *,
        name: str,
        shown: str,
        kind: str,
        rate: float | None = None,
        count: int | None = None,
        exact: bool = True,
        live: bool = False,
        close: Callable[[], object] | None = None,
    ) -> None:
        self.name, self.shown, self.kind = name, shown, kind
        self.rate, self.count, self.exact, self.live = rate, count, exact, live
        self.read = 0
        self._frames, self._close = frames, close

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        frame = next(self._frames)
        self.read += 1
        return frame

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file or the camera; there are no more frames then."""
        self._frames = iter(())
        if self._close is not None:
            self._close()

    @property
    def missing(self) -> int:
        """Frames that a source which is at its end promised and did not have.

        A few are forgiven, since edit lists cut frames away.
        """
        promised = self.count if self.count is not None and self.exact else 0
        lacking = promised - self.read
        return lacking if lacking > 2 + 0.02 * promised else 0


def open_source(source: Source) -> FrameSource:
    """Open whatever has frames.

    Args:
        source: A video file; a picture; a folder or a glob pattern of pictures, read in the order
            of their names, in which numbers count as numbers; a camera's number (``0``, ``'0'``);
            the address of a stream (``rtsp://...``, ``http://...``); or arrays, which are
            passed on as they are.

    Raises:
        FileNotFoundError: If there is no such file, or no picture in the folder.
        SourceError: If it cannot be opened or decoded; later, from the iterator, if a frame cannot.
    """
    if not isinstance(source, (str, Path, int)):
        return _open_arrays(source)
    text = str(source)
    if not text:
        raise SourceError('the source is empty; name a video, a folder, a camera or a stream.')
    if isinstance(source, int) or (text.isdecimal() and not Path(text).exists()):
        return _open_camera(int(source))
    if '://' in text:
        return _open_stream(text)
    path = Path(source)
    if path.is_dir():
        return _open_pictures(_list_pictures(path), path.resolve().name, text)
    if path.suffix.lower() in PICTURES and path.exists():
        return _open_pictures([path], path.stem, text)
    if path.exists():
        return _open_video(path)
    if any(character in text for character in '*?['):
        found = [Path(match) for match in glob.glob(text, recursive=True)]
        if len(found) == 1 and found[0].suffix.lower() not in PICTURES:
            return open_source(found[0])
        pictures = _pictures_of(found)
        if not pictures:
            raise FileNotFoundError(f'{text} matches no pictures ({", ".join(PICTURES)}).')
        return _open_pictures(pictures, pictures[0].resolve().parent.name, text)
    raise FileNotFoundError(
        f'{source} does not exist; name a video, a folder or a pattern of pictures, a camera by '
        'its number, or a stream by its address.'
    )


def quieten_opencv() -> None:
    """Leave messages to us: OpenCV and FFmpeg print lines of their own where a source is none."""
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)


def count_frames(source: str | Path) -> int | None:
    """Number of frames of a video or a folder of pictures; None if the video does not say."""
    with open_source(source) as opened:
        return opened.count


def read_frames(source: str | Path) -> Iterator[np.ndarray]:
    """The frames of :func:`open_source`, one after the other; it raises when it is read."""
    with open_source(source) as opened:
        yield from opened


def _open_arrays(arrays: Iterable[np.ndarray]) -> FrameSource:
    if not isinstance(arrays, Iterable):
        raise SourceError(
            f'the source is a {type(arrays).__name__}, expected a path, a camera, or frames.'
        )
    if isinstance(arrays, np.ndarray) and arrays.ndim != 4:
        raise SourceError(
            f'frames are an array of shape {arrays.shape}, expected (frames, height, width, 3), or '
            'a list of frames.'
        )
    count = len(arrays) if hasattr(arrays, '__len__') else None
    return FrameSource(iter(arrays), name='frames', shown='arrays', kind='arrays', count=count)


def _open_pictures(paths: list[Path], name: str, shown: str) -> FrameSource:
    def read() -> Iterator[np.ndarray]:
        for path in paths:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if picture is None:
                raise SourceError(f'{path} cannot be decoded as a picture; replace or remove it.')
            yield picture

    name = _file_name(name)
    return FrameSource(read(), name=name, shown=shown, kind='pictures', count=len(paths))


def _open_video(path: Path) -> FrameSource:
    problem = (
        f'{path} cannot be decoded as a video by this OpenCV; convert it, for instance to mp4, or '
        'give a folder of pictures.'
    )
    with path.open('rb'):  # says who may not read it; OpenCV does not
        pass
    capture = cv2.VideoCapture(str(path))
    frames = _start(capture, problem)
    rate, count = _describe(capture)
    return FrameSource(
        frames,
        name=_file_name(path.stem),
        shown=str(path),
        kind='video',
        rate=rate,
        count=count,
        exact=path.suffix.lower() in _COUNTED,
        close=capture.release,
    )


def _open_camera(number: int) -> FrameSource:
    problem = (
        f'camera {number} gives no pictures; check that it is connected, that no other program '
        'uses it, and its number (the first camera is 0).'
    )
    capture = cv2.VideoCapture(number)
    frames = _start(capture, problem)

    def read() -> Iterator[np.ndarray]:
        yield from frames
        raise SourceError(f'camera {number} gives no more pictures; is it still connected?')

    return FrameSource(
        read(),
        name=f'camera{number}',
        shown=f'camera {number}',
        kind='camera',
        rate=_describe(capture)[0],
        live=True,
        close=capture.release,
    )


def _open_stream(address: str) -> FrameSource:
    parts = urlsplit(address)
    shown = parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()
    problem = (
        f'{shown} cannot be opened as a stream; check the address and the network, and that this '
        f'OpenCV reads {parts.scheme}.'
    )
    capture = cv2.VideoCapture(address)
    frames = _start(capture, problem)
    rate, count = _describe(capture)
    return FrameSource(
        frames,
        name=_file_name(Path(parts.path).stem or parts.hostname or 'stream'),
        shown=shown,
        kind='stream',
        rate=rate,
        count=count,
        exact=Path(parts.path).suffix.lower() in _COUNTED,
        live=count is None,
        close=capture.release,
    )


def _start(capture: cv2.VideoCapture, problem: str) -> Iterator[np.ndarray]:
    """All frames; the first one is read at once, as a proof that there are any."""
    found, first = capture.read()
    if not found:
        capture.release()
        raise SourceError(problem)

    def read() -> Iterator[np.ndarray]:
        while True:
            found, frame = capture.read()
            if not found:
                return
            yield frame

    return chain([first], read())


def _describe(capture: cv2.VideoCapture) -> tuple[float | None, int | None]:
    """Rate and number of frames, each None where the source does not know or talks nonsense."""
    rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return (rate if RATES[0] <= rate <= RATES[1] else None), (count if count > 0 else None)


def _list_pictures(folder: Path) -> list[Path]:
    pictures = _pictures_of(folder.iterdir())
    if not pictures:
        raise FileNotFoundError(f'{folder} holds no pictures ({", ".join(PICTURES)}).')
    return pictures


def _pictures_of(paths: Iterable[Path]) -> list[Path]:
    """Pictures in the order of their names, ``frame2`` before ``frame10``."""
    pictures = [path for path in paths if path.suffix.lower() in PICTURES]
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    words = re.split(r'(\d+)', str(path))
    return [(int(word), '') if word.isdecimal() else (-1, word) for word in words]


def _file_name(text: str) -> str:
    return re.sub(r'[^\w.-]+', '_', text).strip('._') or 'video'
