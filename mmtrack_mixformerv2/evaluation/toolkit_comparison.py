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
_GOT10K_RULES = {
    "the toolkit's": {},
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


def compare_ope(tracks: Tracks) -> Table:
    """Success, precision and normalised precision of changed tracks by each set of rules."""
    scorers: dict[str, Callable[[Tracks], dict[str, float]]] = {
        title: partial(_ours, protocol=name) for title, name in _OURS.items()
    }
    scorers["MMTracking's default"] = _mmtrack
    if find_spec('got10k'):
        scorers['got10k, OTB'] = _got10k_otb
    cases = {
        'as drawn': tracks,
        '1 of 10 targets is not seen': _change(tracks, _hide),
        '1 of 10 boxes is 0,0,0,0': _change(tracks, _take_box),
        '1 of 10 boxes has x = 0': _change(tracks, _move_to_border),
        '1 of 7 results has no width': _change(tracks, _empty_result),
    }
    rows = [['tracks', *scorers]]
    for title, changed in cases.items():
        rows.append([title, *(_cell(scorer(changed)) for scorer in scorers.values())])
    return rows


def compare_got10k(tracks: Tracks, seed: int = 0) -> Table:
    """AO and SR by the rules of GOT-10k, and with each of them left out."""
    rng, drawn = np.random.default_rng(seed), []
    for sequence, boxes in tracks:
        shift = [*rng.integers(-60, 60, 2), 0, 0]  # out of the image, at any side
        cover = rng.integers(0, 9, len(sequence)) / 8
        drawn.append((_sequence(sequence.name, sequence.boxes_xywh + shift, cover), boxes + shift))
    rows = [['rule', 'AO', 'SR 0.5', 'SR 0.75']]
    for title, rule in _GOT10K_RULES.items():
        numbers = got10k.summary([_overlaps(*track, **rule) for track in drawn])
        rows.append([title, *_figures(numbers)])
    each = [got10k.summary([_overlaps(*track)]) for track in drawn]
    means = {name: float(np.mean([numbers[name] for numbers in each])) for name in each[0]}
    return [*rows, ['mean of the sequences', *_figures(means)]]


def compare_whole_pixels(seed: int = 0) -> Table:
    """LaSOT's success of results that are off by 1 px and 2 % of the target's size, as written."""
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


def _sequence(name: str, boxes: np.ndarray, cover: np.ndarray | None = None) -> Sequence:
    frames = [f'{number:08d}.jpg' for number in range(1, len(boxes) + 1)]
    return Sequence(name, frames, boxes, np.ones(len(boxes), bool), cover)


# ---- changes: frames, their boxes, their visibility and results, in place ------------------------


def _change(tracks: Tracks, change: Callable[..., None], seed: int = 0) -> Tracks:
    rng, changed = np.random.default_rng(seed), []
    for sequence, result in tracks:
        boxes, visible, result = sequence.boxes_xywh.copy(), sequence.visible.copy(), result.copy()
        share = 7 if change is _empty_result else 10
        frames = 1 + rng.choice(len(boxes) - 1, len(boxes) // share, replace=False)
        change(frames, boxes, visible, result)
        changed.append((Sequence(sequence.name, sequence.frames, boxes, visible), result))
    return changed


def _hide(frames: np.ndarray, boxes: np.ndarray, visible: np.ndarray, result: np.ndarray) -> None:
    visible[frames] = False


def _take_box(
    frames: np.ndarray, boxes: np.ndarray, visible: np.ndarray, result: np.ndarray
) -> None:
    boxes[frames] = 0
