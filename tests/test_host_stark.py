"""mmtrack's own STARK works beside us: it trains, saves, resumes and tracks."""

from __future__ import annotations

import uuid
from pathlib import Path

import mmtrack
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmtrack.registry import DATASETS
from mmtrack.structures import TrackDataSample
from torch.utils.data import Dataset

CONFIGS = Path(mmtrack.__file__).parent / '.mim' / 'configs' / 'sot' / 'stark'
SEARCH, TEMPLATE = 160, 64  # pixels; half of the published sizes


@DATASETS.register_module()
class StarkCrops(Dataset):
    """Two packed samples as mmtrack's pipeline makes them: a bright square on noise.

    The pipeline itself stops in ``SeqCropLikeStark`` with NumPy 2.4 and later.
    """

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        search = torch.randint(0, 128, (1, 3, SEARCH, SEARCH), generator=generator)
        templates = torch.randint(0, 128, (2, 3, TEMPLATE, TEMPLATE), generator=generator)
        search[..., 40:80, 60:100] = 255
        templates[..., 16:48, 16:48] = 255
        sample = TrackDataSample(metainfo=dict(search_img_shape=(SEARCH, SEARCH)))
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[16.0, 16, 48, 48]] * 2))
        sample.search_gt_instances = InstanceData(bboxes=torch.tensor([[60.0, 40, 100, 80]]))
        sample.padding_mask = torch.zeros(2, TEMPLATE, TEMPLATE, dtype=torch.bool)
        sample.search_padding_mask = torch.zeros(1, SEARCH, SEARCH, dtype=torch.bool)
        inputs = dict(img=templates.byte(), search_img=search.byte())
        return dict(inputs=inputs, data_samples=sample)


def stark_config(work_dir: Path) -> Config:
    """mmtrack's config for GOT-10k, with ResNet-18 and one narrow layer per part."""
    cfg = Config.fromfile(CONFIGS / 'stark-st1_r50_8xb16-500e_got10k.py')
    cfg.merge_from_dict(
        {
            'model.backbone.depth': 18,
            'model.backbone.init_cfg': None,
            'model.neck.in_channels': [256],
            'model.neck.out_channels': 64,
            'model.head.positional_encoding.num_feats': 32,
            'model.head.bbox_head.feat_size': SEARCH // 16,
            'model.head.bbox_head.inplanes': 64,
            'model.head.bbox_head.channel': 32,
            'model.test_cfg.search_size': SEARCH,
            'model.test_cfg.template_size': TEMPLATE,
            'default_hooks.checkpoint.interval': 1,
            'train_cfg.max_epochs': 2,
            'val_dataloader': None,
            'val_cfg': None,
            'val_evaluator': None,
            'experiment_name': uuid.uuid4().hex,
        }
    )
    for part in (cfg.model.head.transformer.encoder, cfg.model.head.transformer.decoder):
        part.num_layers = 1
        layer = part.transformerlayers
        attention = layer.attn_cfgs[0] if isinstance(layer.attn_cfgs, list) else layer.attn_cfgs
        attention.embed_dims = 64
        layer.ffn_cfgs = dict(feedforward_channels=64, embed_dims=64, ffn_drop=0.1)
    cfg.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='StarkCrops'),
    )
    cfg.work_dir = str(work_dir)
    return cfg


def moving_square(frame: int) -> dict:
    """One frame of a video, as mmtrack's test pipeline packs it, and its data sample."""
    image = np.random.default_rng(frame).integers(0, 128, (200, 240, 3), dtype=np.uint8)
    left, top = 80 + 4 * frame, 60 + 2 * frame
    image[top : top + 40, left : left + 40] = 255
    sample = TrackDataSample(
        metainfo=dict(frame_id=frame, video_length=3, ori_shape=(200, 240), img_shape=(200, 240))
    )
    box = torch.tensor([[left, top, left + 40, top + 40]], dtype=torch.float32)
    sample.gt_instances = InstanceData(bboxes=box)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    return dict(inputs=dict(img=[pixels]), data_samples=[sample])


def test_stark_trains_resumes_and_tracks(tmp_path):
    runner = Runner.from_cfg(stark_config(tmp_path / 'whole'))
    before = runner.model.head.bbox_head.tl_corner_pred[0].conv.weight.detach().clone()
    runner.train()
    assert runner.iter == 2
    assert not torch.equal(before, runner.model.head.bbox_head.tl_corner_pred[0].conv.weight)

    cfg = stark_config(tmp_path / 'resumed')
    cfg.load_from, cfg.resume = str(tmp_path / 'whole' / 'epoch_1.pth'), True
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    assert resumed.iter == 2
    assert resumed.optim_wrapper.optimizer.state_dict()['state'][0]['step'] == 2

    model = resumed.model.eval()
    for frame in range(3):
        with torch.no_grad():
            (result,) = model.test_step(moving_square(frame))
        box = result.pred_track_instances.bboxes
        assert box.shape == (1, 4)
        assert torch.isfinite(box).all()
        if frame == 0:  # the given box itself
            torch.testing.assert_close(box[0], torch.tensor([80.0, 60, 120, 100]))


def test_all_configs_of_stark_can_be_read():
    paths = sorted(CONFIGS.glob('*.py'))
    assert len(paths) == 8
    for path in paths:
        assert Config.fromfile(path).model.type == 'Stark'


@pytest.mark.parametrize('name', ['GOT10kDataset', 'LaSOTDataset', 'SOTCocoDataset'])
def test_data_sets_of_mmtrack_are_registered(name):
    assert DATASETS.get(name) is not None
