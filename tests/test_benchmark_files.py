"""Lists of sequences, attributes, and folders that need no list."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import benchmark_layouts as made
import numpy as np
import pytest
from benchmark_sets import ALL, config, logged, table
from mmtrack.registry import DATASETS

from mmtrack_mixformerv2.datasets import check_data_files
from mmtrack_mixformerv2.datasets.benchmarks import (
    LaSOTTestDataset,
    OTB100TestDataset,
    TNL2KTestDataset,
    UAV123TestDataset,
)
from mmtrack_mixformerv2.datasets.frame_files import find_sequences, list_frames, natural_key
from mmtrack_mixformerv2.datasets.label_files import read_attributes, read_flags

# --- annotations and lists -------------------------------------------------------------------


@pytest.mark.parametrize('benchmark', sorted(set(ALL) - {'nfs30', 'nfs240'}))
@pytest.mark.parametrize('more', [-1, 1])
def test_too_few_and_too_many_lines_are_named(tmp_path, benchmark, more):
    kind, make, options, img_path = ALL[benchmark]
    lines = make(tmp_path, **options)
    sequences = table(kind, tmp_path, None if kind == 'FolderDataset' else lines, img_path=img_path)
    path = tmp_path / img_path / lines[0].split(',')[1]
    boxes = path.read_text().split('\n')
    frames = len(sequences[0])
    rows = (boxes * frames)[: frames + more] if len(boxes) < frames else boxes[: frames + more]
    rows = [row or boxes[0] for row in rows] + [boxes[0]] * (frames + more - len(rows))
    made.write_text(path, rows)
    with pytest.raises(ValueError, match=f'{path} has {frames + more} lines, expected {frames}'):
        sequences[0]


def test_broken_lines_are_named_and_spare_line_ends_are_not(tmp_path):
    lines = made.make_got10k(tmp_path, 'val')
    sequences = table('AnnotatedGOT10kDataset', tmp_path, lines)
    path = tmp_path / 'val' / 'GOT-10k_Val_000001' / 'groundtruth.txt'
    boxes = path.read_text().splitlines()
    path.write_text('\r\n'.join([*boxes, '', '']))
    assert len(sequences[0].boxes_xywh) == 8
    for words, message in (('', 'line 3 is empty'), ('1,2,nan,4', 'line 3 is .*four NaN')):
        path.write_text('\n'.join([*boxes[:2], words, *boxes[3:]]))
        with pytest.raises(ValueError, match=f'groundtruth.txt: {message}'):
            sequences[0]
    path.write_text('\n'.join([*boxes[:2], '1,2,30,-4', *boxes[3:]]))
    with pytest.raises(ValueError, match='GOT-10k_Val_000001: line 3 has size'):
        sequences[0]
    for box in ('NaN,NaN,NaN,NaN', '1,2,0,4'):
        path.write_text('\n'.join([box, *boxes[1:]]))
        with pytest.raises(ValueError, match=f'is no box, .* first one in {path}'):
            sequences[0]
    path.write_bytes(b'\xff\xfe1\x00')
    with pytest.raises(ValueError, match=f'{path} is no text file'):
        sequences[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match='GOT-10k_Val_000001/groundtruth.txt'):
        sequences[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda lines: lines[1:], 'the first line is .* must be a title'),
        (lambda lines: lines[:1], 'lists no sequence'),
        (lambda lines: [*lines, '', lines[1]], "line 3 of .* is '', expected video_path"),
        (lambda lines: [*lines[:2], 'a,b,1'], "line 3 of .* is 'a,b,1'"),
        (lambda lines: [*lines[:2], 'a,b,one,2'], "line 3 of .*'a,b,one,2'"),
        (lambda lines: [*lines[:2], 'a,b,5,4'], 'line 3 of .*: frames 5 to 4 are none'),
        (lambda lines: [*lines, lines[1]], 'would both be called GOT-10k_Val_000001'),
    ],
)
def test_a_list_that_would_lose_or_mix_sequences_is_refused(tmp_path, change, message):
    settings = config('AnnotatedGOT10kDataset', tmp_path, made.make_got10k(tmp_path, 'val', 2))
    path = Path(settings['ann_file'])
    lines = path.read_text().splitlines()
    del lines[2:]
    path.write_text('\n'.join(change(lines)))
    for call in (DATASETS.build, check_data_files):
        with pytest.raises(ValueError, match=message):
            call(settings)


@pytest.mark.parametrize('benchmark', sorted(set(ALL) - {'folder'}))
def test_missing_files_are_named_with_their_origin(tmp_path, benchmark):
    kind, make, options, img_path = ALL[benchmark]
    lines = make(tmp_path, **options)
    settings = config(kind, tmp_path, lines, img_path=img_path)
    check_data_files(settings)
    for listed in (tmp_path / img_path / path for path in lines[-1].split(',')[1::-1]):
        shutil.rmtree(listed) if listed.is_dir() else listed.unlink()
        with pytest.raises(FileNotFoundError, match=f'there is no {re.escape(str(listed))}'):
            check_data_files(settings)
    Path(settings['ann_file']).unlink()
    with pytest.raises(FileNotFoundError, match=r'some_infos.txt; python .*write_infos.py \w+'):
        check_data_files(settings)


# --- attributes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('benchmark', 'file', 'between', 'count', 'expected'),
    [
        ('lasot', 'annos/att/yoyo-7.txt', ',', 14, ('Illumination Variation', 'Fast Motion')),
        ('lasot_ext', 'annos/att/atv-1.txt', ',', 14, ('Illumination Variation', 'Fast Motion')),
        ('uav123', 'anno/UAV123/att/uav6.txt', ',', 12, ('Scale Variation', 'Camera Motion')),
        (
            'otb100',
            'anno/att/Jogging-2.txt',
            '\t',
            11,
            ('Illumination Variation', 'Low Resolution'),
        ),
        (
            'tnl2k',
            'annos/att/INF_womanpink_attribute.txt',
            '\n',
            17,
            ('Camera Motion', 'Motion Blur'),
        ),
        ('tnl2k', 'INF_womanpink/attributes.txt', ',', 17, ('Camera Motion', 'Motion Blur')),
    ],
)
def test_attributes_of_benchmarks(tmp_path, benchmark, file, between, count, expected):
    kind, make, options, img_path = ALL[benchmark]
    path = tmp_path / file
    made.write_text(path, [between.join('1' if i in (0, 10) else '0' for i in range(count))])
    folder = file.rsplit('/', 1)[0] if file.count('/') > 1 else '.'
    lines = make(tmp_path, **options)
    sequences = table(kind, tmp_path, lines, img_path=img_path, attributes=folder)
    given = {sequence.name: sequence.attributes for sequence in sequences}
    name = next(name for name in given if name in file)
    assert given.pop(name) == expected
    assert set(given.values()) == {()}  # they have no file


@pytest.mark.parametrize(
    ('dataset', 'first', 'last', 'count'),
    [
        (LaSOTTestDataset, 'Illumination Variation', 'Aspect Ratio Change', 14),
        (UAV123TestDataset, 'Scale Variation', 'Similar Object', 12),
        (OTB100TestDataset, 'Illumination Variation', 'Low Resolution', 11),
        (TNL2KTestDataset, 'Camera Motion', 'Modality Switch', 17),
    ],
)
def test_attributes_are_complete(dataset, first, last, count):
    names = dataset.attribute_names
    assert (names[0], names[-1], len(names), len(set(names))) == (first, last, count, count)


def test_attributes_from_a_table(tmp_path):
    lines = made.make_nfs(tmp_path, 30)
    rows = ['sequence,attribute', 'bee, Fast Motion ,Low Resolution', '', 'other,x', 'bee,Fog']
    made.write_text(tmp_path / 'attributes.csv', rows, newline='\r\n')
    sequences = table('NfSTestDataset', tmp_path, lines, attributes='attributes.csv')
    assert sequences[0].attributes == ()
    assert sequences[1].attributes == ('Fast Motion', 'Low Resolution', 'Fog')


def test_attributes_may_be_absent(tmp_path):
    with logged() as messages:
        sequences = table('FolderDataset', *folder(tmp_path), attributes='attributes.csv')
    assert [sequence.attributes for sequence in sequences] == [(), ()]
    ((level, message),) = messages
    assert level == 'INFO' and 'attributes.csv' in message


def test_broken_attributes_are_named(tmp_path):
    made.write_text(tmp_path / 'one.txt', ['1,0,1'])
    with pytest.raises(ValueError, match='one.txt has 3 numbers, expected 2'):
        read_attributes(tmp_path, ['one'], ['a', 'b'])
    with pytest.raises(ValueError, match='one.txt: it is not known what .* write a table'):
        read_attributes(tmp_path, ['one'])
    with pytest.raises(FileNotFoundError, match='no table or folder of attributes'):
        read_attributes(tmp_path / 'nothing', ['one'])
    made.write_text(tmp_path / 'table.csv', ['airplane1,x', 'b,y'])
    with pytest.raises(ValueError, match="'airplane1' and 1 more, .* none .* 'airplane-1'"):
        read_attributes(tmp_path / 'table.csv', ['airplane-1'])


def test_attributes_are_looked_at_before_a_test(tmp_path):
    settings = config('FolderDataset', folder(tmp_path)[0], attributes='attributes.csv')
    with logged() as messages:
        check_data_files(settings)
    assert not messages  # that there are none is said when the data set is built
    (tmp_path / 'attributes.csv').write_bytes(b'one,\xff')
    with pytest.raises(ValueError, match='attributes.csv is no text file'):
        check_data_files(settings)


@pytest.mark.parametrize('word', ['2', '-1', 'x', 'nan', '0.5'])
def test_flags_are_small_whole_numbers(tmp_path, word):
    made.write_text(tmp_path / 'flags.txt', ['0, 1.0;0', '', f'1 {word}'])
    with pytest.raises(ValueError, match=f"flags.txt: line 3 has '{word}', expected .* 0 to 1"):
        read_flags(tmp_path / 'flags.txt')
    (tmp_path / 'flags.txt').write_bytes(b'0,1,\xe9')
    with pytest.raises(ValueError, match='flags.txt is no text file'):
        read_flags(tmp_path / 'flags.txt')
    made.write_text(tmp_path / 'flags.txt', ['0, 1.0;0', '1\t8'])
    assert read_flags(tmp_path / 'flags.txt', count=5, highest=8).tolist() == [0, 1, 0, 1, 8]


# --- folders ---------------------------------------------------------------------------------


def folder(root: Path) -> tuple[Path, None]:
    made.make_folder(root)
    return root, None


def test_any_folder_of_sequences(tmp_path):
    one, two = table('FolderDataset', *folder(tmp_path))
    assert (one.name, two.name) == ('one', 'two')
    assert [Path(frame).name for frame in one.frames] == [f'{i}.png' for i in range(1, 13)]
    np.testing.assert_array_equal(one.boxes_xywh, made.boxes_of(12, 1))
    assert two.frames[0].endswith('two/img/0000.jpg') and len(two) == 12
    np.testing.assert_array_equal(two.boxes_xywh, made.boxes_of(1, 2))
    assert one.annotated and not two.annotated and two.visible.all()


@pytest.mark.parametrize('inside', ['img', 'imgs', 'color', 'frames', 'images', '.'])
def test_one_sequence_is_a_folder_of_sequences_as_well(tmp_path, monkeypatch, inside):
    root = tmp_path / 'my car'
    made.write_sequence(root / inside, ['b.JPEG', 'a.bmp', '.a.png', 'a.txt.png'], 1)
    (root / inside / 'Thumbs.db').write_text('no frame')
    made.write_text(root / 'groundtruth.txt', ['1 2 3 4'])
    (sequence,) = table('FolderDataset', root)
    assert sequence.name == 'my car'
    assert [Path(frame).name for frame in sequence.frames] == ['a.bmp', 'a.txt.png', 'b.JPEG']
    monkeypatch.chdir(root)
    assert table('FolderDataset', Path())[0].name == 'my car'


def test_frames_are_sorted_as_people_do():
    names = ['f10.jpg', 'F2.jpg', 'f2b.jpg', 'f1_10.jpg', 'f1_9.jpg', '12.jpg', '012.jpg', '3.jpg']
    expected = [
        '3.jpg',
        '012.jpg',
        '12.jpg',
        'f1_9.jpg',
        'f1_10.jpg',
        'F2.jpg',
        'f2b.jpg',
        'f10.jpg',
    ]
    assert sorted(names, key=natural_key) == expected


def test_absent_targets_of_a_folder(tmp_path):
    made.write_sequence(tmp_path, made.numbered(4, 1), 1)
    made.write_text(
        tmp_path / 'groundtruth.txt', ['1,2,3,4', 'nan,nan,nan,nan', '0,0,0,0', '1,2,3,4']
    )
    (sequence,) = table('FolderDataset', tmp_path)
    assert sequence.has_box.tolist() == [True, False, False, True]


def test_folders_that_are_no_sequences_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder of sequences'):
        find_sequences(tmp_path / 'nothing')
    with pytest.raises(ValueError, match='has no sequence: expected folders with frames'):
        find_sequences(tmp_path)
    made.make_folder(tmp_path)
    settings = config('FolderDataset', tmp_path)
    check_data_files(settings)
    made.write_sequence(tmp_path / 'three' / 'img', ['1.jpg'], 3)
    with pytest.raises(
        FileNotFoundError, match='three/img has frames, but .*three/groundtruth.txt'
    ):
        check_data_files(settings)
    made.write_text(tmp_path / 'three' / 'groundtruth.txt', ['1,2,3,4'])
    assert [each.name for each in find_sequences(tmp_path)] == ['one', 'three', 'two']
    made.write_sequence(tmp_path / 'three' / 'frames', ['1.jpg'], 3)
    with pytest.raises(ValueError, match='three/img and in .*three/frames'):
        check_data_files(settings)
    shutil.rmtree(tmp_path / 'three' / 'frames')
    shutil.rmtree(tmp_path / 'three' / 'img')
    with pytest.raises(FileNotFoundError, match='three has a groundtruth.txt but no frames'):
        check_data_files(settings)


def test_sequences_may_lie_in_folders_of_folders_and_be_links(tmp_path):
    made.make_folder(tmp_path / 'root' / 'b')
    made.make_folder(tmp_path / 'elsewhere')
    (tmp_path / 'root' / 'a').symlink_to(tmp_path / 'elsewhere' / 'two')
    (tmp_path / 'root' / 'c').symlink_to(tmp_path / 'root')  # has no end
    assert [each.name for each in find_sequences(tmp_path / 'root')] == ['a', 'one', 'two']
    assert [each.name for each in table('FolderDataset', tmp_path / 'root')] == ['a', 'one', 'two']
    shutil.copytree(tmp_path / 'root' / 'b' / 'one', tmp_path / 'root' / 'd' / 'one')
    with pytest.raises(ValueError, match='b/one/.* and d/one/.* would both be called one'):
        check_data_files(config('FolderDataset', tmp_path / 'root'))


def test_a_sequence_may_be_called_as_a_folder_of_frames(tmp_path):
    for name in ('images', 'img'):
        made.write_sequence(tmp_path / name, ['1.jpg'], 3)
        made.write_text(tmp_path / name / 'groundtruth.txt', ['1,2,3,4'])
    assert [each.name for each in find_sequences(tmp_path)] == ['images', 'img']
    assert list_frames(tmp_path / 'img') == ['1.jpg']
