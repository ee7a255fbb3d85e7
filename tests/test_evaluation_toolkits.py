"""The same files through the real GOT-10k toolkit: its own benchmark, and OTB's measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_tracks import HEIGHT, WIDTH, make_sequence, random_result, random_truth

from mmtrack_mixformerv2.evaluation import got10k, ope, read_boxes
from mmtrack_mixformerv2.evaluation.protocols import PROTOCOLS
from mmtrack_mixformerv2.evaluation.toolkit_comparison import Tracks, score_with_got10k

experiments = pytest.importorskip('got10k.experiments')

META = '[METAINFO]\nabsence: 0\nresolution: ({}, {})\n'


def write_rows(path: Path, rows, form: str = '%.4f') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, rows, fmt=form, delimiter=',')


def touch_frames(folder: Path, count: int, digits: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        (folder / f'{number:0{digits}d}.jpg').touch()


def make_got10k_val(root: Path, odd: bool) -> list[str]:
    """Sequences of GOT-10k val with results of a tracker ``ours``; returns their names."""
    rng, names = np.random.default_rng(11), []
    for number, frames in enumerate((40, 2, 90, 25), start=1):
        names.append(f'GOT-10k_Val_{number:06d}')
        truth = random_truth(rng, frames)
        result = random_result(rng, truth)
        cover = np.full(frames, 8)
        if odd:
            cover[1:] = rng.integers(0, 9, frames - 1)
            truth[:, :2] += rng.integers(-60, 60, 2)  # out of the image, at any side
            result[:, :2] += truth[0, :2] - result[0, :2]
            some = rng.random((3, frames)) < 0.1
            truth[some[0]] = 0
            result[some[1], 2] = 0
            result[some[2], 3] = -3
        folder = root / 'val' / names[-1]
        touch_frames(folder, frames, 8)
        write_rows(folder / 'groundtruth.txt', truth)
        write_rows(folder / 'cover.label', cover, '%d')
        write_rows(folder / 'absence.label', cover == 0, '%d')
        write_rows(folder / 'cut_by_image.label', 0 * cover, '%d')
        (folder / 'meta_info.ini').write_text(META.format(WIDTH, HEIGHT))
        results = root / 'results' / 'GOT-10k' / 'ours' / names[-1]
        write_rows(results / f'{names[-1]}_001.txt', result, '%.3f')
        write_rows(results / f'{names[-1]}_time.txt', np.full(frames, 0.01))
    (root / 'val' / 'list.txt').write_text('\n'.join(names))
    return names


@pytest.mark.parametrize('odd', [False, True], ids=['plain', 'absent, covered, outside, empty'])
def test_ao_and_sr_are_those_of_the_toolkit(tmp_path, odd):
    names = make_got10k_val(tmp_path, odd)
    found = []
    for name in names:
        folder = tmp_path / 'val' / name
        cover = np.loadtxt(folder / 'cover.label') / 8
        sequence = make_sequence(read_boxes(folder / 'groundtruth.txt'), name, cover=cover)
        boxes = read_boxes(tmp_path / 'results/GOT-10k/ours' / name / f'{name}_001.txt')
        found.append(got10k.overlaps(sequence, boxes, (HEIGHT, WIDTH)))

    experiment = experiments.ExperimentGOT10k(
        str(tmp_path), 'val', str(tmp_path / 'results'), str(tmp_path / 'reports')
    )
    report = experiment.report(['ours'])['ours']
    overall, summary = report['overall'], got10k.summary(found)
    assert summary['AO'] == pytest.approx(100 * overall['ao'], abs=1e-6)
    assert summary['SR_0.5'] == pytest.approx(100 * overall['sr'], abs=1e-6)
    assert summary['SR_0.75'] == pytest.approx(100 * overall['succ_curve'][75], abs=1e-6)
    assert np.allclose(got10k.success_curve(found), overall['succ_curve'], rtol=0, atol=1e-8)
    for name, overlaps in zip(names, found, strict=True):
        theirs, ours = report['seq_wise'][name], got10k.summary([overlaps])
        if len(overlaps):
            assert ours['AO'] == pytest.approx(100 * theirs['ao'], abs=1e-6)
            assert ours['SR_0.5'] == pytest.approx(100 * theirs['sr'], abs=1e-6)


def score(tracks: Tracks, name: str) -> dict[str, float]:
    numbers = ope.summary([ope.curves(*track, PROTOCOLS[name]) for track in tracks])
    del numbers['norm_precision']  # the toolkit has none
    return numbers


def whole_pixel_tracks(start=(0, 0)) -> Tracks:
    rng, tracks = np.random.default_rng(5), []
    for name, frames in (('bee', 60), ('cup', 25), ('dog', 110)):
        truth = np.trunc(random_truth(rng, frames))
        result = random_result(rng, truth)
        if name == 'cup':
            result = np.trunc(result)
        tracks.append((make_sequence(truth + [*start, 0, 0], name), result + [*start, 0, 0]))
    return tracks


def test_success_and_precision_are_those_of_the_toolkit_on_plain_boxes():
    tracks = whole_pixel_tracks()
    theirs = score_with_got10k(tracks)
    for name in ('lasot', 'tnl2k', 'nfs', 'otb100', 'uav123', 'folder'):
        assert score(tracks, name) == pytest.approx(theirs, abs=1e-6)


def test_the_toolkit_keeps_boxes_at_the_border_where_otb_does_not():
    tracks = whole_pixel_tracks(start=(-150, -100))
    theirs = score_with_got10k(tracks)
    assert score(tracks, 'folder') == pytest.approx(theirs, abs=1e-6)
    ours = score(tracks, 'otb100')
    assert ours['success'] < theirs['success'] - 5
    assert ours['precision'] > theirs['precision']


def test_the_toolkit_does_not_repeat_a_box_for_an_empty_one_as_otb_does():
    tracks = whole_pixel_tracks()
    for _, result in tracks:
        result[7::9, 2] = 0
    theirs = score_with_got10k(tracks)
    assert score(tracks, 'folder') == pytest.approx(theirs, abs=1e-6)
    assert score(tracks, 'otb100')['success'] > theirs['success'] + 1
