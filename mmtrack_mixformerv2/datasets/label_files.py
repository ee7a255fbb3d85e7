"""Small text files of the benchmarks: flags of frames, and attributes of sequences."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..evaluation.box_files import read_lines

# How a folder of attributes names the file of a sequence: UAV123, LaSOT and OTB; TNL2K; its data.
_ATTRIBUTE_FILES = ('{}.txt', '{}_attribute.txt', '{}/attributes.txt')


def read_flags(path: str | Path, *, count: int | None = None, highest: int = 1) -> np.ndarray:
    """Reads whole numbers between commas, blanks or line ends.

    Args:
        path: The file.
        count: How many there must be; any number if None.
        highest: They are at least 0 and at most this.

    Returns:
        int64 of shape ``(N,)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Names file and line: something else than such a number, or another count; or
            the file is no text.
    """
    flags = []
    for number, line in enumerate(read_lines(path), start=1):
        for word in re.findall(r'[^,;\s]+', line):
            flag = _whole_number(word)
            if flag is None or flag > highest:
                raise ValueError(
                    f'{path}: line {number} has {word!r}, expected numbers from 0 to {highest}'
                )
            flags.append(flag)
    if count is not None and len(flags) != count:
        raise ValueError(f'{path} has {len(flags)} numbers, expected {count}')
    return np.array(flags, np.int64)


def read_attributes(
    source: str | Path, sequences: Sequence[str], attributes: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Reads what a benchmark says about whole sequences, such as fast motion.

    Args:
        source: A table, ``.csv``, with lines of ``sequence,attribute,attribute,...``; a first line
            that begins with ``sequence`` is its title, and a sequence may have several lines. Or a
            folder with a file of flags for each sequence, named ``NAME.txt``,
            ``NAME_attribute.txt`` or ``NAME/attributes.txt``.
        sequences: Names of the sequences.
        attributes: What the flags stand for, in their order.

    Returns:
        The attributes of the sequences that have a line or a file.

    Raises:
        FileNotFoundError: If there is neither such a table nor such a folder.
        ValueError: If a file does not have a flag for every attribute, or it is not known what
            flags stand for, or the table knows none of the sequences.
    """
    source = Path(source)
    if source.is_file():
        return _read_table(source, sequences)
    if not source.is_dir():
        raise FileNotFoundError(f'there is no table or folder of attributes {source}')
    found = {}
    for name in sequences:
        paths = [source / pattern.format(name) for pattern in _ATTRIBUTE_FILES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            continue
        if not attributes:
            raise ValueError(
                f'{path}: it is not known what the flags of this data set stand for; write a table '
                'with lines of sequence,attribute,attribute,... and give that instead of the folder'
            )
        flags = read_flags(path, count=len(attributes))
        found[name] = tuple(attributes[index] for index in np.flatnonzero(flags))
    return found


def _read_table(path: Path, sequences: Sequence[str]) -> dict[str, tuple[str, ...]]:
    table: dict[str, list[str]] = {}
    for number, row in enumerate(csv.reader(read_lines(path))):
        words = [word.strip() for word in row]
        if not any(words) or (number == 0 and words[0].lower() == 'sequence'):
            continue
        known = table.setdefault(words[0], [])
        known.extend(word for word in dict.fromkeys(words[1:]) if word and word not in known)
    if table and not table.keys() & set(sequences):
        raise ValueError(
            f'{path} has attributes of {next(iter(table))!r} and {len(table) - 1} more, but of '
            f'none of the {len(sequences)} sequences, of which the first is {sequences[0]!r}; each '
            'line must begin with the name of a sequence'
        )
    return {name: tuple(table[name]) for name in sequences if name in table}


def _whole_number(word: str) -> int | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return int(value) if value >= 0 and value.is_integer() else None
