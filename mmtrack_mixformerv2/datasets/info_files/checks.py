"""Checks of one sequence: its frames, the lines of its annotation, its boxes and labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from ...evaluation.box_files import inverted_lines, name_lines, read_boxes
from ..frame_files import list_frames
from ..label_files import read_flags
from ..nfs_boxes import read_nfs_boxes
from .entries import Entry, shorten
from .images import image_size, is_readable


@dataclass
class Checked:
    """What came out for a sequence.

    Attributes:
        entry: What it should be.
        last: Number of its last frame.
        problems: Why it cannot be evaluated or trained on; each names its file.
        notes: What is odd, but can be read.
        counts: How often there is what publishers write for a target that is not seen.
    """

    entry: Entry
    last: int = -1
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def frames(self) -> int:
        """Number of frames."""
        return max(0, self.last - self.entry.first + 1)

    @property
    def line(self) -> str:
        """Line of the info file; only of use if there are no problems."""
        entry = self.entry
        return f'{entry.frames},{entry.annotation},{entry.first},{self.last}'

    def add(self, text: str, *, harmless: bool = False) -> None:
        """Adds a note, if what was found is harmless, or else a problem."""
        (self.notes if harmless else self.problems).append(text)


def check_sequence(entry: Entry, decode: bool = False) -> Checked:
    """Checks a sequence.

    Args:
        entry: Where it is and what it should hold.
        decode: Decode every frame. Else the ends of the files tell whether they are whole.
    """
    checked = Checked(entry)
    if entry.listed and ',' in entry.frames + entry.annotation:
        checked.add(
            f'the path {entry.frames} has a comma, which separates the fields of an info file'
        )
    try:
        frames = _find_frames(checked)
        if frames:
            size = _image_size(frames)
            _check_frames(checked, frames, decode, size)
            _check_annotation(checked, size)
    except OSError as error:
        checked.add(str(error))
    return checked


def number_ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers with runs in short, e.g. ``3, 5-7``."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), key=lambda item: item[1] - item[0])
    ]
    return shorten([f'{run[0]}-{run[-1]}' if len(run) > 1 else str(run[0]) for run in runs])


def _find_frames(checked: Checked) -> dict[int, Path]:
    """Frames by number; also finds out the last one."""
    entry, folder = checked.entry, checked.entry.frame_folder
    if not folder.is_dir():
        checked.add(f'there is no folder of frames {folder}')
        return {}
    names = list_frames(folder)
    if entry.digits is None:
        frames = {place: folder / name for place, name in enumerate(names, start=1)}
    else:
        frames = {
            int(stem): folder / name
            for name in names
            if (stem := name.removesuffix('.jpg')).isdecimal()
            and name == f'{int(stem):0{entry.digits}d}.jpg'
        }
    if not frames:
        example = f'{entry.first:0{entry.digits or 1}d}.jpg'
        found = f'there is {names[0]}' if names else 'it has no images'
        checked.add(f'{folder} has no frames with names like {example}; {found}')
        return {}
    checked.last = max(frames) if entry.last is None else entry.last
    strange = sorted(set(names) - {path.name for path in frames.values()})
    if strange:
        checked.add(f'images that are no frames: {shorten(strange)} in {folder}', harmless=True)
    return frames


def _check_frames(
    checked: Checked, frames: dict[int, Path], decode: bool, size: tuple[int, int] | None
) -> None:
    """Names frames that are missing, too early, not to be read, or of another size."""
    entry, used = checked.entry, range(checked.entry.first, checked.last + 1)
    missing = [number for number in used if number not in frames]
    early = sorted(number for number in frames if number < entry.first)
    bad = [n for n in used if n in frames and not is_readable(frames[n], decode)]
    if missing:
        checked.add(
            f'missing frames: {number_ranges(missing)} ({len(missing)} in all) in '
            f'{entry.frame_folder}'
        )
    if early and entry.last is None:
        checked.add(
            f'frames before the first, {entry.first}: {number_ranges(early)} in '
            f'{entry.frame_folder}'
        )
    if bad:
        names = shorten([frames[number].name for number in bad])
        checked.add(f'unreadable frames: {names} ({len(bad)} in all) in {entry.frame_folder}')
    if decode:
        sound = [frames[n] for n in used if n in frames and n not in bad]
        other = [path.name for path in sound if image_size(path) != size]
        if other:
            checked.add(
                f'frames of another size than the first, {size[0]} x {size[1]} pixels: '
                f'{shorten(other)} ({len(other)} in all) in {entry.frame_folder}',
                harmless=entry.training,
            )


def _check_annotation(checked: Checked, size: tuple[int, int] | None) -> None:
    """Reads boxes and labels, and compares them with the frames and with each other."""
    entry, path = checked.entry, checked.entry.annotation_file
    hidden = _read_labels(checked)
    try:
        if entry.nfs:
            boxes, hidden = _read_nfs(checked)
        else:
            boxes = read_boxes(path)
    except (OSError, ValueError) as error:
        checked.add(str(error))
        if path.is_file() and not entry.nfs:
            _check_line_count(checked, len(path.read_bytes().rstrip().splitlines()))
        return
    if not entry.nfs:
        _check_line_count(checked, len(boxes))
    _check_boxes(checked, boxes, hidden, size)


def _read_labels(checked: Checked) -> np.ndarray:
    """In which frames the target is not seen, bool."""
    hidden = np.zeros(checked.frames, bool)
    for label in checked.entry.labels:
        path = checked.entry.annotation_file.parent / label.name
        if not path.is_file():
            checked.add(
                f'there is no file {path}; as far as that goes, the target counts as seen',
                harmless=not checked.entry.labels_needed,
            )
            continue
        try:
            flags = read_flags(path, count=checked.frames, highest=label.highest)
        except ValueError as error:
            checked.add(str(error))
        else:
            hidden |= flags == label.hidden
    return hidden


def _read_nfs(checked: Checked) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of NfS and where the target is lost; the last frame of some sequences has no box."""
    path = checked.entry.annotation_file
    try:
        boxes, lost = read_nfs_boxes(path, checked.frames)
    except ValueError as error:
        try:
            boxes, lost = read_nfs_boxes(path, checked.frames - 1)
        except ValueError:
            raise error from None
        checked.last -= 1
        checked.add(f'{path} ends one frame early; the last frame is left out', harmless=True)
    checked.counts['frames with a lost target'] += int(lost.sum())
    return boxes, lost


def _check_line_count(checked: Checked, lines: int) -> None:
    entry, expected = checked.entry, checked.frames + checked.entry.skipped
    if lines == expected or (lines == 1 and not entry.whole):
        return
    wanted = expected if entry.whole else f'1 or {expected}'
    checked.add(
        f'{entry.annotation_file} has {lines} lines, expected {wanted}: frames are {entry.first} '
        f'to {checked.last}' + (f', {entry.skipped} skipped' if entry.skipped else '')
    )


def _check_boxes(
    checked: Checked, boxes: np.ndarray, hidden: np.ndarray, size: tuple[int, int] | None
) -> None:
    """Names boxes that are none, and the first one if it cannot start a tracker."""
    entry, first = checked.entry, checked.entry.skipped + 1
    unseen = {int(row) + first for row in np.flatnonzero(hidden)} | set(entry.no_box)
    nan = np.flatnonzero(np.isnan(boxes).any(axis=1))
    outside = _outside(boxes, size) if size else {}
    for what, lines, is_fine in (
        ('NaN boxes', {int(row) + 1: 'is NaN' for row in nan}, entry.nan or entry.training),
        ('boxes of negative size', inverted_lines(boxes), entry.training),
        ('boxes outside of the image', outside, False),
    ):
        named = {} if is_fine else {n: text for n, text in lines.items() if n not in unseen}
        checked.counts[what] += len(lines) - len(named)
        if named:
            harmless = lines is outside and entry.outside and first not in named
            checked.add(f'{entry.annotation_file}: {_name(entry, named)}', harmless=harmless)
    empty = (boxes[:, 2:] >= 0).all(axis=1) & (boxes[:, 2:] == 0).any(axis=1)
    checked.counts['boxes without size'] += int(empty.sum())
    start = boxes[first - 1 : first]
    if len(start) and not (np.isfinite(start).all() and (start[:, 2:] > 0).all()):
        named = {first: 'has no box, but tracking starts there'}
        checked.add(f'{entry.annotation_file}: {_name(entry, named)}', harmless=entry.training)


def _outside(boxes: np.ndarray, size: tuple[int, int]) -> dict[int, str]:
    """Lines, from 1, of boxes that have a size but share nothing with the image."""
    corner, extent = boxes[:, :2], boxes[:, 2:]
    away = (corner >= size).any(axis=1) | (corner + extent <= 0).any(axis=1)
    rows = np.flatnonzero(away & (extent > 0).all(axis=1))
    what = f'outside of the image of {size[0]} x {size[1]} pixels'
    return {int(row) + 1: f'is {boxes[row].tolist()}, {what}' for row in rows}


def _name(entry: Entry, bad: dict[int, str]) -> str:
    """Bad lines by number; those of NfS by frame, since there may be eight lines for each."""
    text = name_lines(bad)
    return text.replace('line ', 'frame ').replace(' lines', ' frames') if entry.nfs else text


def _image_size(frames: dict[int, Path]) -> tuple[int, int] | None:
    """Width and height of the first frame, or of the next one that has a readable header."""
    for number in sorted(frames):
        try:
            return image_size(frames[number])
        except (OSError, SyntaxError, ValueError):
            continue
    return None
