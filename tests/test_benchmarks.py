"""Sequences of every benchmark, in the layouts of their publishers and with their oddities."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import benchmark_layouts as made
import numpy as np
import pytest
from benchmark_sets import ALL, config, logged, table
from layouts import make_got10k
from mmtrack.datasets import GOT10kDataset
from mmtrack.registry import DATASETS

from mmtrack_mixformerv2.datasets import check_data_files
from mmtrack_mixformerv2.evaluation import SequenceTable


def by_name(sequences: SequenceTable) -> dict:
    return {sequence.name: sequence for sequence in sequences}


def short(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def lasot(root: Path, **prefix: str) -> SequenceTable:
    """Two sequences of LaSOT."""
    lines = made.make_lasot(root, names=('airplane-1', 'yoyo-7'))
    return table('LaSOTTestDataset', root, lines, img_path='LaSOTBenchmark', **prefix)


@pytest.mark.parametrize('benchmark', ALL)
def test_sequences_have_different_names_and_all_their_frames(tmp_path, capfd, benchmark):
    kind, make, options, img_path = ALL[benchmark]
    lines = make(tmp_path, **options)
    settings = config(kind, tmp_path, None if kind == 'FolderDataset' else lines, img_path=img_path)
    check_data_files(settings)
    dataset = DATASETS.build(settings)
    assert 'oading' not in ''.join(capfd.readouterr())  # as mmtrack says
    sequences = dataset.metainfo['sequences']
    assert len({sequence.name for sequence in sequences}) == len(lines) == len(sequences)
    for index, sequence in enumerate(sequences):
        assert (sequence.name, len(sequence)) == (sequences.name(index), sequences.length(index))
        assert all(Path(frame).is_file() for frame in sequence.frames)
        assert sequence.boxes_xywh.dtype == np.float64
        last = dataset[index, len(sequence) - 1]
        assert last['img_path'] == sequence.frames[-1]
        assert ('bbox' in last['instances'][0]) == sequence.annotated


def test_absent_targets_of_lasot(tmp_path):
    with logged() as messages:
        sequences = list(lasot(tmp_path))
    assert not messages
    for sequence in sequences:
        assert sequence.name in ('airplane-1', 'yoyo-7')
        assert short(sequence.frames[0], tmp_path).endswith(f'{sequence.name}/img/00000001.jpg')
        assert np.flatnonzero(~sequence.visible).tolist() == [3, 5]
        assert np.flatnonzero(~sequence.has_box).tolist() == [3, 5]


def test_missing_files_of_absence_are_said_once_and_boxes_are_visible(tmp_path):
    sequences = table('LaSOTTestDataset', tmp_path, made.make_lasot_ext(tmp_path))
    with logged() as messages:
        for _ in range(2):
            assert sequences[0].visible.tolist() == [i not in (3, 5) for i in range(8)]
            assert sequences[1].visible.tolist() == [i not in (3, 5) for i in range(8)]  # 0,0,0,0
    ((level, message),) = messages
    assert level == 'WARNING'
    for words in ('wingsuit-10', 'full_occlusion.txt', 'out_of_view.txt', 'visible'):
        assert words in message


def test_negative_sizes_in_lasot(tmp_path):
    folder = tmp_path / 'LaSOTBenchmark' / 'airplane' / 'airplane-1'
    sequences = lasot(tmp_path)
    lines = (folder / 'groundtruth.txt').read_text().splitlines()
    lines[3] = '1,1,-1,-1'  # target hidden there
    made.write_text(folder / 'groundtruth.txt', lines)
    assert np.isnan(sequences[0].boxes_xywh[3]).all()
    lines[6] = '10,20,30,-4'
    made.write_text(folder / 'groundtruth.txt', lines)
    with pytest.raises(ValueError, match=r'airplane-1: line 7 has size \[30.0, -4.0\]'):
        sequences[0]


def test_the_known_wrong_line_of_lasot_is_no_box(tmp_path):
    lines = made.make_lasot(tmp_path, names=('tiger-6',), frames=120)
    path = tmp_path / 'LaSOTBenchmark' / 'tiger' / 'tiger-6' / 'groundtruth.txt'
    boxes = path.read_text().splitlines()
    boxes[117] = '613,731,247,-11'
    made.write_text(path, boxes)
    (sequence,) = table('LaSOTTestDataset', tmp_path, lines, img_path='LaSOTBenchmark')
    assert sequence.visible[117] and np.flatnonzero(~sequence.has_box).tolist() == [3, 5, 117]


def test_got10k_has_cover_and_may_lack_its_labels(tmp_path):
    sequences = table('AnnotatedGOT10kDataset', tmp_path, made.make_got10k(tmp_path, 'val'))
    assert sequences[0].name == 'GOT-10k_Val_000001' and sequences[0].annotated
    assert sequences[0].visible.tolist() == [i not in (3, 5) for i in range(8)]
    assert sequences[0].cover.tolist() == [float(i not in (3, 5)) for i in range(8)]
    folder = tmp_path / 'val' / 'GOT-10k_Val_000001'
    with logged() as messages:
        (folder / 'cover.label').unlink()
        assert sequences[0].cover is None and sequences[0].visible.tolist().index(False) == 5
        (folder / 'absence.label').unlink()
        assert sequences[0].visible.all()
    assert [level for level, _ in messages] == ['WARNING'] * 2
    assert 'GOT-10k_Val_000001' in messages[0][1] and 'cover.label' in messages[0][1]


@pytest.mark.parametrize(('label', 'text'), [('cover', '8\n' * 7), ('absence', '0\n' * 7 + '2\n')])
def test_broken_labels_are_named(tmp_path, label, text):
    sequences = table('AnnotatedGOT10kDataset', tmp_path, made.make_got10k(tmp_path, 'val'))
    (tmp_path / 'val' / 'GOT-10k_Val_000002' / f'{label}.label').write_text(text)
    expected = {'cover': 'has 7 numbers, expected 8', 'absence': "line 8 has '2', expected"}[label]
    with pytest.raises(ValueError, match=f'GOT-10k_Val_000002/{label}.label.*{expected}'):
        sequences[1]


def test_sets_of_servers_have_the_first_box_only(tmp_path):
    got10k = table('GOT10kTestDataset', tmp_path / 'g', made.make_got10k(tmp_path / 'g', 'test'))
    trackingnet = table(
        'TrackingNetTestDataset', tmp_path / 't', made.make_trackingnet(tmp_path / 't')
    )
    for sequences, first in ((got10k, '00000001.jpg'), (trackingnet, '0.jpg')):
        for sequence in sequences:
            assert sequence.boxes_xywh.shape == (1, 4) and not sequence.annotated
            assert sequence.visible.shape == (len(sequence),) and sequence.visible.all()
            assert Path(sequence.frames[0]).name == first
    assert [sequence.name for sequence in trackingnet] == ['-3TIfnTSM6c_2', '0-6LB4FqxoE_0']
    assert Path(trackingnet[0].frames[-1]).name == '11.jpg'


def test_sequences_of_uav123_may_share_a_folder(tmp_path):
    sequences = by_name(table('UAV123TestDataset', tmp_path, made.make_uav123(tmp_path)))
    assert list(sequences) == ['bird1_1', 'bird1_2', 'uav6']
    late = sequences['bird1_2']
    assert short(late.frames[0], tmp_path) == 'data_seq/UAV123/bird1/000775.jpg'
    assert len(late) == 1477 - 775 + 1 and np.flatnonzero(~late.has_box).tolist() == [2, 3]
    assert late.visible.all()  # it says nothing else
    expected = made.boxes_of(1477, len('bird1'))[774:]
    np.testing.assert_array_equal(late.boxes_xywh[4:], expected[4:])


def test_oddities_of_otb100(tmp_path):
    sequences = by_name(table('OTB100TestDataset', tmp_path, made.make_otb100(tmp_path)))
    first = {name: Path(sequence.frames[0]).name for name, sequence in sequences.items()}
    assert first == {
        'Board': '00001.jpg',
        'David': '0300.jpg',
        'Deer': '0001.jpg',
        'Human4-2': '0001.jpg',
        'Jogging-1': '0001.jpg',
        'Jogging-2': '0001.jpg',
        'Tiger1': '0006.jpg',
    }
    assert len(sequences['David']) == 471 and len(sequences['Tiger1']) == 349
    for name, start in (('Tiger1', 6), ('David', 300), ('Board', 1), ('Jogging-2', 1)):
        sequence, seed = sequences[name], len(name.split('-')[0])
        expected = made.boxes_of(start - 1 + len(sequence), seed)[start - 1 :]
        np.testing.assert_array_equal(sequence.boxes_xywh, expected)


def test_frames_of_tnl2k_have_any_name(tmp_path):
    with logged() as messages:
        sequences = list(table('TNL2KTestDataset', tmp_path, made.make_tnl2k(tmp_path)))
    ((level, message),) = messages
    assert level == 'WARNING' and 'absent' in message
    names = [[Path(frame).name for frame in sequence.frames] for sequence in sequences]
    assert [files[0] for files in names] == ['00000001.png', '1.jpg', 'img_0000.jpg', '00031.png']
    assert names[1] == [f'{i}.jpg' for i in range(1, 13)]  # not 1, 10, 11, 12, 2
    for seed, sequence in enumerate(sequences):
        np.testing.assert_array_equal(sequence.boxes_xywh, made.boxes_of(12, seed))
        assert sequence.visible.all()


def test_missing_frames_of_tnl2k_are_named(tmp_path):
    sequences = table('TNL2KTestDataset', tmp_path, made.make_tnl2k(tmp_path))
    Path(sequences[0].frames[4]).unlink()
    with pytest.raises(ValueError, match=r'imgs has 11 frames, but Fight_video_6-Done should .*12'):
        sequences[0]


def test_a_frame_too_many_would_move_the_others(tmp_path):
    sequences = table('TNL2KTestDataset', tmp_path, made.make_tnl2k(tmp_path))
    frame = Path(sequences[0].frames[0])
    shutil.copy(frame, frame.with_name(f'0_{frame.name}'))
    with pytest.raises(ValueError, match='imgs has 13 frames, but Fight_video_6-Done should .*12'):
        sequences[0]


def test_absent_targets_of_tnl2k(tmp_path):
    lines = made.make_tnl2k(tmp_path)
    for line in lines[:3]:
        name = line.split('/')[0]
        made.write_text(tmp_path / 'annos' / 'absent' / f'{name}.txt', [0] * 9 + [1, 1, 0])
    sequences = table('TNL2KTestDataset', tmp_path, lines, absent='annos/absent')
    with logged() as messages:
        absent = [np.flatnonzero(~sequence.visible).tolist() for sequence in sequences]
    assert absent == [[9, 10]] * 3 + [[]]
    ((_, message),) = messages
    assert message.startswith('test_015_Sord_video_Q01_done: there is no')


@pytest.mark.parametrize('fps', [30, 240])
@pytest.mark.parametrize('more', [0, 1])  # some files have a line more than there are frames
def test_nfs_as_published(tmp_path, fps, more):
    lines = made.make_nfs(tmp_path, fps, frames=33)
    path = tmp_path / 'Gymnastics' / str(fps) / 'Gymnastics.txt'
    text = path.read_text()
    if more:
        path.write_text(text + '0 1 2 3 4 34 0 0 1 "the target"\n' * (7 if fps == 30 else 1))
        path.write_text(number_frames(path.read_text(), first=0))
    sequence = table('NfSTestDataset', tmp_path, lines)[0]
    frames = 5 if fps == 30 else 33
    assert sequence.name == 'Gymnastics' and len(sequence) == frames
    assert Path(sequence.frames[-1]).name == f'{frames:05d}.jpg'
    np.testing.assert_array_equal(sequence.boxes_xywh, made.boxes_of(frames, 0))
    assert np.flatnonzero(~sequence.visible).tolist() == [2 if fps == 30 else 16]


def number_frames(text: str, first: int) -> str:
    """Lines of NfS with other numbers of frames."""
    lines = [line.split(maxsplit=6) for line in text.splitlines()]
    return '\n'.join(
        ' '.join([*line[:5], str(number), line[6]]) for number, line in enumerate(lines, first)
    )


def test_nfs_as_repacked(tmp_path):
    made.write_sequence(tmp_path / 'sequences' / 'bee', made.numbered(12, 5), 3)
    made.write_text(tmp_path / 'anno/nfs_bee.txt', made.rows(made.boxes_of(12, 3), '\t'))
    sequence = table('NfSTestDataset', tmp_path, ['sequences/bee,anno/nfs_bee.txt,1,12'])[0]
    assert sequence.name == 'bee' and sequence.visible.all()
    np.testing.assert_array_equal(sequence.boxes_xywh, made.boxes_of(12, 3))


def test_broken_annotations_of_nfs_are_named(tmp_path):
    sequences = table('NfSTestDataset', tmp_path, made.make_nfs(tmp_path, 30))
    path = tmp_path / 'bee' / '30' / 'bee.txt'
    good = path.read_text().splitlines()
    for line, words, message in (
        (5, '0 1 2 x 4 6 0 0 0 "bee"', "line 6 is '0 1 2 x 4"),
        (5, '5', "line 6 is '5', expected track xmin"),
        (5, '0 9 2 3 4 6 0 0 0 "bee"', 'line 6 has its corners the wrong way round'),
        (5, '0 1 2 nan 4 6 0 0 0 "bee"', 'line 6 has corners'),
        (5, '0 1 2 3 4 7 0 0 0 "bee"', 'line 6 goes on with frame 7 after frame 5'),
    ):
        made.write_text(path, [*good[:line], words, *good[line + 1 :]])
        with pytest.raises(ValueError, match=message):
            sequences[1]
    made.write_text(path, good[:20])
    with pytest.raises(ValueError, match='20 lines.* 3 at 30 frames/s; the sequence has 5 frames'):
        sequences[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'bee\.txt'):
        sequences[1]


def test_training_with_got10k_is_as_with_mmtrack(tmp_path):
    make_got10k(tmp_path)
    settings = {
        'ann_file': str(tmp_path / 'annotations' / 'got10k_train_infos.txt'),
        'data_prefix': {'img_path': str(tmp_path)},
    }
    theirs = GOT10kDataset(**settings)
    ours = DATASETS.build({'type': 'AnnotatedGOT10kDataset', **settings})
    assert len(ours) == len(theirs) == 2 and ours.metainfo == theirs.metainfo
    for video in range(2):
        for key, value in theirs.get_ann_infos_from_video(video).items():
            np.testing.assert_array_equal(ours.get_ann_infos_from_video(video)[key], value)
        frames = [each.get_img_infos_from_video(video)['img_paths'] for each in (ours, theirs)]
        assert frames[0] == frames[1]


def test_the_order_of_frames_does_not_matter(tmp_path):
    dataset = lasot(tmp_path).dataset
    one_by_one = [dataset[video, frame] for video in (0, 1) for frame in range(8)]
    copy = pickle.loads(pickle.dumps(dataset))  # as a worker gets it
    turns = {(video, frame): copy[video, frame] for frame in range(8) for video in (0, 1)}
    for one, turn in zip(one_by_one, (turns[video, f] for video in (0, 1) for f in range(8))):
        assert one['img_path'] == turn['img_path'] and one['video_length'] == 8
        np.testing.assert_array_equal(one['instances'][0]['bbox'], turn['instances'][0]['bbox'])
        assert one['instances'][0]['visible'] == turn['instances'][0]['visible']
    for path in (tmp_path / 'LaSOTBenchmark').rglob('groundtruth.txt'):
        path.unlink()
    assert copy[0, 1]['img_path'] != copy[1, 1]['img_path']  # read before, and at hand
