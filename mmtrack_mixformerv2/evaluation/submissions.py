"""Zip files for the servers of GOT-10k and TrackingNet, which keep the test sets' boxes.

The rules, and where they were read:

GOT-10k
    180 sequences, each a folder with boxes and times, at the top of the zip file or in one folder
    named after the tracker (issue 3 of got-10k/toolkit); numbers between commas, blanks fail (issue
    21). A broken file is not reported: the page stays without scores. The first frame of a sequence
    is not scored.
TrackingNet
    511 text files without a folder around them (issue 12 of SilvioGiancola/TrackingNet-devkit);
    four numbers between commas per line and no header. By the published ``metrics.py``, which the
    server runs, a missing file counts as a tracker that never hits, a file is found by a part of
    its name, boxes are rounded to whole pixels, and the first one is replaced by the true one.

So neither server says what is wrong with a file, and one of them scores it nevertheless. Here
everything is named before it is sent.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .box_files import inverted_lines, name_lines
from .protocols import Protocol
from .result_files import (
    box_file,
    foreign_files,
    open_results,
    read_result,
    shorten,
    time_file,
    write_file,
)
from .sequences import SequenceTable

_DATE = (1980, 1, 1, 0, 0, 0)  # the same results make the same bytes
_LINE = re.compile(
    r'[-+.\deE]+(,[-+.\deE]+){3}'
)  # whether these are numbers is looked at elsewhere


@dataclass(frozen=True)
class Server:
    """What a server expects.

    Attributes:
        address: Of its web page.
        sequences: How many there are in the test set.
        name: Pattern of their names.
        timed: Whether it wants the seconds that each frame took.
    """

    address: str
    sequences: int
    name: str = r'.+'
    timed: bool = False


SERVERS = {
    'got10k_test': Server(
        'http://got-10k.aitestunion.com/submit_instructions', 180, r'GOT-10k_Test_\d{6}', timed=True
    ),
    'trackingnet': Server('http://eval.tracking-net.org', 511),
}


def check_submission(path: str | Path, table: SequenceTable, protocol: Protocol) -> list[str]:
    """Compare results with the rules of their server.

    Args:
        path: Folder of results, or a zip file that is to be sent.
        table: The sequences of the test set.
        protocol: With a server.

    Returns:
        What is wrong, a line for each finding; empty if the results can be sent.
    """
    server, path = _server(protocol), Path(path)
    problems = []
    if len(table) != server.sequences:
        problems.append(
            f'the data set has {len(table)} sequences, and the test set of {protocol.title} '
            f'has {server.sequences}; look at its info file'
        )
    names = [table.name(index) for index in range(len(table))]
    problems += [
        f'{name} is no name of a sequence of {protocol.title}, which match {server.name}'
        for name in names
        if not re.fullmatch(server.name, name)
    ]
    if path.is_file():
        problems += _check_archive(path, protocol)
    try:
        with open_results(path, names, protocol.result_format) as folder:
            problems += _check_files(folder, table, protocol)
            if path.is_file():
                problems += [
                    f'{name} belongs to no sequence; leave it out'
                    for name in foreign_files(folder, names, protocol.result_format)
                ]
    except (FileNotFoundError, ValueError) as error:
        problems.append(str(error))
    return problems


def write_submission(
    folder: str | Path, table: SequenceTable, protocol: Protocol, path: str | Path
) -> None:
    """Zip a folder of results for the server; nothing but the files of the sequences gets in.

    Args:
        folder: Of results.
        table: The sequences of the test set.
        protocol: With a server.
        path: The zip file. It appears whole or not at all, and the same results make the same
            bytes.

    Raises:
        ValueError: If something is against the rules of the server.
    """
    problems = check_submission(folder, table, protocol)
    if problems:
        raise ValueError(
            f'{folder} cannot be sent to the server of {protocol.title}:\n' + '\n'.join(problems)
        )
    names = [table.name(index) for index in range(len(table))]
    content = io.BytesIO()
    with (
        open_results(folder, names, protocol.result_format) as found,
        zipfile.ZipFile(content, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in sorted(file for name in names for file in _files(found, name, protocol)):
            entry = zipfile.ZipInfo(file.relative_to(found).as_posix(), _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    write_file(path, content.getvalue())


def _server(protocol: Protocol) -> Server:
    if protocol.name not in SERVERS:
        raise ValueError(
            f'results of {protocol.title} are not sent to a server; these are: {", ".join(SERVERS)}'
        )
    return SERVERS[protocol.name]


def _files(folder: Path, name: str, protocol: Protocol) -> list[Path]:
    boxes = box_file(folder, name, protocol.result_format)
    return [boxes, time_file(folder, name)] if _server(protocol).timed else [boxes]


def _check_archive(path: Path, protocol: Protocol) -> list[str]:
    """Rules about the zip file itself."""
    if not zipfile.is_zipfile(path):
        return []  # named when it is opened
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith('/')]
    problems = [f'{name} is {n} times in {path}' for name, n in Counter(names).items() if n > 1]
    if protocol.name == 'trackingnet' and any('/' in name for name in names):
        inside = next(name for name in names if '/' in name)
        problems.append(f'{inside} is in a folder; the files have to be at the top of {path}')
    return problems


def _check_files(folder: Path, table: SequenceTable, protocol: Protocol) -> list[str]:
    """Rules about the files of each sequence."""
    problems = []
    for index in range(len(table)):
        try:
            sequence = table[index]
            result = read_result(folder, sequence, protocol.result_format)
            path = box_file(folder, sequence.name, protocol.result_format)
            _check_commas(path)
            if bad := inverted_lines(result.boxes_xywh):
                raise ValueError(f'{path}: {name_lines(bad)}')
            if _server(protocol).timed and result.seconds is None:
                raise FileNotFoundError(
                    f'there is no file {time_file(folder, sequence.name)}: the server wants the '
                    'seconds of each frame, as measured'
                )
        except (FileNotFoundError, ValueError) as error:
            problems.append(shorten(error, folder))
    return problems


def _check_commas(path: Path) -> None:
    lines = enumerate(path.read_text(encoding='utf-8').rstrip().splitlines(), start=1)
    bad = {
        number: f'is {line!r}, expected x,y,width,height between commas, without blanks'
        for number, line in lines
        if not _LINE.fullmatch(line)
    }
    if bad:
        raise ValueError(f'{path}: {name_lines(bad)}')
