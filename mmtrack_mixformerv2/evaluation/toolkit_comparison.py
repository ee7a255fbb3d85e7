"""How much numbers depend on the toolkit: generated tracks, scored by our protocols and by others.

All sequences and results are drawn, so every figure comes out the same anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mmtrack.evaluation.functional import eval_sot_ope

from . import got10k, ope
from .pairs import paired_iou
from .protocols import get_protocol
from .random_tracks import IMAGE_SIZE, random_result, random_truth
from .sequences import Sequence

Tracks = list[tuple[Sequence, np.ndarray]]  # with the result, x, y, width, height
Table = list[list[str]]  # the first row is the title
_OURS = {
    'LaSOT, LaSOT_ext': 'lasot',
    'TNL2K': 'tnl2k',
    'OTB100, UAV123, NfS': 'otb100',
    'folder': 'folder',
}
_OTHER_RULES = {
    'with frame 1': {'first': True},
    'with frames where all of the target is covered': {'covered': True},
    'boxes not cut to the image': {'cut': False},
}
_TARGET_SIZES = (13, 51, 152)  # pixels


def draw_tracks(sequences: int = 30, seed: int = 0) -> Tracks:
    """Sequences whose targets are always seen, with results that drift away.

    Annotations are whole pixels, which every toolkit can read.
    """
    rng, tracks = np.random.default_rng(seed), []
    for number in range(sequences):
        truth = np.trunc(random_truth(rng, rng.integers(40, 200)))
        tracks.append((_sequence(f'drawn-{number + 1}', truth), random_result(rng, truth)))
    return tracks


def compare_ope(tracks: Tracks, seed: int = 0, toolkit: bool = True) -> Table:
    """Success, normalised precision and precision of changed tracks by each set of rules.

    Args:
        tracks: See :func:`draw_tracks`.
        seed: Of the changes.
        toolkit: Whether to add a column of the GOT-10k toolkit, if it is installed. That writes
            files for it, and takes most of the time.
    """
    scorers: dict[str, Callable[[Tracks], dict[str, float]]] = {
        title: partial(_ours, protocol=name) for title, name in _OURS.items()
    }
    scorers["MMTracking's default"] = _mmtrack
    if toolkit and find_spec('got10k'):
        scorers['got10k, OTB'] = score_with_got10k
    cases = {
        'as drawn': tracks,
        '1 of 10 targets not seen': _change(tracks, seed, 'unseen'),
        '1 of 10 boxes 0,0,0,0': _change(tracks, seed, 'no box'),
        '1 of 10 boxes at x = 0': _change(tracks, seed, 'border'),
        '1 of 7 results without width': _change(tracks, seed, 'no width', share=7),
    }
    rows = [['tracks', *scorers]]
    for title, changed in cases.items():
        rows.append([title, *(_cell(scorer(changed)) for scorer in scorers.values())])
    return rows


def compare_got10k(tracks: Tracks, seed: int = 0) -> Table:
    """AO and SR by the rules of GOT-10k, and with each of them left out, on tracks with a cover."""
    rng, drawn = np.random.default_rng(seed), []
    for sequence, boxes in tracks:
        shift = [*rng.integers(-60, 60, 2), 0, 0]  # out of the image, at any side
        cover = rng.integers(0, 9, len(sequence)) / 8
        drawn.append((_sequence(sequence.name, sequence.boxes_xywh + shift, cover), boxes + shift))
    ours = [got10k.overlaps(*track, IMAGE_SIZE) for track in drawn]
    rows = [
        ['rule', 'AO', 'SR 0.5', 'SR 0.75'],
        ["the toolkit's", *_figures(got10k.summary(ours))],
    ]
    for title, rule in _OTHER_RULES.items():
        numbers = got10k.summary([_overlaps(*track, **rule) for track in drawn])
        rows.append([title, *_figures(numbers)])
    each = [got10k.summary([overlaps]) for overlaps in ours]
    means = {name: float(np.mean([numbers[name] for numbers in each])) for name in each[0]}
    return [*rows, ['mean of the sequences', *_figures(means)]]


def compare_whole_pixels(seed: int = 0) -> Table:
    """LaSOT's success of results that are off by 1 px and 2 % of the target, by how they are kept.

    The published code of MixFormerV2 cuts off what is behind the point.
    """
    rows = [['target', 'four decimals', 'whole pixels, cut off', 'rounded']]
    for size in _TARGET_SIZES:
        rng, tracks = np.random.default_rng(seed), []
        for number in range(30):
            truth = np.full((100, 4), float(size))
            truth[:, :2] = rng.integers(100, 200, (100, 2))
            noise = rng.normal(0, 1 + 0.02 * size, truth.shape)
            tracks.append((_sequence(f'drawn-{number + 1}', truth), truth + noise))
        writers = (partial(np.round, decimals=4), np.trunc, np.round)
        written = [[(sequence, write(boxes)) for sequence, boxes in tracks] for write in writers]
        successes = [f'{_ours(each, "lasot")["success"]:.2f}' for each in written]
        rows.append([f'{size} px', *successes])
    return rows


def score_with_got10k(tracks: Tracks) -> dict[str, float]:
    """Success and precision, in percent, by the OTB measures of the GOT-10k toolkit.

    It reads the tracks in the layout of NfS, which has whole pixels.

    Raises:
        ImportError: If the package ``got10k`` is not installed.
    """
    from got10k.experiments import ExperimentNfS  # optional

    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        root = Path(folder)
        for sequence, _ in tracks:
            place = root / 'data' / sequence.name / '240'
            (place / sequence.name).mkdir(parents=True)
            for number in range(1, len(sequence) + 1):
                (place / sequence.name / f'{number:05d}.jpg').touch()
            boxes = sequence.boxes_xywh.astype(int)
            lines = [
                f'0 {x} {y} {x + w} {y + h} {number} 0 0 0 "drawn"'
                for number, (x, y, w, h) in enumerate(boxes)
            ]
            (place / f'{sequence.name}.txt').write_text('\n'.join(lines))
        experiment = ExperimentNfS(root / 'data', 240, root / 'results', root / 'reports')
        results = Path(experiment.result_dir, 'drawn')
        results.mkdir(parents=True)
        for sequence, boxes in tracks:
            np.savetxt(results / f'{sequence.name}.txt', boxes, '%.3f', ',')
        overall = experiment.report(['drawn'])['drawn']['overall']
    return dict(success=100 * overall['success_score'], precision=100 * overall['precision_score'])


def _sequence(name: str, boxes: np.ndarray, cover: np.ndarray | None = None) -> Sequence:
    frames = [f'{number:08d}.jpg' for number in range(1, len(boxes) + 1)]
    return Sequence(name, frames, boxes, np.ones(len(boxes), bool), cover)


def _change(tracks: Tracks, seed: int, what: str, share: int = 10) -> Tracks:
    """Copies of tracks that differ in one of ``share`` frames, but not in the first."""
    rng, changed = np.random.default_rng(seed), []
    for sequence, result in tracks:
        boxes, visible, result = sequence.boxes_xywh.copy(), sequence.visible.copy(), result.copy()
        frames = 1 + rng.choice(len(boxes) - 1, len(boxes) // share, replace=False)
        if what == 'unseen':
            visible[frames] = False
        elif what == 'no box':
            boxes[frames] = 0
        elif what == 'border':  # with its result, which stays as near as it was
            result[frames, 0] -= boxes[frames, 0]
            boxes[frames, 0] = 0
        else:
            result[frames, 2] = 0
        changed.append((Sequence(sequence.name, sequence.frames, boxes, visible), result))
    return changed


def _ours(tracks: Tracks, protocol: str) -> dict[str, float]:
    rules = get_protocol(protocol)
    return ope.summary([ope.curves(*track, rules) for track in tracks])


def _mmtrack(tracks: Tracks) -> dict[str, float]:
    """As MMTracking's metric is set unless a config says otherwise: visibility is not used."""
    truths = [_corners(sequence.boxes_xywh) for sequence, _ in tracks]
    results = [list(_corners(boxes)) for _, boxes in tracks]
    return eval_sot_ope(results, truths)


def _corners(boxes_xywh: np.ndarray) -> np.ndarray:
    return np.hstack([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]])


def _overlaps(
    sequence: Sequence,
    result: np.ndarray,
    first: bool = False,
    covered: bool = False,
    cut: bool = True,
) -> np.ndarray:
    counted = (sequence.cover > 0) | covered
    counted[0] = first
    truth, boxes = sequence.boxes_xywh[counted], result[counted]
    if cut:
        truth, boxes = got10k.clip(truth, IMAGE_SIZE), got10k.clip(boxes, IMAGE_SIZE)
    return paired_iou(truth, boxes)


def _figures(numbers: dict[str, float]) -> list[str]:
    return [f'{value:.2f}' for value in numbers.values()]


def _cell(numbers: dict[str, float]) -> str:
    names = ('success', 'norm_precision', 'precision')
    return ' / '.join(f'{numbers[name]:.2f}' if name in numbers else '-' for name in names)
