"""What a benchmark should consist of: its sequences, where they lie, and what their files hold."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_TABLES = Path(__file__).resolve().parents[1] / 'data'


class Label(NamedTuple):
    """A file with a flag for every frame.

    Attributes:
        name: Of the file, which is beside the annotation.
        highest: Flags are whole numbers from 0 to this.
        hidden: The flag of frames in which the target is not seen.
    """

    name: str
    highest: int
    hidden: int


@dataclass(frozen=True)
class Entry:
    """A sequence, as it should be.

    Attributes:
        name: As the benchmark calls it.
        base: Folder that the paths of the info file are relative to.
        frames: Folder of the frames, relative to ``base``, with slashes.
        annotation: File of the boxes, relative to ``base``, with slashes.
        digits: Frames are numbers of that many digits, at least, and ``.jpg``. If None they may
            have any names, and their places in the sorted list, from 1, are their numbers.
        first: Number of the first frame.
        last: Number of the last frame; if None, that of the last one on the disk.
        skipped: Lines of the annotation that belong to frames before the first.
        listed: Whether it stands in an info file, whose fields are separated by commas.
        whole: Whether every frame has a line; else that of the first frame is enough.
        labels: Files of flags beside the annotation.
        labels_needed: Whether a missing file of flags is a problem.
        nan: Whether NaN may stand for no box.
        outside: Whether boxes may lie outside of the image, except the first.
        no_box: Lines, from 1, that are known to be no boxes although the target is seen.
        training: Whether it is trained on: frames with an impossible box are not drawn then, so
            such boxes do no harm.
        nfs: Whether the annotation is one of NfS.
    """

    name: str
    base: Path
    frames: str
    annotation: str
    digits: int | None = None
    first: int = 1
    last: int | None = None
    skipped: int = 0
    listed: bool = True
    whole: bool = True
    labels: tuple[Label, ...] = ()
    labels_needed: bool = True
    nan: bool = False
    outside: bool = True
    no_box: tuple[int, ...] = ()
    training: bool = False
    nfs: bool = False

    @property
    def frame_folder(self) -> Path:
        return self.base / self.frames

    @property
    def annotation_file(self) -> Path:
        return self.base / self.annotation


@dataclass
class Listing:
    """The sequences that a benchmark should have, and what is wrong with the list itself.

    Attributes:
        entries: The sequences, in the order of the info file.
        problems: Why the benchmark is not whole, e.g. missing sequences.
        notes: What does not matter to an evaluation, e.g. folders that no list names.
    """

    entries: list[Entry]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_names(
    entries: Sequence[Entry], found: Iterable[str], known: Iterable[str] = ()
) -> Listing:
    """Keeps the listed sequences that are there, and names the others.

    Args:
        entries: Those of the official list.
        found: Names of the sequences on the disk.
        known: Names that may be on the disk besides, e.g. sequences of another split.
    """
    names, found = {entry.name for entry in entries}, set(found)
    missing = [entry.name for entry in entries if entry.name not in found]
    strange = sorted(found - names - set(known))
    listing = Listing([entry for entry in entries if entry.name in found])
    if missing:
        listing.problems.append(
            f'missing sequences: {shorten(missing)} ({len(missing)} of {len(entries)} in the list)'
        )
    if strange:
        listing.notes.append(f'sequences that no list has: {shorten(strange)}')
    return listing


def expect_count(listing: Listing, count: int, what: str) -> None:
    """Notes in a listing that its number of sequences is not the published one."""
    if len(listing.entries) != count:
        listing.problems.append(
            f'number of sequences: {len(listing.entries)}, but {what} has {count}'
        )


def read_table(name: str) -> list[dict[str, str]]:
    """Rows of a table of facts about a benchmark; lines that begin with # are remarks."""
    lines = (_TABLES / f'{name}.csv').read_text(encoding='utf-8').splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith('#')))


def read_names(path: Path) -> list[str]:
    """Names of sequences, one per line; empty lines are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names no sequence.
    """
    if not path.is_file():
        raise FileNotFoundError(f'there is no list of sequences {path}')
    names = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    if not any(names):
        raise ValueError(f'{path} is empty, expected the name of a sequence in each line')
    return [name for name in names if name]


def folders_in(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.')
    )


def shorten(items: Sequence[object], most: int = 30) -> str:
    """The first items between commas, and how many more there are."""
    rest = len(items) - most
    return ', '.join(map(str, items[:most])) + (f' and {rest} more' if rest > 0 else '')
