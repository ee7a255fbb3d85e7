"""Frames whose names are no number pattern, and folders that are sequences."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.sequences import FRAME_FOLDERS

FRAME_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
ANNOTATION = 'groundtruth.txt'


@dataclass(frozen=True)
class SequenceFolder:
    """A folder that is a sequence.

    Attributes:
        name: Name of the folder.
        frames: Folder of the frames, which is the sequence itself or in it.
        annotation: The file of boxes.
        length: Number of frames.
    """

    name: str
    frames: Path
    annotation: Path
    length: int


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people do: ``img2.jpg`` before ``img10.jpg``, capitals as small letters."""
    parts = re.split(r'(\d+)', name.lower())  # words at even places, numbers between them
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def list_frames(folder: str | Path) -> list[str]:
    """Names of the frames in a folder (jpg, jpeg, png, bmp), in natural order.

    Files that begin with a dot, as some systems leave beside pictures, are no frames.
    """
    names = [
        path.name
        for path in Path(folder).iterdir()
        if path.suffix.lower() in FRAME_SUFFIXES and not path.name.startswith('.')
    ]
    return sorted(names, key=natural_key)


def read_sequence(folder: Path) -> SequenceFolder | None:
    """The sequence that a folder is; None if there is nothing of one.

    A sequence has ``groundtruth.txt`` and frames, which are beside it or in one folder that is
    called img, imgs, color, frames or images.

    Raises:
        FileNotFoundError: If there are only frames, or only ``groundtruth.txt``.
        ValueError: If frames are in more than one place.
    """
    below = [path for name in FRAME_FOLDERS if (path := folder / name).is_dir()]
    places = [folder, *(path for path in below if not (path / ANNOTATION).is_file())]
    frames = {place: names for place in places if (names := list_frames(place))}
    annotation = folder / ANNOTATION
    if not frames and not annotation.is_file():
        return None
    if not frames:
        raise FileNotFoundError(
            f'{folder} has a {ANNOTATION} but no frames, neither beside it nor in a folder '
            f'{", ".join(FRAME_FOLDERS[:-1])} or {FRAME_FOLDERS[-1]}'
        )
    if not annotation.is_file():
        raise FileNotFoundError(
            f'{next(iter(frames))} has frames, but there is no {annotation}; write the box '
            'x,y,width,height of the target in the first frame into it, or take the frames away'
        )
    if len(frames) > 1:
        raise ValueError(
            f'frames are in {" and in ".join(map(str, frames))}; leave those of the sequence only'
        )
    ((place, names),) = frames.items()
    name = Path(os.path.abspath(folder)).name  # of . too, and a link has its own
    return SequenceFolder(name, place, annotation, len(names))


def find_sequences(root: str | Path, problems: list[str] | None = None) -> list[SequenceFolder]:
    """Finds the sequences in a folder, in natural order of their paths.

    If it is a sequence itself, that is the only one; see :func:`read_sequence`. Folders with
    neither frames nor ``groundtruth.txt`` may hold others, at any depth.

    Args:
        root: The folder.
        problems: Takes what is wrong with a sequence, which is then left out; raised if None.

    Raises:
        FileNotFoundError: If there is no such folder, or a sequence lacks its frames or its
            ``groundtruth.txt``.
        ValueError: If there is no sequence, or frames of one are in more than one place.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f'there is no folder of sequences {root}')
    found = _search(root, problems, seen=set())
    if not found and problems is None:
        raise ValueError(
            f'{root} has no sequence: expected folders with frames and a {ANNOTATION}, of lines '
            'x,y,width,height'
        )
    return found


def _search(folder: Path, problems: list[str] | None, seen: set[Path]) -> list[SequenceFolder]:
    """The sequence that a folder is, or those below it; links to a folder above lead nowhere."""
    try:
        sequence = read_sequence(folder)
    except (FileNotFoundError, ValueError) as error:
        if problems is None:
            raise
        problems.append(str(error))
        return []
    if sequence is not None:
        return [sequence]
    seen = {*seen, folder.resolve()}
    below = [
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith('.') and path.resolve() not in seen
    ]
    below.sort(key=lambda path: natural_key(path.name))
    return [sequence for path in below for sequence in _search(path, problems, seen)]
