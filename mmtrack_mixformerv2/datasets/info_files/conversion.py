"""From the files of a benchmark to its info file, with a report of all that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ...files import replace_file
from ...synthetic.writer import INFO_HEADER
from .checks import Checked, check_sequence
from .entries import Listing, shorten
from .layouts import BENCHMARKS, need_folder


@dataclass
class Conversion:
    """A benchmark that was checked.

    Attributes:
        title: Benchmark and split.
        checked: What came out for each sequence that is there.
        problems: What is wrong with the list of sequences.
        notes: What is odd about it.
    """

    title: str
    checked: list[Checked]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> list[Checked]:
        return [item for item in self.checked if not item.problems]

    @property
    def broken(self) -> list[Checked]:
        return [item for item in self.checked if item.problems]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing and nothing is broken."""
        return not self.problems and not self.broken


def convert(
    benchmark: str,
    root: Path,
    split: str,
    *,
    exclude: Iterable[str] = (),
    decode: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> Conversion:
    """Lists and checks the sequences of a benchmark. Nothing is written.

    Args:
        benchmark: A key of :data:`BENCHMARKS`.
        root: Folder of the benchmark.
        split: One of the benchmark's splits.
        exclude: Names of sequences to leave out.
        decode: Decode every frame. Else the ends of the files tell whether they are whole.
        workers: Sequences that are checked at once.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If the folder is none of the benchmark.
        ValueError: If a sequence to leave out is not in the list.
    """
    need_folder(root, f'the files of {benchmark}')
    listing = BENCHMARKS[benchmark].find(root, split)
    _exclude(listing, set(exclude))
    _drop_duplicates(listing)
    if not listing.entries:
        reasons = [f'{benchmark} {split}: there is no sequence in {root}', *listing.problems]
        raise FileNotFoundError('; '.join(reasons))
    check = partial(check_sequence, decode=decode)
    pool = ThreadPoolExecutor(workers)  # threads: a check waits for the disk, or for the decoder
    try:
        results = pool.map(check, listing.entries)
        checked = list(tqdm(results, total=len(listing.entries), unit='seq', disable=not progress))
    finally:
        pool.shutdown(cancel_futures=True)
    title = f'{benchmark} {split}' if len(BENCHMARKS[benchmark].splits) > 1 else benchmark
    return Conversion(title, checked, listing.problems, listing.notes)


def describe(conversion: Conversion) -> str:
    """The report: what is odd and what is wrong, by sequence, and the counts at the end."""
    lines = []
    for title, general, kind in (
        ('odd, but readable:', conversion.notes, 'notes'),
        ('problems:', conversion.problems, 'problems'),
    ):
        named = [f'  {text}' for text in general]
        for item in conversion.checked:
            texts = getattr(item, kind)
            named += [f'  {item.name}', *(f'    {text}' for text in texts)] if texts else []
        lines += [title, *named] if named else []
    counts = {what for item in conversion.checked for what in item.counts}
    for what in sorted(counts):
        numbers = [item.counts[what] for item in conversion.checked if item.counts[what]]
        if numbers:
            lines.append(f'{what}: {sum(numbers):,} (sequences: {len(numbers)})')
    problems = len(conversion.problems) + sum(len(item.problems) for item in conversion.checked)
    frames = sum(item.frames for item in conversion.sound)
    lines.append(
        f'{conversion.title}: sound sequences: {len(conversion.sound)}, their frames: {frames:,}, '
        f'broken sequences: {len(conversion.broken)}, problems: {problems}'
    )
    return '\n'.join(lines)


def write_info_file(conversion: Conversion, path: Path, *, force: bool = False) -> bool:
    """Writes the sound sequences, whole or not at all.

    Args:
        conversion: What :func:`convert` gave.
        path: The info file.
        force: Replace a file that has other content.

    Returns:
        False if the file was there already, with the same content.

    Raises:
        FileExistsError: If there is another file and ``force`` is not set.
        ValueError: If no sequence is sound.
    """
    if not conversion.sound:
        raise ValueError(f'{conversion.title}: no sequence is sound, so there is nothing to write')
    content = '\n'.join([INFO_HEADER, *(item.line for item in conversion.sound)]).encode() + b'\n'
    if path.exists():
        if path.is_file() and path.read_bytes() == content:
            return False
        if not path.is_file() or not force:
            raise FileExistsError(
                f'{path} is there with other content; nothing was written. Give another --out, or '
                '--force to replace it'
            )
    replace_file(path, content)
    return True


def _exclude(listing: Listing, names: set[str]) -> None:
    unknown = sorted(names - {entry.name for entry in listing.entries})
    if unknown:
        raise ValueError(
            f'{len(unknown)} of {len(names)} sequences to leave out are not in the list: '
            f'{shorten(unknown)}'
        )
    listing.entries = [entry for entry in listing.entries if entry.name not in names]


def _drop_duplicates(listing: Listing) -> None:
    counts = Counter(entry.name for entry in listing.entries)
    twice = [f'{name} ({count} times)' for name, count in counts.items() if count > 1]
    if twice:
        listing.problems.append(f'names that are not unique: {shorten(twice)}')
        listing.entries = list({entry.name: entry for entry in listing.entries[::-1]}.values())[
            ::-1
        ]
