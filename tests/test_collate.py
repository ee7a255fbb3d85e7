"""A collated batch: the numbers are those of the samples, in one process and from another."""

from __future__ import annotations

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample

from mmtrack_mixformerv2.engine.collate import stack_crops


class Samples(torch.utils.data.Dataset):
    """Packed as ``PackTrackInputs`` does it: crops are views of ``(h, w, 3)`` arrays."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)

        def crops(count: int, size: int) -> torch.Tensor:
            shape = (count, size, size, 3)
            pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            return pixels.permute(0, 3, 1, 2)

        sample = TrackDataSample(metainfo=dict(frame_id=[index, index + 1], img_path=['a', 'b']))
        sample.gt_instances = InstanceData(bboxes=torch.rand(2, 4, generator=generator))
        sample.search_gt_instances = InstanceData(
            bboxes=torch.rand(1, 4, generator=generator), labels=torch.tensor([index % 2])
        )
        return dict(inputs=dict(img=crops(2, 6), search_img=crops(1, 10)), data_samples=sample)


def loader(workers: int):
    """As a runner builds it from a config."""
    settings = dict(batch_size=2, num_workers=workers, dataset=Samples())
    settings['sampler'] = dict(type='DefaultSampler', shuffle=False)
    return Runner.build_dataloader({**settings, 'collate_fn': dict(type='stack_crops')})


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_the_network_sees_what_it_sees_of_a_list_of_crops(bgr_to_rgb):
    mean, std = torch.tensor([1.0, 20.0, 128.5]), torch.tensor([3.0, 58.4, 57.0])
    prepare = MODELS.build(
        dict(
            type='CropDataPreprocessor',
            mean=mean.tolist(),
            std=std.tolist(),
            bgr_to_rgb=bgr_to_rgb,
        )
    )
    samples = [Samples()[i] for i in range(3)]
    listed = prepare(pseudo_collate(samples), training=True)
    stacked = prepare(stack_crops(samples), training=True)
    for name, crops in stacked['inputs'].items():
        order = [2, 1, 0] if bgr_to_rgb else [0, 1, 2]
        pixels = torch.stack([sample['inputs'][name] for sample in samples])[:, :, order]
        expected = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        assert crops.is_contiguous() and torch.equal(crops, expected)
        assert torch.equal(listed['inputs'][name], expected)
    assert [s.frame_id for s in stacked['data_samples']] == [[0, 1], [1, 2], [2, 3]]


def test_preparing_a_batch_leaves_it_as_it_was():
    prepare = MODELS.build(
        dict(type='CropDataPreprocessor', mean=[9.0] * 3, std=[2.0] * 3, bgr_to_rgb=False)
    )
    batch = stack_crops([Samples()[0], Samples()[1]])
    batch['inputs'] = {name: crops.float() for name, crops in batch['inputs'].items()}
    before = {name: crops.clone() for name, crops in batch['inputs'].items()}
    prepare(batch, training=True)
    assert all(torch.equal(batch['inputs'][name], before[name]) for name in before)


def test_a_batch_from_a_worker_is_the_same():
    for here, there in zip(loader(0), loader(1)):
        assert here['inputs'].keys() == there['inputs'].keys()
        for name, crops in here['inputs'].items():
            assert torch.equal(crops, there['inputs'][name])
        for one, other in zip(here['data_samples'], there['data_samples']):
            assert type(other) is TrackDataSample
            assert one.metainfo == other.metainfo
            for field in ('gt_instances', 'search_gt_instances'):
                assert type(other.get(field)) is InstanceData
                assert one.get(field).keys() == other.get(field).keys()
                for key, value in one.get(field).items():
                    assert torch.equal(value, other.get(field)[key])
                    assert value.dtype == other.get(field)[key].dtype


def test_only_the_crops_are_sent_as_shared_files():
    batch = next(iter(loader(1)))
    assert all(crops.is_shared() for crops in batch['inputs'].values())
    for sample in batch['data_samples']:
        values = [*sample.gt_instances.values(), *sample.search_gt_instances.values()]
        assert not any(value.is_shared() for value in values)
        values[0].add_(1)  # and they may be written to


def test_crops_of_two_sizes_are_refused():
    samples = [Samples()[0], Samples()[1]]
    samples[1]['inputs']['img'] = samples[1]['inputs']['img'][:1]
    with pytest.raises(ValueError, match=r'img has the shapes \[\(1, 3, 6, 6\), \(2, 3, 6, 6\)\]'):
        stack_crops(samples)
