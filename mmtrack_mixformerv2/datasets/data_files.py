"""Looks for the files that a dataset config names, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .frame_files import find_sequences

_CONVERTER = 'tools/dataset_converters/write_infos.py'
_BENCHMARKS = {  # what the converter calls what a class reads
    'LaSOTDataset': 'lasot',
    'LaSOTTestDataset': 'lasot or lasot_ext',
    'GOT10kDataset': 'got10k',
    'GOT10kTestDataset': 'got10k',
    'AnnotatedGOT10kDataset': 'got10k',
    'TrackingNetDataset': 'trackingnet',
    'TrackingNetTestDataset': 'trackingnet',
    'UAV123Dataset': 'uav123',
    'UAV123TestDataset': 'uav123',
    'OTB100Dataset': 'otb100',
    'OTB100TestDataset': 'otb100',
    'TNL2KTestDataset': 'tnl2k',
    'NfSTestDataset': 'nfs30 or nfs240',
}


class InfoLine(NamedTuple):
    """A sequence in an info file.

    Attributes:
        video_path: Folder of the frames.
        ann_path: The annotation.
        start: Number of the first frame, in its file name or in the sorted list of files.
        end: Number of the last frame.
    """

    video_path: str
    ann_path: str
    start: int
    end: int


def read_info_file(path: str | Path) -> list[InfoLine]:
    """Reads a list of sequences in mmtrack's format.

    A title line is followed by lines of ``video_path,annotation_path,first_frame,last_frame``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: Names the line that cannot be read; or there is no title, or no sequence.
    """
    lines = Path(path).read_text(encoding='utf-8-sig').rstrip().split('\n')
    title = lines[0].split(',')
    if len(title) == 4 and title[2].strip().isdigit():
        raise ValueError(
            f'{path}: the first line is {lines[0]!r}, but it must be a title, which is not read; '
            'put one above it.'
        )
    if len(lines) < 2:
        raise ValueError(f'{path} lists no sequence.')
    return [_read_info_line(path, number, line) for number, line in enumerate(lines[1:], start=2)]


def check_data_files(dataset: Mapping) -> None:
    """Checks that the files which a dataset config names exist.

    These are the annotation file and the image folder and, for a test set, every sequence that is
    listed. (A training set looks for its first image when it is built: a list of training
    sequences is long, and may name parts that are not used.)

    Args:
        dataset: Config with ``type``, ``ann_file``, ``data_root`` and ``data_prefix`` as mmtrack's
            datasets take them, or of a wrapper with ``dataset`` or ``datasets``.

    Raises:
        FileNotFoundError: Names the missing file or folder and says where it comes from.
        ValueError: If a line of a test set's list cannot be read.
    """
    for wrapped in [*dataset.get('datasets', ()), dataset.get('dataset')]:
        if isinstance(wrapped, Mapping):
            check_data_files(wrapped)
    kind = dataset.get('type')
    root = Path(dataset.get('data_root') or '')
    ann_file = dataset.get('ann_file')
    if ann_file and not (root / ann_file).is_file():
        raise FileNotFoundError(
            f'{kind}: there is no annotation file {root / ann_file}; {_origin(kind, root)}. If the '
            'data is somewhere else, set data_root in the config.'
        )
    folder = (dataset.get('data_prefix') or {}).get('img_path')
    if folder is not None and not (root / folder).is_dir():
        raise FileNotFoundError(
            f'{kind}: there is no image folder {root / folder}; unpack or link the images there. '
            'If the data is somewhere else, set data_root in the config.'
        )
    if ann_file and dataset.get('test_mode') and _name(kind) in _BENCHMARKS:
        _check_listed(kind, root / ann_file, root / (folder or ''), root)
    if _name(kind) == 'FolderDataset':
        find_sequences(root / (folder or ''))


def _check_listed(kind: object, info: Path, folder: Path, root: Path) -> None:
    """Looks for the sequences and annotations in the lines of an info file, after its title."""
    for line in read_info_file(info):
        for path in line[:2]:
            if not (folder / path).exists():
                raise FileNotFoundError(
                    f'{kind}: {info} lists {path}, but there is no {folder / path}; unpack it '
                    f'there or correct the list: {_origin(kind, root)}.'
                )


def _read_info_line(path: str | Path, number: int, line: str) -> InfoLine:
    fields = [field.strip() for field in line.split(',')]
    try:
        video_path, ann_path, start, end = fields
        info = InfoLine(video_path, ann_path, int(start), int(end))
    except ValueError:
        raise ValueError(
            f'line {number} of {path} is {line!r}, expected '
            'video_path,annotation_path,first_frame,last_frame; repair or remove it.'
        ) from None
    if not 0 <= info.start <= info.end:
        raise ValueError(
            f'line {number} of {path} is {line!r}: frames {info.start} to {info.end} are none; '
            'repair or remove it.'
        )
    return info


def _name(kind: object) -> str:
    return str(getattr(kind, '__name__', kind)).rsplit('.', 1)[-1]


def _origin(kind: object, root: Path) -> str:
    name = _name(kind)
    if name in _BENCHMARKS:
        words = f'python {_CONVERTER} {_BENCHMARKS[name]} {root} writes it'
        if name == 'OTB100Dataset':
            words += '; each of its paths must begin with data/'
        return words
    if name == 'SOTCocoDataset':
        return 'it is part of annotations_trainval2017.zip of COCO'
    return 'it lists the sequences, in the format that the dataset class documents'
