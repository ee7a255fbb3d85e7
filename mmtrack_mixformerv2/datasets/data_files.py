"""Looks for the files that a dataset config names, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmtrack.registry import DATASETS

from .benchmark_dataset import BenchmarkDataset
from .info_lines import read_info_file

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


def check_data_files(dataset: Mapping) -> None:
    """Checks that the files which a dataset config names exist.

    These are the annotation file and the image folder and, for a test set, every sequence that is
    listed; its files of attributes must be readable, and its sequences must have different names.
    (A training set looks for its first image when it is built: a list of training sequences is
    long, and may name parts that are not used.)

    Args:
        dataset: Config with ``type``, ``ann_file``, ``data_root`` and ``data_prefix`` as mmtrack's
            datasets take them, or of a wrapper with ``dataset`` or ``datasets``.

    Raises:
        FileNotFoundError: Names the missing file or folder and says where it comes from.
        ValueError: If a test set's list or attributes cannot be read, or sequences have one name.
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
    if dataset.get('test_mode') and issubclass(_class(kind), BenchmarkDataset):
        _check_descriptions(dataset, root)


def _check_listed(kind: object, info: Path, folder: Path, root: Path) -> None:
    """Looks for the sequences and annotations in the lines of an info file, after its title."""
    for line in read_info_file(info):
        for path in line[:2]:
            if not (folder / path).exists():
                raise FileNotFoundError(
                    f'{kind}: {info} lists {path}, but there is no {folder / path}; unpack it '
                    f'there or correct the list: {_origin(kind, root)}.'
                )


def _check_descriptions(dataset: Mapping, root: Path) -> None:
    """Reads what a test set would read when it is built, without saying what is not there."""
    prefix = dict(dataset.get('data_prefix') or {})
    if prefix.get('attributes') and not (root / prefix['attributes']).exists():
        del prefix['attributes']
    settings = {**dataset, 'data_prefix': prefix, 'pipeline': [], 'lazy_init': True}
    DATASETS.build(settings).load_data_list()


def _class(kind: object) -> type:
    found = kind if isinstance(kind, type) else DATASETS.get(kind) if kind else None
    return found or object


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
