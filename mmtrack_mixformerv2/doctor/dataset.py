"""Which benchmark a folder holds, and whether its sequences are all there and sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .findings import Finding, Status

if TYPE_CHECKING:
    from ..datasets.info_files import Benchmark, Checked
    from ..datasets.info_files.entries import Listing

NAMES = (
    'lasot',
    'lasot_ext',
    'got10k',
    'trackingnet',
    'uav123',
    'otb100',
    'tnl2k',
    'nfs30',
    'nfs240',
    'folder',
)
LOOKED_INTO = 20  # sequences whose files are opened, evenly spread over the list
_SHOWN = 5  # sequences that are named
_DEPTH, _WIDTH = 5, 500  # levels, and folders of a level, that are searched for sequences
CHECK_ALL = 'python tools/dataset_converters/write_infos.py {name} {root} --check-only'
WRITE = 'python tools/dataset_converters/write_infos.py {name} {root}'


def guess(root: Path) -> list[str]:
    """Benchmarks whose layout a folder has, from a few of its names; nothing is read."""
    return [name for name, looks in _LOOKS.items() if looks(root)]


def guess_near(root: Path) -> tuple[str, Path] | None:
    """A benchmark whose folder is the one above, or one below; people give the wrong level."""
    places = [root.parent, root.parent.parent]
    places += sorted(one for one in _folders(root)[:50])
    for place in places:
        found = [name for name in guess(place) if name not in ('folder', 'tnl2k')]
        inside = place in root.parents
        # The folder above holds the given one for another reason unless it is a part of it.
        if found and (not inside or _is_part(found[0], root.relative_to(place))):
            return found[0], place
    return None


def examine(root: Path, benchmark: str | None = None) -> Iterator[Finding]:
    """Check the layout of a benchmark, and some of its sequences; needs OpenMMLab.

    Args:
        root: Folder of the benchmark.
        benchmark: One of ``NAMES``; None looks which it is.
    """
    if not root.is_dir():
        kind = 'is a file' if root.exists() else 'does not exist'
        yield _say('folder', Status.PROBLEM, f'{root} {kind}, expected a folder of sequences')
        return
    name = benchmark
    if name is None:
        names = guess(root)
        name = names[0] if names else None
        yield _describe_guess(root, names)
        if name is None:
            return
    else:
        yield _say('benchmark', Status.OK, f'{root} is to be {name}', benchmark=name)
    from ..datasets.info_files import BENCHMARKS

    kind = BENCHMARKS[name]
    splits = [one for one in kind.splits if one not in kind.on_request]
    absent = []
    for split in splits:
        try:
            listing = kind.find(root, split)
        except (OSError, ValueError) as error:
            absent.append((split, error))
            continue
        yield from _examine_split(name, root, split, kind, listing)
    if len(absent) == len(splits):
        yield _nothing(name, root, str(absent[0][1]))
        return
    for split, error in absent:
        yield _say(f'{split}.list', Status.NOTE, f'{name} {split} is not there: {error}')


def _examine_split(
    name: str, root: Path, split: str, kind: Benchmark, listing: Listing
) -> Iterator[Finding]:
    """The list of sequences, a sample of them, and the info file that configs read."""
    title = f'{name} {split}' if len(kind.splits) > 1 else name
    facts = {split: {'sequences': len(listing.entries), 'problems': listing.problems}}
    for text in listing.notes:
        yield _say(f'{split}.note', Status.NOTE, f'{title}: {text}')
    remedy = 'unpack the missing files of the publisher again'
    if name == 'folder':
        remedy = 'each sequence is a folder of frames with a groundtruth.txt beside or above them'
    for text in listing.problems:
        yield _say(f'{split}.list', Status.PROBLEM, f'{title}: {text}', remedy, **facts)
    if not listing.entries:
        if not listing.problems:
            yield _nothing(name, root, f'{title}: there is no sequence')
        return
    if not listing.problems:
        text = f'{title}: {len(listing.entries)} sequences, as there should be'
        if name == 'folder':
            text = f'{title}: {len(listing.entries)} sequences'
        yield _say(f'{split}.list', Status.OK, text, **facts)
    yield from _examine_some(name, root, split, title, listing)
    yield from _examine_info_file(name, root, kind.splits[split])


def _examine_some(
    name: str, root: Path, split: str, title: str, listing: Listing
) -> Iterator[Finding]:
    from ..datasets.info_files import check_sequence

    entries = listing.entries
    step = max(1, -(-len(entries) // LOOKED_INTO))
    checked = [check_sequence(entry) for entry in entries[::step]]
    broken = [one for one in checked if one.problems]
    odd = [one for one in checked if one.notes and not one.problems]
    frames = sum(one.frames for one in checked)
    every = len(checked) == len(entries)
    looked = f'all {len(checked)}' if every else f'{len(checked)} of {len(entries)}'
    remedy = '' if every and not broken else CHECK_ALL.format(name=name, root=root)
    facts = {
        f'{split}_checked': {
            'sequences': len(checked),
            'frames': frames,
            'broken': {one.name: one.problems for one in broken},
            'odd': {one.name: one.notes for one in odd},
        }
    }
    for one in broken[:_SHOWN]:
        yield _say(f'{split}.sequence', Status.PROBLEM, _describe_sequence(one))
    if broken:
        text = f'{title}: {len(broken)} of {len(checked)} sequences looked into are broken'
        text += '' if every else f' ({len(entries)} in all)'
        yield _say(f'{split}.sequences', Status.PROBLEM, text, remedy, **facts)
    else:
        text = f'{title}: {looked} sequences looked into, {frames:,} frames: sound'
        text += '' if every else '; to look at all:'
        yield _say(f'{split}.sequences', Status.OK, text, remedy, **facts)
    if odd:
        names = ', '.join(one.name for one in odd[:_SHOWN])
        text = f'{title}: odd, but readable: {names} ({len(odd)} sequences), e.g. {odd[0].notes[0]}'
        yield _say(f'{split}.odd', Status.NOTE, text)


def _examine_info_file(name: str, root: Path, info: str | None) -> Iterator[Finding]:
    """The list that configs read."""
    if info is None:
        return
    path = root / 'annotations' / f'{info}_infos.txt'
    if path.is_file():
        yield _say(f'{info}.infos', Status.OK, f'{path} is there, which configs read')
    else:
        text = f'{path} is missing, which configs read'
        yield _say(f'{info}.infos', Status.WARNING, text, WRITE.format(name=name, root=root))


def _describe_sequence(checked: Checked) -> str:
    first, *others = checked.problems
    more = f' (and {len(others)} more)' if others else ''
    return f'{checked.name}: {first}{more}'


def _describe_guess(root: Path, names: list[str]) -> Finding:
    near = guess_near(root) if names in ([], ['folder']) else None
    if names and near:
        name, place = near
        text = f'{root} is a folder of sequences; but {place} looks like {name}: to check that'
        facts = {'benchmark': 'folder', 'candidates': names, 'near': str(place)}
        return _say('benchmark', Status.WARNING, text, f'mixformerv2 doctor {place}', **facts)
    if names:
        text = f'{root} looks like {names[0]}'
        others = [name for name in names[1:] if name != 'folder']
        text += f', or {" or ".join(others)} (say which with --benchmark)' if others else ''
        if names[0] == 'folder':
            text = f'{root} is a folder of sequences, of no known benchmark'
        return _say('benchmark', Status.OK, text, benchmark=names[0], candidates=names)
    if near:
        name, place = near
        text = f'{root} is no benchmark itself, but {place} looks like {name}'
        remedy = f'mixformerv2 doctor {place}'
        return _say('benchmark', Status.PROBLEM, text, remedy, benchmark=None, near=str(place))
    inside = ', '.join(one.name for one in _folders(root)[:_SHOWN]) or 'no folder'
    return _say(
        'benchmark',
        Status.PROBLEM,
        f'{root} has the layout of no known benchmark, nor sequences with a groundtruth.txt; it '
        f'has {inside}',
        f'say what it should be, to learn what is missing: --benchmark {"|".join(NAMES)}',
        benchmark=None,
    )


def _nothing(name: str, root: Path, text: str) -> Finding:
    near = guess_near(root)
    remedy = 'python tools/dataset_converters/write_infos.py --help (shows all layouts)'
    if near and near[0] == name:
        remedy = f'mixformerv2 doctor {near[1]}'
    return _say('layout', Status.PROBLEM, f'{root} is no {name}: {text}', remedy)


def _is_part(name: str, inner: Path) -> bool:
    """Whether a path below a benchmark is one of its own folders."""
    first = inner.parts[0]
    own = {
        'lasot': ('LaSOTBenchmark',),
        'got10k': ('train', 'val', 'test'),
        'uav123': ('data_seq', 'anno'),
        'otb100': ('data',),
    }
    return first in own.get(name, ()) or (
        name == 'trackingnet' and (first == 'TEST' or first.startswith('TRAIN_'))
    )


def _folders(root: Path) -> list[Path]:
    """Folders in a folder, which may have very many files."""
    try:
        with os.scandir(root) as inside:
            names = [one.name for one in inside if one.is_dir() and not one.name.startswith('.')]
    except OSError:
        return []
    return [root / name for name in sorted(names)]


def _looks_like_got10k(root: Path) -> bool:
    for part in ('test', 'val', 'train'):
        inside = root / part
        if (inside / 'list.txt').is_file():
            return True
        if any(one.name.startswith('GOT-10k_') for one in _folders(inside)[:5]):
            return True
    return False


def _looks_like_trackingnet(root: Path) -> bool:
    chunks = [one for one in _folders(root) if one.name == 'TEST' or one.name.startswith('TRAIN_')]
    return any((one / part).is_dir() for one in chunks for part in ('frames', 'anno'))


def _looks_like_otb100(root: Path) -> bool:
    inside = _folders(root / 'data')
    return any((one / 'img').is_dir() or _rects(one) for one in inside[:20])


def _rects(folder: Path) -> bool:
    return any(folder.glob('groundtruth_rect*.txt'))


def _looks_like_lasot_ext(root: Path) -> bool:
    groups = _folders(root)
    return any(
        one.name.startswith(f'{group.name}-') and one.name[len(group.name) + 1 :].isdecimal()
        for group in groups[:20]
        if root.name != 'LaSOTBenchmark'
        for one in _folders(group)[:5]
    )


def _looks_like_nfs(rate: str) -> Callable[[Path], bool]:
    def looks(root: Path) -> bool:
        if any((one / rate / one.name).is_dir() for one in _folders(root)[:20]):
            return True
        repacked = (root / 'sequences').is_dir() and (root / 'anno').is_dir()
        return rate == '30' and repacked and not (root / 'data_seq').is_dir()

    return looks


def _looks_like_tnl2k(root: Path) -> bool:
    marked = [one for one in _folders(root) if (one / 'imgs').is_dir()]
    return len(marked) > 100 or any((one / 'language.txt').is_file() for one in marked)


def _looks_like_folder(root: Path) -> bool:
    """Whether there is a sequence at the top of the tree, or somewhere below it."""
    level = [root]
    for _ in range(_DEPTH):
        if any((one / 'groundtruth.txt').is_file() for one in level):
            return True
        level = [inner for one in level for inner in _folders(one)][:_WIDTH]
    return False


# The surest marks first; a benchmark is a folder of sequences too.
_LOOKS: dict[str, Callable[[Path], bool]] = {
    'lasot': lambda root: (root / 'LaSOTBenchmark').is_dir(),
    'got10k': _looks_like_got10k,
    'trackingnet': _looks_like_trackingnet,
    'uav123': lambda root: (root / 'data_seq' / 'UAV123').is_dir(),
    'otb100': _looks_like_otb100,
    'nfs30': _looks_like_nfs('30'),
    'nfs240': _looks_like_nfs('240'),
    'lasot_ext': _looks_like_lasot_ext,
    'tnl2k': _looks_like_tnl2k,
    'folder': _looks_like_folder,
}


def _say(check: str, status: Status, text: str, remedy: str = '', **facts: Any) -> Finding:
    return Finding('dataset', check, status, text, remedy, facts)
