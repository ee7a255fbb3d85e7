"""Where each benchmark keeps its sequences, as its publisher packs it.

One function per benchmark lists its sequences, from the publisher's own list where there is one,
else from the tables in ``data`` or from the folders; :data:`BENCHMARKS` names them. What the lists
say is compared with what is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..benchmarks import LaSOTTestDataset
from ..frame_files import find_sequences
from .entries import (
    Entry,
    Label,
    Listing,
    compare_names,
    expect_count,
    folders_in,
    read_names,
    read_table,
)

_LASOT_LABELS = (Label('full_occlusion.txt', 1, 1), Label('out_of_view.txt', 1, 1))
_GOT10K_LABELS = (Label('absence.label', 1, 1), Label('cover.label', 8, 0))
_TRACKINGNET_CHUNKS = tuple(f'TRAIN_{number}' for number in range(12))


@dataclass(frozen=True)
class Benchmark:
    """How to list the sequences of a benchmark.

    Attributes:
        find: Lists the sequences of a split below a folder.
        splits: Name of the info file of each split, without ``_infos.txt``; None where a data set
            is read without one.
        on_request: Splits that are converted only if they are asked for.
        exclude: Splits that only make sense without some sequences, which the user has to name.
    """

    find: Callable[[Path, str], Listing]
    splits: dict[str, str | None]
    on_request: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def find_lasot(root: Path, split: str) -> Listing:
    """LaSOT: ``LaSOTBenchmark/<class>/<class>-<number>/{img/,groundtruth.txt,...}``.

    The official lists ``testing_set.txt`` and ``training_set.txt`` are taken where they are there.
    """
    base = need_folder(root / 'LaSOTBenchmark', 'the folders of the classes, such as airplane')
    tested = {
        f'{row["class"]}-{number}': row['class']
        for row in read_table('lasot')
        if row['part'] == 'test'
        for number in row['videos'].split()
    }
    trained = [
        name
        for group in dict.fromkeys(tested.values())
        for name in (f'{group}-{number}' for number in range(1, 21))
        if name not in tested
    ]
    test = _listed(base, 'testing_set.txt') or list(tested)
    train = _listed(base, 'training_set.txt') or trained
    names = {'test': test, 'train': train, 'all': [*train, *test]}[split]
    entries = [_lasot_entry(base, name, training=split != 'test') for name in sorted(names)]
    return compare_names(entries, _lasot_folders(base), known=[*train, *test])


def find_lasot_ext(root: Path, split: str) -> Listing:
    """LaSOT's extension: as LaSOT, with the classes in the folder itself.

    A sequence without labels of absence is one whose target is always seen.
    """
    entries = [
        _lasot_entry(root, f'{row["class"]}-{number}', labels_needed=False)
        for row in read_table('lasot')
        if row['part'] == 'ext'
        for number in row['videos'].split()
    ]
    return compare_names(entries, _lasot_folders(root))


def find_got10k(root: Path, split: str) -> Listing:
    """GOT-10k: ``<split>/GOT-10k_<Split>_000001/00000001.jpg``, and ``<split>/list.txt``.

    The test set has the first box only, and no labels.
    """
    part = split.split('_')[0]  # of train_vot
    base = need_folder(root / part, f'the videos of GOT-10k and their {part}/list.txt')
    test = part == 'test'
    entries = [
        Entry(
            name,
            root,
            f'{part}/{name}',
            f'{part}/{name}/groundtruth.txt',
            digits=8,
            whole=not test,
            labels=() if test else _GOT10K_LABELS,
            training=part == 'train',
        )
        for name in sorted(read_names(base / 'list.txt'))
    ]
    return compare_names(entries, folders_in(base))


def find_trackingnet(root: Path, split: str) -> Listing:
    """TrackingNet: ``<CHUNK>/frames/<name>/0.jpg`` and ``<CHUNK>/anno/<name>.txt``.

    The test set has the first box only. A training set may have some of the twelve chunks.
    """
    chunks = _TRACKINGNET_CHUNKS if split == 'train' else ('TEST',)
    there = [chunk for chunk in chunks if (root / chunk).is_dir()]
    if not there:
        need_folder(root / chunks[0], 'the folders frames and anno')
    listing = Listing([])
    for chunk in there:
        names = set(folders_in(root / chunk / 'frames'))
        names |= {path.stem for path in (root / chunk / 'anno').glob('*.txt')}
        part = Listing(
            [
                Entry(
                    name,
                    root,
                    f'{chunk}/frames/{name}',
                    f'{chunk}/anno/{name}.txt',
                    digits=1,
                    first=0,
                    whole=split == 'train',
                    training=split == 'train',
                )
                for name in sorted(names)
            ]
        )
        expect_count(part, 511 if chunk == 'TEST' else 2511, chunk)
        listing.entries += part.entries
        listing.problems += part.problems
    if len(there) < len(chunks):
        absent = [chunk for chunk in chunks if chunk not in there]
        listing.notes.append(f'without the chunks {", ".join(absent)}')
    return listing


def find_uav123(root: Path, split: str) -> Listing:
    """UAV123: ``data_seq/UAV123/<folder>/000001.jpg`` and ``anno/UAV123/<name>.txt``.

    Some sequences are parts of one folder. Where the target is not seen its box is NaN.
    """
    folders = need_folder(root / 'data_seq' / 'UAV123', 'the frames of UAV123')
    rows = read_table('uav123')
    entries = [
        Entry(
            row['name'],
            root,
            f'data_seq/UAV123/{row["folder"]}',
            f'anno/UAV123/{row["name"]}.txt',
            digits=6,
            first=int(row['first']),
            last=int(row['last']),
            nan=True,
        )
        for row in rows
    ]
    return _compare_folders(entries, rows, folders_in(folders))


def find_otb100(root: Path, split: str) -> Listing:
    """OTB100: ``data/<folder>/img/0001.jpg`` and ``data/<folder>/groundtruth_rect.txt``.

    Two folders have two targets each, Board has five digits. The annotation of Tiger1 begins
    before the first frame that is used; that of the others begins with it.
    """
    folders = need_folder(
        root / 'data',
        'the folders of the sequences, such as Basketball: mmtrack tells Board and Tiger1 by the '
        'second part of their path',
    )
    rows = read_table('otb100')
    entries = [
        Entry(
            row['name'],
            root,
            f'data/{row["folder"]}/img',
            f'data/{row["folder"]}/{row["annotation"]}',
            digits=5 if row['folder'] == 'Board' else 4,
            first=int(row['first']),
            last=int(row['last']),
            skipped=int(row['first']) - 1 if row['folder'] == 'Tiger1' else 0,
        )
        for row in rows
    ]
    return _compare_folders(entries, rows, folders_in(folders))


def find_tnl2k(root: Path, split: str) -> Listing:
    """TNL2K's test set: ``<name>/{imgs/,groundtruth.txt}``, with frames of any names."""
    entries = [
        Entry(name, root, f'{name}/imgs', f'{name}/groundtruth.txt')
        for name in folders_in(root)
        if (root / name / 'imgs').is_dir() or (root / name / 'groundtruth.txt').is_file()
    ]
    listing = Listing(entries)
    expect_count(listing, 700, 'the test set of TNL2K')
    return listing


def find_nfs(rate: int, root: Path, split: str) -> Listing:
    """NfS at 30 or 240 frames/s, in the layout of its publisher or in the widespread repacked one.

    Published: ``<name>/<rate>/<name>/00001.jpg`` and ``<name>/<rate>/<name>.txt``. Repacked, at 30
    frames/s: ``sequences/<name>/00001.jpg`` and ``anno/nfs_<name>.txt`` or ``anno/<name>.txt``.
    """
    names = [row['name'] for row in read_table('nfs')]
    if rate == 30 and (root / 'sequences').is_dir():
        prefix = '' if (root / 'anno' / f'{names[-1]}.txt').is_file() else 'nfs_'
        paths = {name: (f'sequences/{name}', f'anno/{prefix}{name}.txt') for name in names}
        found = folders_in(root / 'sequences')
    else:
        paths = {name: (f'{name}/{rate}/{name}', f'{name}/{rate}/{name}.txt') for name in names}
        found = [name for name in folders_in(root) if (root / name / str(rate)).is_dir()]
    entries = [Entry(name, root, *paths[name], digits=5, nfs=True) for name in names]
    return compare_names(entries, found)


def find_folder(root: Path, split: str) -> Listing:
    """Sequences of one's own: see :func:`~mmtrack_mixformerv2.datasets.frame_files.find_sequences`.

    Mistakes here can be corrected, so a box outside of the image is one.
    """
    listing = Listing([])
    listing.entries = [
        Entry(
            sequence.name,
            root,
            sequence.frames.relative_to(root).as_posix(),
            sequence.annotation.relative_to(root).as_posix(),
            listed=False,
            whole=False,
            nan=True,
            outside=False,
        )
        for sequence in find_sequences(root, listing.problems)
    ]
    return listing


BENCHMARKS = {
    'lasot': Benchmark(
        find_lasot,
        {split: f'lasot_{split}' for split in ('test', 'train', 'all')},
        on_request=('all',),
    ),
    'lasot_ext': Benchmark(find_lasot_ext, {'test': 'lasot_ext'}),
    'got10k': Benchmark(
        find_got10k,
        {split: f'got10k_{split}' for split in ('test', 'val', 'train', 'train_vot')},
        on_request=('train_vot',),
        exclude=('train_vot',),
    ),
    'trackingnet': Benchmark(
        find_trackingnet, {split: f'trackingnet_{split}' for split in ('test', 'train')}
    ),
    'uav123': Benchmark(find_uav123, {'test': 'uav123'}),
    'otb100': Benchmark(find_otb100, {'test': 'otb100'}),
    'tnl2k': Benchmark(find_tnl2k, {'test': 'tnl2k_test'}),
    'nfs30': Benchmark(partial(find_nfs, 30), {'test': 'nfs30'}),
    'nfs240': Benchmark(partial(find_nfs, 240), {'test': 'nfs240'}),
    'folder': Benchmark(find_folder, {'test': None}),
}


def need_folder(folder: Path, content: str) -> Path:
    """Gives the folder back.

    Raises:
        FileNotFoundError: If it does not exist; says what it should hold.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f'there is no folder {folder}, expected there: {content}; give the folder above it, or '
            'link it there'
        )
    return folder


def _listed(base: Path, name: str) -> list[str]:
    """Names of an official list in the folder, beside it or in ``annotations``; [] without it."""
    places = (base, base.parent, base.parent / 'annotations')
    path = next((place / name for place in places if (place / name).is_file()), None)
    return read_names(path) if path else []


def _lasot_folders(base: Path) -> list[str]:
    """Sequences on the disk: folders ``<class>-<number>`` in folders ``<class>``."""
    return [
        name
        for group in folders_in(base)
        for name in folders_in(base / group)
        if name.startswith(f'{group}-')
    ]


def _lasot_entry(base: Path, name: str, **settings: bool) -> Entry:
    path = f'{name.rsplit("-", 1)[0]}/{name}'
    return Entry(
        name,
        base,
        f'{path}/img',
        f'{path}/groundtruth.txt',
        digits=8,
        labels=_LASOT_LABELS,
        no_box=LaSOTTestDataset.no_box.get(name, ()),
        **settings,
    )


def _compare_folders(entries: list[Entry], rows: list[dict], found: list[str]) -> Listing:
    """As :func:`compare_names`, where several sequences may share a folder."""
    names = [row['name'] for row in rows if row['folder'] in found]
    folders = {row['folder'] for row in rows}
    return compare_names(entries, [*names, *(name for name in found if name not in folders)])
