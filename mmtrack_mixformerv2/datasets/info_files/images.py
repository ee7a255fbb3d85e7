"""Whether a frame can be read, without decoding it where that is not asked for."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

# How files begin and end. Some writers put a few bytes after the end.
_SIGNATURES = ((b'\xff\xd8\xff', b'\xff\xd9'), (b'\x89PNG\r\n\x1a\n', b'IEND'))
_TAIL = 64


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header.

    Raises:
        OSError: If it is no image.
    """
    with Image.open(path) as image:
        return image.size


def is_readable(path: Path, decode: bool = False) -> bool:
    """Whether a file is a whole image.

    Args:
        path: The file.
        decode: Decode it. Else only its first and last bytes are looked at, unless they are none
            that are known; that takes about 20 microseconds.
    """
    try:
        return (not decode and _has_signature(path)) or _can_be_decoded(path)
    except OSError:
        return False


def _has_signature(path: Path) -> bool:
    with path.open('rb', buffering=0) as file:
        head = file.read(8)
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        tail = file.read(_TAIL)
    return any(head.startswith(start) and end in tail for start, end in _SIGNATURES)


def _can_be_decoded(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except (SyntaxError, ValueError):  # how PIL reports some broken headers
        return False
    return True
