"""Samples of the score stage: which frames, how many are negative, what the label says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import layouts
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmtrack.structures import TrackDataSample
from torch.utils.data import DataLoader

from mmtrack_mixformerv2.datasets import (
    LoadFrames,
    SampledTripletDataset,
    SampleKey,
    SampleKeySampler,
    ScoreTripletDataset,
    describe_sample,
)
from mmtrack_mixformerv2.datasets.sampled_dataset import VideoAnnotations
from mmtrack_mixformerv2.datasets.score_dataset import draw_trident_frames

PIPELINE = [
    dict(type='LoadFrames'),
    dict(type='JointFlip'),
    dict(type='CropTemplatesAndSearch', template_size=32, search_size=64),
    dict(type='CropBrightness'),
    dict(type='CropFlip'),
    dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=2),
]
GOT10K, TRACKINGNET, COCO = range(3)
HIDDEN = {3, 5}  # frames of every video of GOT-10k, see layouts.py


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    """Videos with hidden frames, videos without, and images."""
    folder = tmp_path_factory.mktemp('data')
    layouts.make_got10k(folder / 'GOT10k', videos=3)
    layouts.make_trackingnet(folder / 'TrackingNet')
    layouts.make_coco(folder / 'coco')
    configs = [
        dict(
            type='GOT10kDataset',
            data_root=str(folder / 'GOT10k'),
            ann_file='annotations/got10k_train_infos.txt',
            data_prefix=dict(img_path=''),
            serialize_data=False,
        ),
        dict(
            type='TrackingNetDataset',
            data_root=str(folder / 'TrackingNet'),
            ann_file='annotations/trackingnet_train_infos.txt',
            data_prefix=dict(img_path=''),
            serialize_data=False,
        ),
        dict(
            type='SOTCocoDataset',
            data_root=str(folder / 'coco'),
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img_path='train2017'),
        ),
    ]
    return ScoreTripletDataset(configs, []).datasets


def samples(dataset, count=200, epoch=0):
    return [dataset[SampleKey(0, epoch, index)] for index in range(count)]


def label_of(results) -> int:
    return int(results['gt_bboxes_labels'][-1][0])


def video(length=60, visible=None, without_box=()):
    boxes = np.tile(np.array([[10, 10, 20, 20]], np.float32), (length, 1))
    boxes[list(without_box)] = 0
    visible = np.arange(length) if visible is None else np.array(visible)
    return VideoAnnotations(boxes, visible.astype(np.int32))


def trident(annotations, num_templates=2, max_gap=200, count=400):
    rng = np.random.default_rng(0)
    return [
        draw_trident_frames(rng, annotations, num_templates, max_gap=max_gap) for _ in range(count)
    ]


def test_the_other_templates_are_on_the_side_of_the_first_one():
    frames = trident(video(), num_templates=3, max_gap=10)
    for first, *others, search in frames:
        low, high = (search, search + 10) if first >= search else (search - 10, search)
        assert all(max(low, 0) <= other <= min(high, 59) for other in others)
    offsets = {other - search for _, *others, search in frames for other in others}
    assert offsets == set(range(-10, 11))
    assert any(first == search for first, *_, search in frames)
    assert {first > search for first, *_, search in frames} == {True, False}
    firsts, searches = ({frame[i] for frame in frames} for i in (0, -1))
    assert len(firsts) == len(searches) == 60  # any two frames, however far apart


def test_only_the_first_template_and_the_search_must_show_the_target():
    visible = [frame for frame in range(60) if frame % 3]
    frames = trident(video(visible=visible, without_box=[30, 33]), num_templates=3)
    shown, others = set(), set()
    for first, *rest, search in frames:
        shown |= {first, search}
        others.update(rest)
    assert shown == set(visible)
    assert others == set(range(60)) - {30, 33}


def test_one_visible_frame_is_enough():
    frames = trident(video(visible=[7]), max_gap=1)
    assert {(first, search) for first, _, search in frames} == {(7, 7)}
    assert {other for _, other, _ in frames} == {7, 8}
    assert {len(frames) for frames in trident(video(), num_templates=1)} == {2}


def test_half_of_the_samples_are_negative_whatever_is_rejected(sets):
    def reject_most_negatives(results):
        return None if label_of(results) == 0 and results['rng'].random() < 0.9 else results

    dataset = ScoreTripletDataset(sets, [reject_most_negatives])
    assert abs(sum(map(label_of, samples(dataset, 400))) - 200) < 45
    dataset = ScoreTripletDataset(sets, [], negative_prob=0.25)
    assert abs(sum(map(label_of, samples(dataset, 400))) - 300) < 40
    for prob, label in ((0, 1), (1, 0)):
        dataset = ScoreTripletDataset(sets, [], negative_prob=prob)
        assert {label_of(results) for results in samples(dataset, 40)} == {label}


def test_positive_samples_show_one_target(sets):
    drawn = set()
    for results in samples(ScoreTripletDataset(sets, [], negative_prob=0, num_templates=3), 300):
        assert [int(label[0]) for label in results['gt_bboxes_labels']] == [1] * 4
        assert len(set(zip(results['dataset_id'], results['video_id']))) == 1
        frames = results['frame_id']
        if results['dataset_id'][0] == GOT10K:
            assert not {frames[0], frames[-1]} & HIDDEN
            drawn.update(frames)
        if results['dataset_id'][0] == COCO:
            assert len(set(results['img_path'])) == 1
    assert drawn >= HIDDEN  # as one of the other templates


def test_a_video_that_hides_its_target_is_its_own_negative(sets):
    weights = np.eye(3)[GOT10K]
    searches = set()
    for results in samples(ScoreTripletDataset(sets, [], weights=weights, negative_prob=1)):
        assert len(set(results['video_id'])) == 1 and set(results['dataset_id']) == {GOT10K}
        assert results['gt_bboxes'][-1] is None
        assert all(boxes.shape == (1, 4) for boxes in results['gt_bboxes'][:-1])
        assert [int(label[0]) for label in results['gt_bboxes_labels']] == [1, 1, 0]
        frame, path = results['frame_id'][-1], results['img_path'][-1]
        searches.add(frame)
        assert path.endswith(f'_{results["video_id"][-1] + 1:06d}/{frame + 1:08d}.jpg')
    assert searches == HIDDEN


def test_hidden_targets_are_looked_for_where_they_were_last(sets):
    weights, last_seen = np.eye(3)[GOT10K], {3: 2, 5: 4}
    dataset = ScoreTripletDataset(
        sets, [], weights=weights, negative_prob=1, hidden_box='last_seen'
    )
    for results in samples(dataset, 40):
        boxes = dataset.annotations(GOT10K, results['video_id'][-1]).boxes
        frame = last_seen[results['frame_id'][-1]]
        np.testing.assert_array_equal(results['gt_bboxes'][-1], boxes[frame : frame + 1])


def test_a_target_that_was_never_seen_is_looked_for_in_the_middle(sets):
    dataset = ScoreTripletDataset(sets, [], hidden_box='last_seen')
    boxes = np.ones((4, 4), np.float32)
    assert dataset._box_where_hidden(boxes, np.array([2, 3]), 1) is None


@pytest.mark.parametrize('kind', [TRACKINGNET, COCO])
def test_other_negatives_show_the_target_of_another_sequence(sets, kind):
    weights = np.eye(3)[kind] * 3 + 1  # mostly, so that many pairs are of this kind
    origins = Counter()
    for results in samples(ScoreTripletDataset(sets, [], weights=weights, negative_prob=1), 600):
        templates, search = ((results['dataset_id'][i], results['video_id'][i]) for i in (0, -1))
        if templates[0] == GOT10K:
            continue
        assert templates != search
        frame = results['frame_id'][-1]
        boxes = sets[search[0]].get_ann_infos_from_video(search[1])['bboxes']
        images = sets[search[0]].get_img_infos_from_video(search[1])
        np.testing.assert_array_equal(results['gt_bboxes'][-1][0], boxes[frame])
        assert results['img_path'][-1] == images['img_paths'][frame]
        assert results['video_length'][-1] == images['video_length']
        origins[search[0]] += 1
    shares = np.array([origins[i] for i in range(3)]) / sum(origins.values())
    # Of the favoured set a part is left out, that of the templates' own sequence.
    assert (shares > 0.1).all() and shares.argmax() == kind


def test_negatives_without_a_box_are_drawn_again(sets, monkeypatch):
    coco = sets[COCO]
    whole = type(coco).get_bboxes_from_video

    def one_without_size(self, video):
        return whole(self, video) * (0 if video == 0 else 1)

    monkeypatch.setattr(type(coco), 'get_bboxes_from_video', one_without_size)
    dataset = ScoreTripletDataset([coco], [], negative_prob=1)
    drawn = {(results['video_id'][0], results['video_id'][-1]) for results in samples(dataset, 40)}
    assert drawn == {(1, 2), (2, 1)}


def test_a_box_is_made_up_in_the_middle(tmp_path):
    layouts.write_frames(tmp_path / 'frames', ['a.png'], seed=0)
    path = str(tmp_path / 'frames' / 'a.png')
    boxes = [np.ones((1, 4), np.float32), None]
    results = LoadFrames().transform(dict(img_path=[path] * 2, gt_bboxes=list(boxes)))
    assert results['gt_bboxes'][0] is boxes[0]
    assert results['gt_bboxes'][1].dtype == np.float32
    assert results['gt_bboxes'][1].tolist() == [[42, 31.5, 54, 40.5]]  # 12 x 9 of 96 x 72
    results = LoadFrames(middle_box=0.5).transform(dict(img_path=[path] * 2, gt_bboxes=boxes))
    assert results['gt_bboxes'][1].tolist() == [[24, 18, 72, 54]]
    with pytest.raises(ValueError, match='middle_box must be positive, got 0'):
        LoadFrames(middle_box=0)


def test_labels_arrive_in_packed_samples(sets):
    dataset = ScoreTripletDataset(sets, PIPELINE)
    raw = ScoreTripletDataset(sets, [])
    seen = set()
    for index in range(60):
        key = SampleKey(0, 0, index)
        packed, expected = dataset[key], label_of(raw[key])
        labels = packed['data_samples'].search_gt_instances.labels
        assert labels.shape == (1,) and not labels.dtype.is_floating_point
        assert int(labels[0]) == expected
        assert packed['data_samples'].gt_instances.labels.tolist() == [1, 1]
        assert packed['inputs']['search_img'].shape == (1, 3, 64, 64)
        boxes = packed['data_samples'].search_gt_instances.bboxes
        assert boxes.shape == (1, 4) and (boxes[:, 2:] > boxes[:, :2]).all()
        seen.add(expected)
    assert seen == {0, 1}


def content(sample) -> tuple:
    data = sample['data_samples']
    return (
        sample['inputs']['img'].numpy().tobytes(),
        sample['inputs']['search_img'].numpy().tobytes(),
        data.search_gt_instances.bboxes.numpy().tobytes(),
        int(data.search_gt_instances.labels[0]),
        describe_sample(data),
    )


def test_samples_are_a_function_of_their_key(sets):
    dataset = ScoreTripletDataset(sets, PIPELINE)
    first = [content(sample) for sample in samples(dataset, 8)]
    assert len(set(first)) == 8
    dataset[SampleKey(9, 9, 9)]  # what was drawn in between does not matter
    np.random.seed(1)
    assert [content(sample) for sample in reversed(samples(dataset, 8))] == first[::-1]
    sampler = SampleKeySampler(samples_per_epoch=8, seed=0)
    loader = DataLoader(
        ScoreTripletDataset(sets, PIPELINE),
        batch_size=4,
        sampler=sampler,
        num_workers=2,
        collate_fn=list,
    )
    assert [content(sample) for batch in loader for sample in batch] == first
    assert [content(sample) for sample in samples(dataset, 8, epoch=1)] != first


@pytest.mark.parametrize(
    ('kind', 'settings', 'message'),
    [
        ('all', dict(negative_prob=1.5), r'negative_prob must be in \[0, 1\], got 1.5'),
        ('all', dict(weights=[1]), 'one weight per dataset'),
        ('all', dict(hidden_box='left'), "hidden_box is 'left', expected one of middle, last_seen"),
        ('one', dict(), 'negative samples need a second sequence'),
    ],
)
def test_settings_that_cannot_work_are_refused(sets, tmp_path, kind, settings, message):
    if kind == 'one':
        root = layouts.make_got10k(tmp_path / 'GOT10k', videos=1)
        sets = [
            type(sets[0])(
                data_root=str(root),
                ann_file='annotations/got10k_train_infos.txt',
                data_prefix=dict(img_path=''),
                serialize_data=False,
            )
        ]
        assert ScoreTripletDataset(sets, [], negative_prob=0)[SampleKey(0, 0, 0)]
    with pytest.raises(ValueError, match=message):
        ScoreTripletDataset(sets, [], **settings)


def test_every_sample_says_who_it_is(sets):
    dataset = ScoreTripletDataset(sets, PIPELINE, negative_prob=1)
    batch = pseudo_collate(samples(dataset, 12))
    raw = ScoreTripletDataset(sets, [], negative_prob=1)
    for index, sample in enumerate(batch['data_samples']):
        sample = sample.to('cpu')  # a copy, as the data preprocessor makes one
        assert sample.sample_key == SampleKey(0, 0, index)
        results = raw[sample.sample_key]
        assert sample.dataset_id == results['dataset_id'][0]
        assert sample.search_dataset_id == results['dataset_id'][-1]
        said = describe_sample(sample)
        assert said.startswith(f'sample (seed 0, epoch 0, index {index}), label 0, templates: ')
        for path in results['img_path']:
            assert path in said
        templates, search = said.split(', search: ')
        first, second, last = results['frame_id']
        origin = f'dataset {results["dataset_id"][0]}, video {results["video_id"][0]}'
        assert f'{origin}, frame {first} and {second}, ' in templates
        target = f'dataset {results["dataset_id"][-1]}, video {results["video_id"][-1]}'
        assert search.startswith(f'{target}, frame {last}, ')


def test_causal_samples_say_who_they_are(sets):
    pipeline = [*PIPELINE[:-1], {**PIPELINE[-1], 'num_template_frames': 1}]
    dataset = SampledTripletDataset(sets, pipeline, num_templates=1)
    sample = dataset[(3, 2, 1)]['data_samples']
    assert sample.sample_key == SampleKey(3, 2, 1)
    said = describe_sample(sample)
    assert 'label' not in said and sample.img_path in said and sample.search_img_path in said


def test_a_sample_of_another_dataset_is_named_by_its_files():
    sample = TrackDataSample(metainfo=dict(img_path='a.jpg'))
    assert describe_sample(sample) == 'sample, templates: a.jpg, search: unknown'
    sample.search_gt_instances = InstanceData()
    assert 'label' not in describe_sample(sample)


@pytest.mark.parametrize(
    ('name', 'parent'),
    [
        ('got10k-lasot-trackingnet-coco_score_train', 'got10k-lasot-trackingnet-coco_train'),
        ('synthetic_micro_score_train', 'synthetic_micro_train'),
    ],
)
def test_the_score_configs_change_the_sampling_only(name, parent):
    root = Path(__file__).resolve().parents[1] / 'configs' / '_base_' / 'datasets'
    changed, before = (
        Config.fromfile(root / f'{file}.py').train_dataloader.to_dict() for file in (name, parent)
    )
    assert changed['dataset'].pop('type') == 'ScoreTripletDataset'
    assert changed['dataset'].pop('negative_prob') == 0.5
    assert before['dataset'].pop('type') == 'SampledTripletDataset'
    assert json.dumps(changed) == json.dumps(before)
