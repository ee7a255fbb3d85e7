"""Zip files for servers: what is in them, and that every broken rule is named."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path

import pytest
from sequence_lists import make_table, write_results

from mmtrack_mixformerv2.evaluation.protocols import PROTOCOLS
from mmtrack_mixformerv2.evaluation.submissions import (
    SERVERS,
    check_submission,
    write_submission,
)

GOT10K, TRACKINGNET = PROTOCOLS['got10k_test'], PROTOCOLS['trackingnet']
FIRST = 'GOT-10k_Test_000001'


def boxes(folder: Path) -> Path:
    return folder / FIRST / f'{FIRST}_001.txt'


def times(folder: Path) -> Path:
    return folder / FIRST / f'{FIRST}_time.txt'


@pytest.fixture
def small_tests(monkeypatch) -> None:
    """Test sets of three sequences, which is all that most rules need."""
    for name, server in SERVERS.items():
        monkeypatch.setitem(SERVERS, name, dataclasses.replace(server, sequences=3))


@pytest.fixture
def got10k(small_tests):
    return make_table(*(f'GOT-10k_Test_{i:06d}' for i in range(1, 4)), first_only=True)


@pytest.fixture
def trackingnet(small_tests):
    return make_table(*(f'{i:04x}-video_0' for i in range(3)), frames=2, first_only=True)


@pytest.fixture
def results(got10k, tmp_path) -> Path:
    return write_results(tmp_path / 'results', got10k, 'got10k')


@pytest.fixture
def flat(trackingnet, tmp_path) -> Path:
    return write_results(tmp_path / 'flat', trackingnet, 'trackingnet')


def test_got10k(got10k, results, tmp_path):
    write_submission(results, got10k, GOT10K, tmp_path / 'a.zip')
    with zipfile.ZipFile(tmp_path / 'a.zip') as archive:
        names = archive.namelist()
        assert len(names) == 6
        assert names[:2] == [f'{FIRST}/{FIRST}_001.txt', f'{FIRST}/{FIRST}_time.txt']
        assert archive.read(names[0]) == b'10.0000,20.0000,30.0000,40.0000\n' * 4
        assert archive.read(names[1]) == b'0.12500000\n' * 4
    assert check_submission(tmp_path / 'a.zip', got10k, GOT10K) == []
    assert [path.name for path in tmp_path.iterdir() if 'partial' in path.name] == []


def test_trackingnet(trackingnet, flat, tmp_path):
    write_submission(flat, trackingnet, TRACKINGNET, tmp_path / 'a.zip')
    with zipfile.ZipFile(tmp_path / 'a.zip') as archive:
        assert sorted(archive.namelist()) == [f'{i:04x}-video_0.txt' for i in range(3)]
        assert archive.read('0000-video_0.txt') == b'10.0000,20.0000,30.0000,40.0000\n' * 2
    assert check_submission(tmp_path / 'a.zip', trackingnet, TRACKINGNET) == []
    write_submission(tmp_path / 'a.zip', trackingnet, TRACKINGNET, tmp_path / 'b.zip')
    assert (tmp_path / 'a.zip').read_bytes() == (tmp_path / 'b.zip').read_bytes()


def test_the_same_results_make_the_same_bytes(got10k, results, tmp_path):
    write_submission(results, got10k, GOT10K, tmp_path / 'a.zip')
    boxes(results).touch()
    (results / 'notes.txt').write_text('mine')
    write_submission(results, type(got10k)(got10k[::-1]), GOT10K, tmp_path / 'b.zip')
    (results / 'notes.txt').unlink()
    assert (tmp_path / 'a.zip').read_bytes() == (tmp_path / 'b.zip').read_bytes()


def pack(folder: Path, archive: Path, inside: str) -> Path:
    """A zip file as a user makes one, with a folder around the results."""
    with zipfile.ZipFile(archive, 'w') as file:
        for path in sorted(folder.rglob('*.txt')):
            file.write(path, inside + path.relative_to(folder).as_posix())
    return archive


BREAK = {
    'no boxes': (lambda folder: boxes(folder).unlink(), 'there is no file .*_000001_001.txt'),
    'no times': (
        lambda folder: times(folder).unlink(),
        '_000001_time.txt: the server wants the seconds of each frame, as measured',
    ),
    'short': (
        lambda folder: boxes(folder).write_text('10,20,30,40\n' * 3),
        '^GOT-10k_Test_000001/GOT-10k_Test_000001_001.txt has 3 lines, expected 4',
    ),
    'short times': (
        lambda folder: times(folder).write_text('0.1\n' * 3),
        '_000001_time.txt has 3 lines, expected 4',
    ),
    'made up times': (
        lambda folder: times(folder).write_text('0\n' * 4),
        "line 1 is '0', expected seconds above 0",
    ),
    'blanks': (
        lambda folder: boxes(folder).write_text('10 20 30 40\n' * 4),
        "line 1 is '10 20 30 40', expected x,y,width,height between commas",
    ),
    'blanks after commas': (
        lambda folder: boxes(folder).write_text('10, 20, 30, 40\n' * 4),
        'between commas, without blanks',
    ),
    'five numbers': (
        lambda folder: boxes(folder).write_text('10,20,30,40,1\n' * 4),
        'line 1 has 5 numbers, expected 4',
    ),
    'NaN': (
        lambda folder: boxes(folder).write_text('10,20,30,40\nnan,nan,nan,nan\n' * 2),
        'line 2 is NaN; line 4 is NaN',
    ),
    'inverted': (
        lambda folder: boxes(folder).write_text('10,20,30,40\n10,20,-30,40\n' * 2),
        r'_001.txt: line 2 has size \[-30.0, 40.0\]; line 4 has size',
    ),
    'a byte order mark': (
        lambda folder: boxes(folder).write_text('\ufeff' + '10,20,30,40\n' * 4),
        'line 1 is .*, expected x,y,width,height between commas',
    ),
    'a title': (
        lambda folder: boxes(folder).write_text('x,y,width,height\n' + '10,20,30,40\n' * 3),
        "line 1 is 'x,y,width,height', expected four numbers",
    ),
    'of another sequence': (
        lambda folder: boxes(folder).write_text('90,20,30,40\n' * 4),
        r'line 1 is \[90.0, .* the file is of another sequence',
    ),
}


@pytest.mark.parametrize('how', BREAK)
def test_every_broken_file_is_named(got10k, results, tmp_path, how):
    damage, message = BREAK[how]
    damage(results)
    (problem,) = check_submission(results, got10k, GOT10K)
    assert re.search(message, problem)
    with pytest.raises(ValueError, match=f'(?s)cannot be sent to the server of GOT-10k:.*{FIRST}'):
        write_submission(results, got10k, GOT10K, tmp_path / 'a.zip')
    assert not (tmp_path / 'a.zip').exists()


def test_what_is_wrong_with_a_zip_file_is_named(got10k, results, tmp_path):
    times(results).write_text('fast')
    archive = pack(results, tmp_path / 'a.zip', inside='my-tracker/')
    assert len(check_submission(archive, got10k, GOT10K)) == 1  # a folder around is taken
    with zipfile.ZipFile(archive, 'a') as file, pytest.warns(UserWarning, match='Duplicate'):
        file.writestr('my-tracker/._a.txt', '')
        file.writestr(f'my-tracker/{FIRST}/{FIRST}_001.txt', '10,20,30,40\n' * 4)
    twice, broken, foreign = check_submission(archive, got10k, GOT10K)
    assert twice == f'my-tracker/{FIRST}/{FIRST}_001.txt is 2 times in {archive}'
    assert broken.startswith(f'{FIRST}/{FIRST}_time.txt has 1 lines, expected 4')
    assert foreign == '._a.txt belongs to no sequence; leave it out'


def test_what_is_no_zip_file_is_named(got10k, tmp_path):
    (tmp_path / 'cut.zip').write_bytes(b'PK')
    (problem,) = check_submission(tmp_path / 'cut.zip', got10k, GOT10K)
    assert 'cut.zip is neither a folder nor a whole zip file' in problem
    (problem,) = check_submission(tmp_path / 'nowhere.zip', got10k, GOT10K)
    assert 'there is no folder or zip file' in problem


def test_trackingnet_s_files_are_in_no_folder(trackingnet, flat, tmp_path):
    archive = pack(flat, tmp_path / 'a.zip', inside='results/')
    (problem,) = check_submission(archive, trackingnet, TRACKINGNET)
    assert problem == (
        f'results/0000-video_0.txt is in a folder; the files have to be at the top of {archive}'
    )


def test_the_data_set_has_to_be_the_test_set(tmp_path):
    for protocol, count in ((GOT10K, 180), (TRACKINGNET, 511)):
        table = make_table('GOT-10k_Test_000001', first_only=True)
        folder = write_results(tmp_path / protocol.name, table, protocol.result_format)
        (problem,) = check_submission(folder, table, protocol)
        assert problem.startswith(
            f'the data set has 1 sequences, and the test set of {protocol.title} has {count}'
        )


def test_the_sequences_have_to_have_the_names_of_the_test_set(got10k, results):
    renamed = type(got10k)([*got10k[1:], dataclasses.replace(got10k[0], name='video-1')])
    problems = check_submission(results, renamed, GOT10K)
    assert problems[0].startswith('video-1 is no name of a sequence of GOT-10k')


def test_only_some_benchmarks_have_a_server(got10k, results):
    with pytest.raises(ValueError, match='LaSOT are not sent to a server; these are: got10k_test'):
        check_submission(results, got10k, PROTOCOLS['lasot'])
