"""Info files: the sequences of each publisher's layout are listed, and data sets read them."""

from __future__ import annotations

from pathlib import Path

import benchmark_layouts as made
import numpy as np
import pytest
from mmtrack.registry import DATASETS

from mmtrack_mixformerv2.datasets.info_files import (
    BENCHMARKS,
    convert,
    describe,
    write_info_file,
)
from mmtrack_mixformerv2.datasets.info_files.entries import read_table
from mmtrack_mixformerv2.evaluation import SequenceTable

# benchmark and split: what makes it, its options, class, folder of the images
CASES = {
    ('lasot', 'test'): (
        made.make_lasot,
        {'names': ('airplane-1', 'yoyo-7')},
        'LaSOTTestDataset',
        'LaSOTBenchmark',
    ),
    ('lasot_ext', 'test'): (made.make_lasot_ext, {}, 'LaSOTTestDataset', ''),
    ('got10k', 'val'): (made.make_got10k, {}, 'AnnotatedGOT10kDataset', ''),
    ('got10k', 'test'): (made.make_got10k, {'split': 'test'}, 'GOT10kTestDataset', ''),
    ('trackingnet', 'test'): (made.make_trackingnet, {}, 'TrackingNetTestDataset', ''),
    ('uav123', 'test'): (made.make_uav123, {}, 'UAV123TestDataset', ''),
    ('otb100', 'test'): (made.make_otb100, {}, 'OTB100TestDataset', ''),
    ('tnl2k', 'test'): (made.make_tnl2k, {}, 'TNL2KTestDataset', ''),
    ('nfs30', 'test'): (made.make_nfs, {'fps': 30}, 'NfSTestDataset', ''),
    ('nfs240', 'test'): (made.make_nfs, {'fps': 240}, 'NfSTestDataset', ''),
    ('folder', 'test'): (made.make_folder, {}, 'FolderDataset', ''),
}


def converted(benchmark: str, root: Path, split: str = 'test', **options):
    return convert(benchmark, root, split, progress=False, **options)


def lines_of(conversion) -> list[str]:
    return [item.line for item in conversion.sound]


@pytest.mark.parametrize('case', CASES, ids=' '.join)
def test_published_layout_is_listed_and_read(tmp_path, case):
    make, options, kind, img_path = CASES[case]
    expected = make(tmp_path, **options)
    conversion = converted(case[0], tmp_path, case[1])
    assert lines_of(conversion) == expected
    # The tiny data lack most sequences, which is said; but nothing that is there is broken.
    assert {item.name for item in conversion.broken} <= {'bird1_3'}  # shares a folder with others

    settings = {'type': kind, 'data_root': str(tmp_path), 'pipeline': [], 'test_mode': True}
    if case[0] != 'folder':
        settings['ann_file'] = 'infos.txt'
        assert write_info_file(conversion, tmp_path / 'infos.txt')
    table = SequenceTable(DATASETS.build({**settings, 'data_prefix': {'img_path': img_path}}))
    assert [table.name(i) for i in range(len(table))] == [item.name for item in conversion.sound]
    for sequence, item in zip(table, conversion.sound):
        assert len(sequence) == item.frames
        assert all(Path(path).is_file() for path in sequence.frames)
        assert sequence.has_box[0]


def test_training_sets(tmp_path):
    lasot = made.make_lasot(tmp_path / 'lasot')
    assert lines_of(converted('lasot', tmp_path / 'lasot', 'train')) == [lasot[1]]
    assert lines_of(converted('lasot', tmp_path / 'lasot', 'all')) == lasot
    got10k = made.make_got10k(tmp_path / 'got10k', 'train', videos=3)
    assert lines_of(converted('got10k', tmp_path / 'got10k', 'train')) == got10k
    kept = converted('got10k', tmp_path / 'got10k', 'train_vot', exclude=['GOT-10k_Train_000002'])
    assert lines_of(kept) == [got10k[0], got10k[2]]
    chunks = [
        made.make_trackingnet(tmp_path / 'trackingnet', f'TRAIN_{number}', [f'{number}_x'])
        for number in (0, 11)
    ]
    train = converted('trackingnet', tmp_path / 'trackingnet', 'train')
    assert lines_of(train) == [*chunks[0], *chunks[1]]
    assert 'TRAIN_1, TRAIN_2' in train.notes[0]
    assert train.problems == [
        'number of sequences: 1, but TRAIN_0 has 2511',
        'number of sequences: 1, but TRAIN_11 has 2511',
    ]


def test_lists_of_lasot_are_those_of_the_publisher_where_they_are_missing(tmp_path):
    made.make_lasot(tmp_path)
    (tmp_path / 'LaSOTBenchmark' / 'testing_set.txt').unlink()
    test = converted('lasot', tmp_path, 'test')
    assert [item.name for item in test.sound] == ['airplane-1', 'yoyo-7']
    assert test.problems[0].startswith('missing sequences: airplane-13, ')
    assert test.problems[0].endswith(' and 248 more (278 of 280 in the list)')
    train = converted('lasot', tmp_path, 'train')
    assert [item.name for item in train.sound] == ['airplane-2']
    assert train.problems[0].endswith(' (1119 of 1120 in the list)')
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'testing_set.txt').write_text('yoyo-7\r\n\r\n')
    assert [item.name for item in converted('lasot', tmp_path, 'test').sound] == ['yoyo-7']


def test_repacked_nfs(tmp_path):
    for prefix in ('nfs_', ''):
        root = tmp_path / f'with{prefix}'
        made.write_sequence(root / 'sequences' / 'zebra_fish', made.numbered(5, 5), 3)
        boxes = made.rows(made.boxes_of(5, 3), '\t')
        made.write_text(root / 'anno' / f'{prefix}zebra_fish.txt', boxes)
        annotation = f'anno/{prefix}zebra_fish.txt'
        expected = [f'sequences/zebra_fish,{annotation},1,5']
        assert lines_of(converted('nfs30', root)) == expected


def test_nfs_annotation_that_ends_one_frame_early(tmp_path):
    made.make_nfs(tmp_path, 30, names=['bee'], frames=33)  # frames 1, 9, ..., 33
    annotation = tmp_path / 'bee' / '30' / 'bee.txt'
    made.write_text(annotation, annotation.read_text().splitlines()[:32])
    conversion = converted('nfs30', tmp_path)
    assert lines_of(conversion) == ['bee/30/bee,bee/30/bee.txt,1,4']
    assert 'the last frame is left out' in conversion.checked[0].notes[0]


def test_single_sequence_is_a_folder_of_its_own(tmp_path):
    made.make_folder(tmp_path)
    conversion = converted('folder', tmp_path / 'two')
    assert lines_of(conversion) == ['img,groundtruth.txt,1,12']
    assert conversion.checked[0].name == 'two'


def test_tables_of_facts():
    uav123 = read_table('uav123')
    lengths = [int(row['last']) - int(row['first']) + 1 for row in uav123]
    assert (len(uav123), sum(lengths)) == (123, 112_578)  # the paper's numbers
    otb100 = read_table('otb100')
    lengths = [int(row['last']) - int(row['first']) + 1 for row in otb100]
    assert (len(otb100), sum(lengths)) == (100, 59_040 - 5)  # the paper's, and Tiger1's skipped 5
    assert len({row['folder'] for row in otb100}) == 98
    parts = [(row['part'], len(row['videos'].split())) for row in read_table('lasot')]
    assert parts.count(('test', 4)) == 70 and parts.count(('ext', 10)) == 15 and len(parts) == 85
    assert len({row['name'] for row in read_table('nfs')}) == 100


def test_whole_benchmark_is_sound_and_described(tmp_path):
    made.make_got10k(tmp_path)
    conversion = converted('got10k', tmp_path, 'val', workers=3, decode=True)
    assert conversion.is_whole
    assert describe(conversion) == (
        'got10k val: sound sequences: 2, their frames: 16, broken sequences: 0, problems: 0'
    )


def test_what_stands_for_no_target_is_counted(tmp_path):
    made.make_uav123(tmp_path)
    assert 'NaN boxes: 6 (sequences: 3)' in describe(converted('uav123', tmp_path))
    made.make_nfs(tmp_path / 'nfs')
    assert 'frames with a lost target: 1 (sequences: 1)' in describe(
        converted('nfs240', tmp_path / 'nfs')
    )
    made.make_lasot(tmp_path / 'lasot')
    folder = tmp_path / 'lasot' / 'LaSOTBenchmark' / 'airplane' / 'airplane-1'
    boxes = made.boxes_of(8, 0)
    boxes[3] = 1, 1, -1, -1  # as published; the target is occluded there
    boxes[5] = 500, 0, 5, 5  # out of view
    made.write_text(folder / 'groundtruth.txt', made.rows(boxes))
    conversion = converted('lasot', tmp_path / 'lasot')
    assert conversion.is_whole
    assert describe(conversion).splitlines()[:3] == [
        'boxes of negative size: 1 (sequences: 1)',
        'boxes outside of the image: 1 (sequences: 1)',
        'boxes without size: 2 (sequences: 1)',
    ]


def test_known_mistake_of_lasot_is_accepted(tmp_path):
    made.make_lasot(tmp_path, names=['tiger-6'], frames=130)
    folder = tmp_path / 'LaSOTBenchmark' / 'tiger' / 'tiger-6'
    boxes = made.boxes_of(130, 0)
    boxes[117] = 613, 731, 247, -11
    made.write_text(folder / 'groundtruth.txt', made.rows(boxes))
    assert converted('lasot', tmp_path).is_whole
    boxes[118] = boxes[117]
    made.write_text(folder / 'groundtruth.txt', made.rows(boxes))
    (item,) = converted('lasot', tmp_path).broken
    assert 'line 119 has size' in item.problems[0] and 'line 118' not in item.problems[0]


def test_boxes_of_training_videos_may_be_none(tmp_path):
    made.make_got10k(tmp_path, 'train', videos=1)
    path = tmp_path / 'train' / 'GOT-10k_Train_000001' / 'groundtruth.txt'
    boxes = made.boxes_of(8, 1).astype(float)
    boxes[0], boxes[1], boxes[2] = -1, (5, 5, -3, 4), np.nan
    made.write_text(path, made.rows(boxes))
    conversion = converted('got10k', tmp_path, 'train')
    assert conversion.is_whole
    assert conversion.checked[0].counts['boxes of negative size'] == 2
    assert 'line 1 has no box' in conversion.checked[0].notes[0]


def test_every_benchmark_names_its_info_file_as_configs_do():
    configs = Path(__file__).parents[1] / 'configs' / '_base_' / 'datasets'
    text = ''.join(path.read_text() for path in configs.glob('*.py'))
    for benchmark in BENCHMARKS.values():
        for split, name in benchmark.splits.items():
            if name and split != 'all':
                assert f'annotations/{name}_infos.txt' in text
