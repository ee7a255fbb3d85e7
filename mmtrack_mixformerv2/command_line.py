"""Types of options that several tools have."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Container
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """Type of an option: a whole number."""

    def parse(text: str) -> int:
        if not text.lstrip('-').isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from {least} up')
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Type of an option: seconds, from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds from 0 up')
    return value


def add_model_options(add: Callable[..., object]) -> None:
    """Add ``--model`` and ``--checkpoint``, as :class:`~.apis.Tracker` takes them.

    Args:
        add: ``add_argument`` of a parser or a group.
    """
    add(
        '--model',
        default='mixformerv2-tiny',
        help='a name of the model zoo, a config file (with --checkpoint), or the folder of an '
        'exported model (default mixformerv2-tiny)',
    )
    add('--checkpoint', help='weights for the config, or instead of those of the zoo')


def add_clip_options(add: Callable[..., object]) -> None:
    """Add ``--clip``, ``--init`` and ``--size``, for :func:`~.benchmark.speed.clip.choose_clip`.

    Args:
        add: ``add_argument`` of a parser or a group.
    """
    add('--clip', type=Path, help='a video, or a folder of pictures (default: rendered JPEG files)')
    add(
        '--init',
        type=parse_box,
        metavar='X,Y,W,H',
        help='the target in its first frame (default: groundtruth.txt in the folder)',
    )
    add(
        '--size',
        type=at_least(64),
        nargs=2,
        default=[1280, 720],
        metavar=('W', 'H'),
        help='of rendered frames (default 1280 720)',
    )


def parse_box(text: str) -> list[float]:
    """Type of an option: x, y, width and height between commas."""
    try:
        box = [float(value) for value in text.split(',')]
    except ValueError:
        box = []
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f'{text!r} is not x,y,width,height, e.g. 316,139,112,116')
    return box


def split_model(text: str) -> tuple[str, str | None]:
    """Model and checkpoint of ``MODEL`` or ``MODEL=CHECKPOINT``; a file may have a ``=`` in it.

    Raises:
        ValueError: If nothing follows the ``=``.
    """
    model, equals, checkpoint = text.partition('=')
    if os.path.exists(text) or not equals:
        return text, None
    if not checkpoint:
        raise ValueError(f'{text} has no checkpoint behind the =; give MODEL=CHECKPOINT, or MODEL')
    return model, checkpoint


def new_name(name: str, taken: Container[str]) -> str:
    """The name, or ``name (2)`` and so on where it is taken."""
    number, new = 2, name
    while new in taken:
        number, new = number + 1, f'{name} ({number})'
    return new
