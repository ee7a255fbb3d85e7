"""Result files: written as the benchmarks want them, read whatever tool wrote them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sequence_lists import make_table, write_results

from mmtrack_mixformerv2.evaluation.result_files import (
    Result,
    foreign_files,
    open_results,
    read_result,
    write_result,
)

BOXES = np.array([[10, 20, 30, 40], [10.00004, 20.5, 1 / 3, 40], [-5, 1e4, 0, 0]])
FILES = {'plain': 'car-1.txt', 'trackingnet': 'car-1.txt', 'got10k': 'car-1/car-1_001.txt'}


@pytest.fixture
def sequence():
    return make_table('car-1', frames=3)[0]


@pytest.mark.parametrize('result_format', FILES)
def test_files_are_as_the_benchmarks_want_them(result_format, sequence, tmp_path):
    write_result(tmp_path, 'car-1', Result(BOXES), result_format)
    written = sorted(path for path in tmp_path.rglob('*') if path.is_file())
    assert written == [tmp_path / FILES[result_format]]
    assert written[0].read_text() == (
        '10.0000,20.0000,30.0000,40.0000\n'
        '10.0000,20.5000,0.3333,40.0000\n'
        '-5.0000,10000.0000,0.0000,0.0000\n'
    )
    result = read_result(tmp_path, sequence, result_format)
    np.testing.assert_allclose(result.boxes_xywh, BOXES, rtol=0, atol=0.5e-4)
    assert result.boxes_xywh.dtype == np.float64
    assert result.seconds is None


def test_got10k_has_the_times_that_were_measured(sequence, tmp_path):
    seconds = np.array([0.25, 0.0125, 1 / 3])
    write_result(tmp_path, 'car-1', Result(BOXES, seconds), 'got10k')
    text = (tmp_path / 'car-1' / 'car-1_time.txt').read_text()
    assert text == '0.25000000\n0.01250000\n0.33333333\n'
    result = read_result(tmp_path, sequence, 'got10k')
    np.testing.assert_allclose(result.seconds, seconds, atol=1e-8)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0.1\n0.1\n', 'car-1_time.txt has 2 lines, expected 3'),
        ('0.1\nfast\n0.1\n', "line 2 is 'fast', expected seconds"),
        ('0.1\n0.1\n0\n', "line 3 is '0', expected seconds above 0"),
        ('nan\n0.1\n0.1\n', "line 1 is 'nan'"),
    ],
)
def test_broken_times_are_named(sequence, tmp_path, text, message):
    write_result(tmp_path, 'car-1', Result(BOXES, np.ones(3)), 'got10k')
    (tmp_path / 'car-1' / 'car-1_time.txt').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_result(tmp_path, sequence, 'got10k')


@pytest.mark.parametrize('between', ['\t', ' ', ', '])
def test_files_of_other_tools_are_read(sequence, tmp_path, between):
    """Tabs and whole pixels, cut off, as published raw results have them."""
    lines = [between.join(box) for box in (['9', '20', '29', '40'], ['10', '21', '0', '-4'])]
    (tmp_path / 'car-1.txt').write_text('\r\n'.join([*lines, lines[0], '']))
    boxes = read_result(tmp_path, sequence, 'plain').boxes_xywh
    assert boxes.tolist() == [[9, 20, 29, 40], [10, 21, 0, -4], [9, 20, 29, 40]]


def test_what_is_odd_but_can_be_scored_is_noted(sequence, tmp_path):
    (tmp_path / 'car-1.txt').write_text('20,20,30,40\n10,20,0,40\n10,20,30,-1\n')
    first, empty = read_result(tmp_path, sequence, 'plain').notes
    assert first.endswith(
        'car-1.txt: line 1 is [20.0, 20.0, 30.0, 40.0], and the tracker is given '
        '[10.0, 20.0, 30.0, 40.0] in the first frame of car-1'
    )
    assert empty.endswith(
        'car-1.txt has boxes without area: line 2 is [10.0, 20.0, 0.0, 40.0]; '
        'line 3 is [10.0, 20.0, 30.0, -1.0]'
    )
    write_result(tmp_path, 'car-1', Result(BOXES[[0, 0, 0]]), 'plain')
    assert read_result(tmp_path, sequence, 'plain').notes == ()


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['10,20,30,40'] * 2, 'car-1.txt has 2 lines, expected 3'),
        (['10,20,30,40'] * 4, 'car-1.txt has 4 lines, expected 3'),
        (['10,20,30,40', 'nan,nan,nan,nan', '1,2,3,4'], 'car-1.txt: line 2 is NaN'),
        (['10,20,30,40', '1,2,inf,4', '1,2,3,4'], "line 2 is '1,2,inf,4'; a box is four finite"),
        (['10,20,30,40', '', '1,2,3'], 'line 2 is empty; line 3 has 3 numbers, expected 4'),
        (['10,20,40,60'] * 3, r'car-1.txt: line 1 is .*60.0\], .* given .* boxes are x1,y1,x2,y2'),
        (['35,20,30,40'] * 3, r'car-1.txt: line 1 is \[35.0, .* the file is of another sequence'),
    ],
)
def test_what_does_not_fit_is_named(sequence, tmp_path, lines, message):
    (tmp_path / 'car-1.txt').write_text('\n'.join(lines))
    with pytest.raises(ValueError, match=message):
        read_result(tmp_path, sequence, 'plain')


@pytest.mark.parametrize('inside', ['.', 'my-tracker'])
@pytest.mark.parametrize('result_format', ['plain', 'got10k'])
def test_folders_and_zip_files_are_the_same(tmp_path, inside, result_format):
    table = make_table('a', 'b')
    write_results(tmp_path / 'x' / inside, table, result_format)
    archive = shutil.make_archive(str(tmp_path / 'x'), 'zip', tmp_path / 'x')
    for path in (tmp_path / 'x', archive):
        with open_results(path, ['a', 'b'], result_format) as folder:
            for sequence in table:
                boxes = read_result(folder, sequence, result_format).boxes_xywh
                np.testing.assert_array_equal(boxes, sequence.boxes_xywh)


def test_results_of_another_benchmark_are_not_taken(tmp_path):
    write_results(tmp_path / 'x', make_table('GOT-10k_Val_000001', 'GOT-10k_Val_000002'))
    message = r'none of the 2 sequences: expected car-1.txt .*, found GOT-10k_Val_000001.txt'
    with (
        pytest.raises(ValueError, match=message),
        open_results(tmp_path / 'x', ['car-1', 'car-2'], 'plain'),
    ):
        pass
    (tmp_path / 'broken.zip').write_bytes(b'PK no zip')
    with (
        pytest.raises(ValueError, match=r'broken.zip is neither a folder nor a whole zip'),
        open_results(tmp_path / 'broken.zip', ['a'], 'plain'),
    ):
        pass
    with (
        pytest.raises(FileNotFoundError, match='no folder or zip file'),
        open_results(tmp_path / 'nowhere', ['a'], 'plain'),
    ):
        pass


def test_a_zip_file_that_is_damaged_or_locked_is_named(tmp_path):
    folder = write_results(tmp_path / 'x', make_table('a', frames=99))
    archive = Path(shutil.make_archive(str(tmp_path / 'x'), 'zip', folder))
    whole = archive.read_bytes()
    data = len(zipfile.ZipFile(archive).infolist()[0].filename) + 30  # behind the header
    for start, damage, message in (
        (data, bytes([255] * 8), 'neither a folder nor a whole zip file'),
        (6, b'\1', 'cannot be unpacked here: .*password'),
    ):
        content = bytearray(whole)
        content[start : start + len(damage)] = damage
        if start == 6:  # the same flag in the list of files at the end
            content[whole.index(b'PK\1\2') + 8] = 1
        archive.write_bytes(content)
        with (
            pytest.raises(ValueError, match=message),
            open_results(archive, ['a'], 'plain'),
        ):
            pass


def test_files_of_no_sequence_are_found(tmp_path):
    write_results(tmp_path, make_table('a', 'b', 'c'))
    (tmp_path / 'a_time.txt').write_text('0.1\n')  # as pytracking writes them
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes' / 'a.txt').write_text('mine')
    assert foreign_files(tmp_path, ['a', 'b'], 'plain') == ['c.txt', 'notes/a.txt']
    write_results(tmp_path / 'g', make_table('a', 'b'), 'got10k')
    assert foreign_files(tmp_path / 'g', ['a', 'b'], 'got10k') == []


def test_got10k_s_toolkit_reads_our_files(tmp_path):
    experiments = pytest.importorskip('got10k.experiments')
    from layouts import write_boxes, write_frames, write_lines

    data, names = tmp_path / 'data', ['GOT-10k_Val_000001', 'GOT-10k_Val_000002']
    rng = np.random.default_rng(0)
    overlaps = []
    for seed, name in enumerate(names):
        truth = write_frames(data / 'val' / name, [f'{i:08d}.jpg' for i in range(1, 9)], seed)
        write_boxes(data / 'val' / name / 'groundtruth.txt', truth)
        for label, value in (('absence', 0), ('cover', 8), ('cut_by_image', 0)):
            write_lines(data / 'val' / name / f'{label}.label', [value] * 8)
        (data / 'val' / name / 'meta_info.ini').write_text('[METAINFO]\nresolution: (96, 72)\n')
        boxes = truth + np.pad(rng.uniform(0, 4, (7, 1)), ((1, 0), (0, 3)))
        result = Result(boxes, np.full(8, 0.125))
        write_result(tmp_path / 'results' / 'GOT-10k' / 'ours', name, result, 'got10k')
        shift = np.round(boxes[1:, 0], 4) - truth[1:, 0]
        overlaps += list((16 - shift) / (16 + shift))
    write_lines(data / 'val' / 'list.txt', names)
    toolkit = experiments.ExperimentGOT10k(
        str(data), 'val', str(tmp_path / 'results'), str(tmp_path / 'reports')
    )
    overall = toolkit.report(['ours'])['ours']['overall']
    assert overall['ao'] == pytest.approx(np.mean(overlaps), abs=1e-9)
    assert overall['speed_fps'] == pytest.approx(8.0)
