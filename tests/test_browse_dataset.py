"""Sheets of training samples: boxes and padding are where the network gets them."""

from __future__ import annotations

import re

import cv2
import layouts
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tools_loader import load_tool

from mmtrack_mixformerv2.datasets import SampledTripletDataset, SampleKey
from mmtrack_mixformerv2.datasets.inspection import (
    SampleStatistics,
    build_training_set,
    find_seed,
)

GREEN, RED, PURPLE = (80, 220, 80), (40, 60, 255), (255, 120, 200)


@pytest.fixture(scope='module')
def tool():
    return load_tool('analysis_tools/browse_dataset')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return layouts.make_got10k(tmp_path_factory.mktemp('data') / 'GOT10k', videos=3)


def write_config(folder, data, *, kind='SampledTripletDataset', num_templates=2, **settings):
    """A training config with the sampling of the real ones and the tiny data."""
    cfg = Config(
        dict(
            train_dataloader=dict(
                sampler=dict(type='SampleKeySampler', samples_per_epoch=8),
                dataset=dict(
                    type=kind,
                    num_templates=num_templates,
                    datasets=[
                        dict(
                            type='GOT10kDataset',
                            data_root=str(data),
                            ann_file='annotations/got10k_train_infos.txt',
                            data_prefix=dict(img_path=''),
                            serialize_data=False,
                        )
                    ],
                    pipeline=[
                        dict(type='LoadFrames'),
                        dict(type='JointFlip'),
                        dict(type='CropTemplatesAndSearch', template_size=32, search_size=64),
                        dict(type='CropBrightness'),
                        dict(type='CropFlip'),
                        dict(
                            type='PackTrackInputs',
                            ref_prefix='search',
                            num_template_frames=num_templates,
                        ),
                    ],
                ),
            ),
            randomness=dict(seed=4),
        )
    )
    cfg.merge_from_dict(settings)
    path = folder / 'training.json'  # quicker to write than Python
    cfg.dump(path)
    return path


def count(picture, color) -> int:
    """Pixels of about a color: lines are drawn with smooth edges."""
    return int((np.abs(picture.astype(int) - color).max(axis=-1) < 70).sum())


@pytest.mark.parametrize('num_templates', [1, 2])
def test_sheets_show_every_sample_once(tool, capsys, tmp_path, data, num_templates):
    config = write_config(tmp_path, data, num_templates=num_templates)
    out = tmp_path / 'new' / 'sheets'
    tool.main([str(config), '--out', str(out), '--num', '11', '--epoch', '1'])
    printed = capsys.readouterr().out
    assert 'seed 4, epoch 1, 11 samples: mean box' in printed and 'positive' not in printed
    sheets = sorted(out.glob('*.png'))
    numbers = [
        tuple(map(int, re.fullmatch(r'seed4_epoch1_(\d+)-(\d+)', path.stem).groups()))
        for path in sheets
    ]
    assert numbers[0][0] == 0 and numbers[-1][1] == 10 and len(numbers) == 2
    assert numbers[0][1] + 1 == numbers[1][0]
    lines = (out / 'samples.txt').read_text().splitlines()
    assert len(lines) == 11
    assert all(f'(seed 4, epoch 1, index {i})' in line for i, line in enumerate(lines))
    picture = cv2.imread(str(sheets[0]))
    assert count(picture, GREEN) > 500 and count(picture, PURPLE) > 500
    assert not count(picture, RED)


def test_a_picture_shows_the_crop_the_box_and_the_padding(tool, tmp_path, data):
    cfg = Config.fromfile(write_config(tmp_path, data))
    dataset = build_training_set(cfg)
    packed = dataset[SampleKey(0, 0, 2)]
    picture = tool.draw_sample(packed)
    sample, scale = packed['data_samples'], 4
    search = picture[:256, 128 + tool.GAP :][:, :256]
    crop = packed['inputs']['search_img'][0].permute(1, 2, 0).numpy()
    mask = sample.search_padding_mask[0].numpy()
    x1, y1, x2, y2 = (sample.search_gt_instances.bboxes[0] * scale).round().int().tolist()
    near = np.zeros((256, 256), bool)
    near[max(0, y1 - 3) : y2 + 4, max(0, x1 - 3) : x2 + 4] = True
    inside = near.copy()
    inside[y1 + 4 : y2 - 3, x1 + 4 : x2 - 3] = False  # the line of the box is somewhere in here
    magnified, hidden = (
        np.kron(a, np.ones((scale, scale, 1), a.dtype)) for a in (crop, mask[..., None])
    )
    shown = ~hidden[..., 0] & ~inside
    np.testing.assert_array_equal(search[shown], magnified[shown])
    hatched = (search == np.array(PURPLE)).all(axis=2)
    assert not hatched[~hidden[..., 0]].any()
    assert 0.2 < hatched[hidden[..., 0]].mean() < 0.3
    assert count(search[inside], GREEN) > 50
    template = picture[:128, :128]
    assert count(template, GREEN) > 100
    assert (picture[256:, :, 0] > 100).any()  # the caption


def test_looking_changes_no_sample_and_masks_follow_the_flips(tmp_path, data):
    cfg = Config.fromfile(write_config(tmp_path, data))
    plain = SampledTripletDataset(
        cfg.train_dataloader.dataset.datasets, cfg.train_dataloader.dataset.pipeline
    )
    looked_at = build_training_set(cfg)
    flipped = 0
    for index in range(20):
        expected, packed = (dataset[SampleKey(0, 0, index)] for dataset in (plain, looked_at))
        for name, crops in expected['inputs'].items():
            assert torch.equal(packed['inputs'][name], crops)
        sample = packed['data_samples']
        assert torch.equal(
            sample.search_gt_instances.bboxes,
            expected['data_samples'].search_gt_instances.bboxes,
        )
        mask = sample.search_padding_mask[0]
        crop = packed['inputs']['search_img'][0]
        black = (crop == 0).all(0)
        assert mask.dtype == torch.bool and mask.shape == (64, 64)
        # The mask also has the pixels between padding and image, which are not quite black.
        assert not (black & ~mask).sum() > 8 and (mask & ~black).sum() < 64 * 8
        flipped += not torch.equal(mask, mask.flip(1)) and bool(mask.any())
    assert flipped > 5  # so a mask that was not mirrored with its crop would have shown


def test_negative_samples_are_marked_and_counted(tool, capsys, tmp_path, data):
    config = write_config(tmp_path, data, kind='ScoreTripletDataset')
    out = tmp_path / 'sheets'
    options = ['--cfg-options', 'train_dataloader.dataset.negative_prob=1.0']
    tool.main([str(config), '--out', str(out), '--num', '3', '--seed', '7', *options])
    assert '0.0% of the samples are positive' in capsys.readouterr().out
    picture = cv2.imread(str(next(out.glob('seed7*.png'))))
    assert count(picture, RED) > 300
    assert all('label 0' in line for line in (out / 'samples.txt').read_text().splitlines())


def test_statistics_are_means_over_samples(tmp_path, data):
    dataset = build_training_set(Config.fromfile(write_config(tmp_path, data)))
    statistics = SampleStatistics()
    packed = [dataset[SampleKey(0, 0, index)] for index in range(2)]
    for sample, box in zip(packed, ([16, 16, 32, 48], [-16, 0, 16, 16])):
        fields = sample['data_samples']
        fields.search_gt_instances.bboxes = torch.tensor([box], dtype=torch.float32)
        fields.search_padding_mask = torch.zeros(1, 64, 64, dtype=torch.bool)
        fields.search_padding_mask[:, :16] = True
        fields.search_gt_instances.labels = torch.tensor([box[0] > 0])
        statistics.add(sample)
    assert str(statistics).startswith(
        '2 samples: mean box 37.5% x 37.5% of the search region, mean centre (18.8%, 31.2%), 50.0% '
        'of the boxes reach out of it; padding is 25.0% of the search regions and '
    )
    assert str(statistics).endswith('; 50.0% of the samples are positive')


@pytest.mark.parametrize(
    ('sampler', 'randomness', 'seed'),
    [
        (dict(seed=3), dict(seed=5), 3),
        (dict(seed=0), dict(seed=5), 0),
        (dict(), dict(seed=5), 5),
        (dict(), None, 0),
        (None, dict(seed=None), 0),
    ],
)
def test_the_seed_is_that_of_the_training(sampler, randomness, seed):
    cfg = Config(dict(train_dataloader=dict(sampler=sampler), randomness=randomness))
    assert find_seed(cfg) == seed


def test_bad_input_ends_with_a_line_and_writes_nothing(tool, tmp_path, data):
    good = write_config(tmp_path, data)
    test_only = tmp_path / 'test_only.py'
    test_only.write_text("test_dataloader = dict(dataset=dict(type='LaSOTDataset'))")
    name = 'train_dataloader.dataset'
    occupied = tmp_path / 'file'
    occupied.write_text('')
    out = tmp_path / 'sheets'
    for arguments, message in (
        (['nowhere.py'], 'config file nowhere.py does not exist'),
        ([str(test_only)], 'has no train_dataloader; use a training config'),
        ([str(good), '--cfg-options', f'{name}.pipeline=[]'], 'has 0 steps CropTemplatesAndSearch'),
        ([str(good), '--cfg-options', f'{name}.datasets.0.data_root=gone'], 'gone'),
        ([str(good), '--cfg-options', f'{name}.min_frames=99'], 'none of 1000 draws'),
        ([str(good), '--cfg-options', f'{name}.max_gap=0'], 'max_gap'),
        ([str(good), '--out', str(occupied)], 'is a file, expected a folder'),
    ):
        with pytest.raises(SystemExit) as stop:
            tool.main(['--out', str(out), *arguments])
        assert str(stop.value).startswith('error: ') and message in str(stop.value)
        assert '\n' not in str(stop.value)
    for option in ('--num=0', '--epoch=-1', '--seed=-2'):
        with pytest.raises(SystemExit) as stop:
            tool.main([str(good), '--out', str(out), option])
        assert stop.value.code == 2
    assert not out.exists()
