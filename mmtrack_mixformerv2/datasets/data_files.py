"""Looks for the files that a dataset config names, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_GUIDE = 'docs/en/user_guides/2_dataset_prepare.md'
_CONVERTERS = 'tools/dataset_converters'
_ORIGINS = {  # paths in mmtrack's repository, branch 1.x; they are not in its wheel
    'GOT10kDataset': f'{_CONVERTERS}/got10k/gen_got10k_infos.py writes it',
    'LaSOTDataset': f'{_CONVERTERS}/lasot/gen_lasot_infos.py writes it',
    'TrackingNetDataset': f'{_CONVERTERS}/trackingnet/gen_trackingnet_infos.py writes it',
    'UAV123Dataset': f'{_GUIDE} says where to download it',
    'OTB100Dataset': f'{_GUIDE} says where to download it; each of its paths must begin with data/',
}


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
            f'{kind}: there is no annotation file {root / ann_file}; {_origin(kind)}. If the data '
            'is somewhere else, set data_root in the config.'
        )
    folder = (dataset.get('data_prefix') or {}).get('img_path')
    if folder is not None and not (root / folder).is_dir():
        raise FileNotFoundError(
            f'{kind}: there is no image folder {root / folder}; unpack or link the images there. '
            'If the data is somewhere else, set data_root in the config.'
        )
    if ann_file and dataset.get('test_mode') and _name(kind) in _ORIGINS:
        _check_listed(kind, root / ann_file, root / (folder or ''))


def _check_listed(kind: object, info: Path, folder: Path) -> None:
    """Looks for the sequences and annotations in the lines of an info file, after its title."""
    for number, line in enumerate(info.read_text().strip().split('\n')[1:], start=2):
        fields = line.strip().split(',')
        if len(fields) != 4:
            raise ValueError(
                f'{kind}: line {number} of {info} is {line!r}, expected '
                'video_path,annotation_path,first_frame,last_frame; repair or remove it.'
            )
        for path in fields[:2]:
            if not (folder / path).exists():
                raise FileNotFoundError(
                    f'{kind}: {info} lists {path}, but there is no {folder / path}; unpack it '
                    f'there or correct the list: {_origin(kind)}.'
                )


def _name(kind: object) -> str:
    return str(getattr(kind, '__name__', kind)).rsplit('.', 1)[-1]


def _origin(kind: object) -> str:
    name = _name(kind)
    if name in _ORIGINS:
        return f"in mmtrack's repository (branch 1.x), {_ORIGINS[name]}"
    if name == 'SOTCocoDataset':
        return 'it is part of annotations_trainval2017.zip of COCO'
    return 'it lists the sequences, in the format that the dataset class documents'
