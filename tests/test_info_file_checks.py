"""Every kind of mistake in the files of a benchmark is named, with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import benchmark_layouts as made
import cv2
import numpy as np
import pytest

from mmtrack_mixformerv2.datasets.info_files import convert
from mmtrack_mixformerv2.datasets.info_files.checks import number_ranges
from mmtrack_mixformerv2.datasets.info_files.images import image_size, is_readable

SEQUENCE = 'GOT-10k_Val_000002'


@pytest.fixture
def folder(tmp_path) -> Path:
    """The second of two sequences of GOT-10k with 8 frames."""
    made.make_got10k(tmp_path)
    return tmp_path / 'val' / SEQUENCE


def problems(folder: Path, **options) -> list[str]:
    """Problems of that sequence; the other one must stay sound."""
    conversion = convert('got10k', folder.parents[1], 'val', progress=False, **options)
    assert not conversion.problems
    assert [item.name for item in conversion.broken] == [SEQUENCE]
    return conversion.broken[0].problems


def edit(path: Path, changes: dict[int, str | None]) -> Path:
    """Replaces lines of a file, by number from 1; None takes a line out."""
    lines = dict(enumerate(path.read_text().splitlines(), start=1)) | changes
    made.write_text(path, [line for line in lines.values() if line is not None])
    return path


def test_missing_frames(folder):
    for number in (1, 4, 5):
        (folder / f'{number:08d}.jpg').unlink()
    assert problems(folder) == [f'missing frames: 1, 4-5 (3 in all) in {folder}']


def test_missing_last_frame_is_a_wrong_count(folder):
    (folder / '00000008.jpg').unlink()
    path = folder / 'groundtruth.txt'
    assert f'{path} has 8 lines, expected 7: frames are 1 to 7' in problems(folder)
    assert len(problems(folder)) == 3  # absence.label and cover.label do not fit either


def test_frames_with_other_names(folder):
    for path in sorted(folder.glob('*.jpg')):
        path.rename(folder / path.name[4:])
    expected = f'{folder} has no frames with names like 00000001.jpg; there is 0001.jpg'
    assert problems(folder) == [expected]


def test_frame_before_the_first(folder):
    (folder / '00000003.jpg').rename(folder / '00000000.jpg')
    assert problems(folder) == [
        f'missing frames: 3 (1 in all) in {folder}',
        f'frames before the first, 1: 0 in {folder}',
    ]


def test_no_frames_at_all(folder):
    for path in folder.glob('*.jpg'):
        path.unlink()
    assert 'it has no images' in problems(folder)[0]


def test_other_images_are_only_noted(folder):
    (folder / '00000003.jpg').rename(folder / 'preview.jpg')
    made.write_sequence(folder, ['00000003.jpg'], 2)
    conversion = convert('got10k', folder.parents[1], 'val', progress=False)
    assert conversion.is_whole
    assert conversion.checked[1].notes == [f'images that are no frames: preview.jpg in {folder}']


def test_empty_and_truncated_frames(folder):
    (folder / '00000004.jpg').write_bytes(b'')
    frame = folder / '00000005.jpg'
    frame.write_bytes(frame.read_bytes()[:-200])
    expected = [f'unreadable frames: 00000004.jpg, 00000005.jpg (2 in all) in {folder}']
    assert problems(folder) == expected
    assert problems(folder, decode=True) == expected


def test_frames_that_only_decoding_finds_broken(folder):
    frame = folder / '00000005.jpg'
    data = bytearray(frame.read_bytes())
    frame.write_bytes(bytes(data[:4]) + b'\0' * (len(data) - 8) + bytes(data[-4:]))
    assert convert('got10k', folder.parents[1], 'val', progress=False).is_whole
    assert problems(folder, decode=True) == [
        f'unreadable frames: 00000005.jpg (1 in all) in {folder}'
    ]


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({3: ''}, 'line 3 is empty'),
        ({2: '1,2,3', 7: '1,2,x,4'}, r"line 2 has 3 numbers, .*; line 7 is '1,2,x,4', expected"),
        ({4: '1,2,inf,4'}, r"line 4 is '1,2,inf,4'; a box is four finite numbers"),
        ({4: '1,2,NaN,4'}, r"line 4 is '1,2,NaN,4'; a box is four finite numbers, or four NaN"),
        ({5: 'NaN,NaN,NaN,NaN'}, 'line 5 is NaN'),
        ({5: '30,30,-4,8'}, r'line 5 has size \[-4.0, 8.0\]'),
        ({1: '0,0,0,0'}, 'line 1 has no box, but tracking starts there'),
        ({1: '96,0,9,9'}, r'line 1 is \[96.0, 0.0, 9.0, 9.0\], outside of the image of 96 x 72'),
    ],
)
def test_lines_of_the_annotation(folder, changes, expected):
    path = edit(folder / 'groundtruth.txt', changes)
    (problem,) = problems(folder)
    assert re.match(re.escape(str(path)) + ': ' + expected, problem)


def test_bad_lines_do_not_hide_a_wrong_count(folder):
    path = edit(folder / 'groundtruth.txt', {3: 'none', 8: None})
    assert problems(folder) == [
        f"{path}: line 3 is 'none', expected four numbers",
        f'{path} has 7 lines, expected 8: frames are 1 to 8',
    ]


def test_box_outside_of_the_image_is_noted_where_the_publisher_may_have_it(folder):
    path = edit(folder / 'groundtruth.txt', {3: '-20,5,10,10', 5: '5,90,10,10'})
    conversion = convert('got10k', folder.parents[1], 'val', progress=False)
    assert conversion.is_whole
    assert conversion.checked[1].notes == [
        f'{path}: line 3 is [-20.0, 5.0, 10.0, 10.0], outside of the image of 96 x 72 pixels; '
        'line 5 is [5.0, 90.0, 10.0, 10.0], outside of the image of 96 x 72 pixels'
    ]


def test_missing_annotation(folder):
    (folder / 'groundtruth.txt').unlink()
    assert problems(folder) == [f'there is no file {folder / "groundtruth.txt"}']


@pytest.mark.parametrize(
    ('name', 'lines', 'expected'),
    [
        ('absence.label', [0] * 7, ' has 7 numbers, expected 8'),
        ('cover.label', [8] * 9, ' has 9 numbers, expected 8'),
        ('cover.label', [8, 8, 9] + [8] * 5, ": line 3 has '9', expected numbers from 0 to 8"),
        ('absence.label', [0, 'no'] + [0] * 6, ": line 2 has 'no', expected numbers from 0 to 1"),
    ],
)
def test_labels(folder, name, lines, expected):
    made.write_text(folder / name, lines)
    assert problems(folder) == [f'{folder / name}{expected}']


def test_missing_label(folder):
    (folder / 'cover.label').unlink()
    assert problems(folder)[0].startswith(f'there is no file {folder / "cover.label"}')


def test_lists_and_folders_that_do_not_fit(folder):
    names = ['GOT-10k_Val_000001', 'GOT-10k_Val_000001', 'GOT-10k_Val_000009']
    made.write_text(folder.parent / 'list.txt', names)
    conversion = convert('got10k', folder.parents[1], 'val', progress=False)
    assert conversion.problems == [
        'missing sequences: GOT-10k_Val_000009 (1 of 3 in the list)',
        'names that are not unique: GOT-10k_Val_000001 (2 times)',
    ]
    assert conversion.notes == [f'sequences that no list has: {SEQUENCE}']
    assert [item.name for item in conversion.sound] == ['GOT-10k_Val_000001']
    assert not conversion.is_whole


def test_trackingnet_without_frames_or_annotation(tmp_path):
    made.make_trackingnet(tmp_path, names=('a', 'b', 'c'))
    (tmp_path / 'TEST' / 'anno' / 'a.txt').unlink()
    made.write_text(tmp_path / 'TEST' / 'anno' / 'd.txt', ['1,2,3,4'])
    broken = convert('trackingnet', tmp_path, 'test', progress=False).broken
    assert [(item.name, item.problems) for item in broken] == [
        ('a', [f'there is no file {tmp_path / "TEST/anno/a.txt"}']),
        ('d', [f'there is no folder of frames {tmp_path / "TEST/frames/d"}']),
    ]


def test_part_of_a_shared_folder(tmp_path):
    made.make_uav123(tmp_path, names=('bird1_2',))
    (tmp_path / 'data_seq' / 'UAV123' / 'bird1' / '000775.jpg').unlink()
    (tmp_path / 'data_seq' / 'UAV123' / 'bird1' / '000700.jpg').unlink()  # of no sequence
    path = edit(tmp_path / 'anno' / 'UAV123' / 'bird1_2.txt', {703: None})
    item = next(
        item
        for item in convert('uav123', tmp_path, 'test', progress=False).checked
        if item.name == 'bird1_2'
    )
    assert item.problems == [
        f'missing frames: 775 (1 in all) in {tmp_path / "data_seq/UAV123/bird1"}',
        f'{path} has 702 lines, expected 703: frames are 775 to 1477',
    ]


def test_skipped_lines_of_otb100(tmp_path):
    made.make_otb100(tmp_path, names=('Tiger1',))
    path = edit(tmp_path / 'data' / 'Tiger1' / 'groundtruth_rect.txt', {1: None, 6: '0,0,0,0'})
    (item,) = convert('otb100', tmp_path, 'test', progress=False).broken
    assert item.problems == [
        f'{path} has 353 lines, expected 354: frames are 6 to 354, 5 skipped',
    ]
    edit(path, {353: '0,0,0,0\n0,0,0,0'})
    (item,) = convert('otb100', tmp_path, 'test', progress=False).checked
    assert not item.problems
    edit(path, {6: '0,0,0,0'})  # the first that is used
    (item,) = convert('otb100', tmp_path, 'test', progress=False).broken
    assert item.problems == [f'{path}: line 6 has no box, but tracking starts there']


def test_lines_of_nfs(tmp_path):
    made.make_nfs(tmp_path, 240, names=['bee'])
    path = edit(
        tmp_path / 'bee' / '240' / 'bee.txt',
        {4: '0 9 9 5 5 4 0 0 0 "x"', 6: '0 300 9 305 15 6 0 0 0 "x"'},
    )
    (item,) = convert('nfs240', tmp_path, 'test', progress=False).broken
    assert item.problems[0].startswith(f'{path}: line 4 has its corners the wrong way round')
    edit(path, {4: '0 5 5 9 9 4 0 0 0 "x"'})
    (item,) = convert('nfs240', tmp_path, 'test', progress=False).checked
    assert item.notes[0].startswith(f'{path}: frame 6 is [300.0, 9.0, 5.0, 6.0], outside of')


def test_own_folders(tmp_path):
    made.make_folder(tmp_path)
    path = edit(tmp_path / 'one' / 'groundtruth.txt', {3: '200,5,10,10', 12: None})
    made.write_text(tmp_path / 'empty' / 'groundtruth.txt', ['1,2,3,4'])
    made.write_sequence(tmp_path / 'a,b', ['1.png'], 0)
    made.write_text(tmp_path / 'a,b' / 'groundtruth.txt', ['10,20,16,16'])
    conversion = convert('folder', tmp_path, 'test', progress=False)
    assert len(conversion.problems) == 1 and 'but no frames' in conversion.problems[0]
    assert 'a,b' in [item.name for item in conversion.sound]  # no list, so no harm
    assert {item.name: item.problems for item in conversion.broken} == {
        'one': [
            f'{path} has 11 lines, expected 1 or 12: frames are 1 to 12',
            f'{path}: line 3 is [200.0, 5.0, 10.0, 10.0], outside of the image of 96 x 72 pixels',
        ],
    }


def test_comma_in_a_path_of_an_info_file(tmp_path):
    made.write_sequence(tmp_path / 'a,b' / 'imgs', ['1.png'], 0)
    made.write_text(tmp_path / 'a,b' / 'groundtruth.txt', ['10,20,16,16'])
    (item,) = convert('tnl2k', tmp_path, 'test', progress=False).checked
    assert item.problems == [
        'the path a,b/imgs has a comma, which separates the fields of an info file'
    ]


def test_frames_of_another_size_are_found_by_decoding(tmp_path):
    made.make_folder(tmp_path)
    (tmp_path / 'one' / '3.png').unlink()  # a link
    cv2.imwrite(str(tmp_path / 'one' / '3.png'), np.zeros((20, 30, 3), np.uint8))
    assert not convert('folder', tmp_path, 'test', progress=False).broken
    (item,) = convert('folder', tmp_path, 'test', decode=True, progress=False).broken
    assert item.problems == [
        'frames of another size than the first, 96 x 72 pixels: 3.png (1 in all) in '
        f'{tmp_path / "one"}'
    ]


@pytest.mark.parametrize(
    ('benchmark', 'split', 'expected'),
    [
        ('lasot', 'test', 'no folder .*LaSOTBenchmark'),
        ('lasot_ext', 'test', r'missing sequences: atv-1, .*\(150 of 150 in'),
        ('got10k', 'val', r'no folder .*val, expected there: .* val/list.txt'),
        ('trackingnet', 'test', 'no folder .*TEST'),
        ('uav123', 'test', 'no folder .*data_seq'),
        ('otb100', 'test', r'no folder .*data, expected there: .* such as Basketball: mmtrack'),
        ('tnl2k', 'test', 'there is no sequence'),
        ('nfs30', 'test', r'missing sequences: Gymnastics, .*\(100 of 100 in'),
        ('folder', 'test', 'there is no sequence'),
    ],
)
def test_folder_of_something_else(tmp_path, benchmark, split, expected):
    with pytest.raises(FileNotFoundError, match=expected):
        convert(benchmark, tmp_path, split, progress=False)
    with pytest.raises(FileNotFoundError, match='no folder .*nowhere'):
        convert(benchmark, tmp_path / 'nowhere', split, progress=False)


def test_got10k_without_its_list(folder):
    (folder.parent / 'list.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'no list of sequences .*list\.txt'):
        convert('got10k', folder.parents[1], 'val', progress=False)


def test_unknown_names_cannot_be_left_out(folder):
    with pytest.raises(ValueError, match='1 of 2 sequences to leave out are not .*: other'):
        convert('got10k', folder.parents[1], 'val', exclude=[SEQUENCE, 'other'], progress=False)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.bmp'])
def test_whole_and_cut_images(tmp_path, suffix):
    path = tmp_path / f'frame{suffix}'
    made.write_sequence(tmp_path, [path.name], 0)
    assert image_size(path) == (96, 72)
    assert is_readable(path) and is_readable(path, decode=True)
    path.write_bytes(path.read_bytes()[:-100])
    assert not is_readable(path) and not is_readable(path, decode=True)
    assert not is_readable(tmp_path / 'none.jpg')


def test_image_with_bytes_after_its_end(tmp_path):
    made.write_sequence(tmp_path, ['frame.jpg'], 0)
    for spare in (10, 1000):
        (tmp_path / 'frame.jpg').write_bytes((tmp_path / 'frame.jpg').read_bytes() + b'\0' * spare)
        assert is_readable(tmp_path / 'frame.jpg')


def test_number_ranges():
    assert number_ranges([1, 3, 4, 5, 9, 10]) == '1, 3-5, 9-10'
    assert number_ranges(range(0, 200, 2)).endswith('56, 58 and 70 more')
