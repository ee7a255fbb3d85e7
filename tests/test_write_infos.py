"""The command that checks a benchmark and writes its info file."""

from __future__ import annotations

from pathlib import Path

import benchmark_layouts as made
import pytest
from tools_loader import load_tool

NAME = 'annotations/got10k_val_infos.txt'
# Of mmtrack's own info files.
TITLE = (
    'The format of each line in this txt is '
    '(video_path,annotation_path,start_frame_id,end_frame_id)'
)


@pytest.fixture(scope='module')
def tool():
    return load_tool('dataset_converters/write_infos')


@pytest.fixture
def root(tmp_path) -> Path:
    made.make_got10k(tmp_path)
    return tmp_path


def call(tool, root: Path, *arguments: str, benchmark: str = 'got10k') -> int:
    return tool.main([benchmark, str(root), *arguments])


def test_sound_benchmark_is_written_once(tool, root, capsys):
    assert call(tool, root) == 0
    lines = made.make_got10k(root / 'again')
    assert (root / NAME).read_text() == '\n'.join([TITLE, *lines]) + '\n'
    printed = capsys.readouterr().out
    assert f'written: {root / NAME}' in printed
    assert 'left out: there is no folder' in printed  # test and train are not there
    before = (root / NAME).stat().st_mtime_ns
    assert call(tool, root, '--split', 'val') == 0
    assert (root / NAME).stat().st_mtime_ns == before
    assert 'there already, with the same content' in capsys.readouterr().out
    assert [path.name for path in (root / 'annotations').iterdir()] == ['got10k_val_infos.txt']


def test_other_content_is_never_replaced_unasked(tool, root, capsys):
    (root / 'annotations').mkdir()
    (root / NAME).write_text('mine')
    assert call(tool, root, '--split', 'val') == 2
    assert (root / NAME).read_text() == 'mine'
    assert f'{root / NAME} is there with other content' in capsys.readouterr().err
    assert call(tool, root, '--split', 'val', '--out', str(root / 'val')) == 2  # a folder
    assert call(tool, root, '--split', 'val', '--out', str(root / 'val'), '--force') == 2
    assert call(tool, root, '--split', 'val', '--force') == 0
    assert (root / NAME).read_text().startswith(TITLE)


def test_broken_benchmark_is_not_written_unless_asked_for(tool, root, capsys):
    (root / 'val' / 'GOT-10k_Val_000001' / '00000003.jpg').unlink()
    assert call(tool, root, '--split', 'val') == 1
    assert not (root / 'annotations').exists()
    printed = capsys.readouterr().out
    assert 'GOT-10k_Val_000001\n    missing frames: 3 (1 in all) in ' in printed
    assert 'sound sequences: 1, their frames: 8, broken sequences: 1, problems: 1' in printed
    assert 'nothing was written; --skip-broken' in printed
    assert call(tool, root, '--split', 'val', '--skip-broken') == 1
    name = 'val/GOT-10k_Val_000002'
    assert (root / NAME).read_text().splitlines()[1:] == [f'{name},{name}/groundtruth.txt,1,8']


def test_nothing_sound_is_nothing_to_write(tool, root, capsys):
    for path in root.glob('val/*/groundtruth.txt'):
        path.unlink()
    assert call(tool, root, '--split', 'val', '--skip-broken') == 2
    assert 'no sequence is sound' in capsys.readouterr().err


def test_missing_sequences_are_broken_too(tool, root):
    made.write_text(root / 'val' / 'list.txt', [f'GOT-10k_Val_00000{n}' for n in (1, 2, 3)])
    assert call(tool, root, '--split', 'val') == 1
    assert not (root / NAME).exists()


def test_check_only(tool, root):
    assert call(tool, root, '--check-only', '--decode', '--workers', '2') == 0
    assert not (root / 'annotations').exists()


def test_out(tool, root, tmp_path):
    assert call(tool, root, '--split', 'val', '--out', str(tmp_path / 'a' / 'list.txt')) == 0
    assert (tmp_path / 'a' / 'list.txt').is_file()


def test_all_splits_that_are_there(tool, tmp_path, capsys):
    made.make_got10k(tmp_path, 'train', videos=3)
    made.make_got10k(tmp_path, 'test')
    assert call(tool, tmp_path) == 0
    names = sorted(path.name for path in (tmp_path / 'annotations').iterdir())
    assert names == ['got10k_test_infos.txt', 'got10k_train_infos.txt']
    (tmp_path / 'list0_prohibited_1000.txt').write_text('GOT-10k_Train_000002\n')
    arguments = ('--split', 'train_vot', '--exclude', str(tmp_path / 'list0_prohibited_1000.txt'))
    assert call(tool, tmp_path, *arguments) == 0
    written = (tmp_path / 'annotations' / 'got10k_train_vot_infos.txt').read_text()
    assert '000001' in written and '000002' not in written


def test_folder_is_only_checked(tool, tmp_path, capsys):
    made.make_folder(tmp_path)
    assert call(tool, tmp_path, benchmark='folder') == 0
    assert not (tmp_path / 'annotations').exists()
    assert 'folder: sound sequences: 2, their frames: 24' in capsys.readouterr().out


def test_wrong_folder(tool, tmp_path, capsys):
    assert call(tool, tmp_path / 'none') == 2
    assert 'error: there is no folder' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['got10k', '.', '--split', 'all'], 'expected one of test, val, train, train_vot'),
        (['got10k', '.', '--split', 'train_vot'], 'needs --exclude'),
        (['got10k', '.', '--out', 'x'], '--out is for one split; add --split'),
        (['lasot', '.', '--exclude', 'x'], '--exclude is for one split; add --split'),
        (['folder', '.', '--out', 'x'], 'needs no list'),
        (['otb100', '.', '--workers', '0'], '--workers is 0, expected at least 1'),
        (['other', '.'], 'invalid choice'),
    ],
)
def test_arguments(tool, capsys, arguments, expected):
    with pytest.raises(SystemExit) as stopped:
        tool.main(arguments)
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
