"""The tiny config, made tinier, from rendered sequences to numbers: train, resume, test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tools_loader import run_tool

from mmtrack_mixformerv2.engine import (
    build_runner,
    check_training,
    load_from_local,
    use_mixed_precision,
)

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'mixformerv2'
TRAINING = next(CONFIG.glob('mixformerv2-tiny_1xb*_synthetic.py'))


def config(data: Path, work_dir: Path, epochs: int = 2, **changes) -> Config:
    cfg = Config.fromfile(TRAINING)
    source = dict(
        type='GOT10kDataset',
        data_root=str(data),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            # Runners of one name would share their logs.
            'experiment_name': f'{work_dir.parent.name}_{work_dir.name}',
            'model.backbone.embed_dims': 16,
            'model.backbone.depth': 2,
            'model.box_head.in_channels': 16,
            'model.auxiliary.in_channels': 16,
            'train_dataloader.batch_size': 4,
            'train_dataloader.sampler.samples_per_epoch': 12,
            'train_dataloader.dataset.datasets': [source],
            'train_dataloader.dataset.weights': None,
            'train_cfg.max_epochs': epochs,
            'default_hooks.logger.interval': 1,
            **changes,
        }
    )
    return cfg


def train(cfg: Config, amp: bool = False):
    if amp:
        use_mixed_precision(cfg)
    check_training(cfg)
    runner = build_runner(cfg)
    runner.train()
    return runner


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_from_local(path)['state_dict']


@pytest.mark.parametrize('amp', [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one(rendered, tmp_path, amp):
    """Bit by bit, although one loads in the main process and the other in a worker.

    Drop path draws random numbers while training, which a checkpoint does not remember.
    """
    drop_path = {'model.backbone.drop_path_rate': 0.5}
    in_worker = {**drop_path, 'train_dataloader.num_workers': 1}
    train(config(rendered, tmp_path / 'whole', **in_worker), amp)
    in_process = {
        **drop_path,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
    }
    interrupted = config(rendered, tmp_path / 'parts', **in_process)
    interrupted.train_cfg.max_epochs = 1
    train(interrupted, amp)
    train(config(rendered, tmp_path / 'parts', resume=True, **in_process), amp)
    whole = weights(tmp_path / 'whole' / 'epoch_2.pth')
    parts = weights(tmp_path / 'parts' / 'epoch_2.pth')
    assert whole.keys() == parts.keys()
    different = [name for name in whole if not torch.equal(whole[name], parts[name])]
    assert not different
    before = weights(tmp_path / 'parts' / 'epoch_1.pth')
    frozen = {name for name in whole if torch.equal(whole[name], before[name])}
    assert frozen == {'backbone.search_pos_embed', 'backbone.template_pos_embed'}


def test_a_checkpoint_within_an_accumulated_step_is_complete(rendered, tmp_path):
    """An epoch has three iterations, and two make a step."""
    settings = {'optim_wrapper.accumulative_counts': 2, 'train_dataloader.num_workers': 0}
    settings['train_dataloader.persistent_workers'] = False
    train(config(rendered, tmp_path / 'whole', **settings))
    resumed = config(rendered, tmp_path / 'parts', resume=True, **settings)
    resumed.load_from = str(tmp_path / 'whole' / 'epoch_1.pth')
    train(resumed)
    whole = weights(tmp_path / 'whole' / 'epoch_2.pth')
    parts = weights(tmp_path / 'parts' / 'epoch_2.pth')
    assert not [name for name in whole if not torch.equal(whole[name], parts[name])]


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
def test_two_processes_equal_one_with_twice_the_batch(rendered, tmp_path):
    """Through torchrun and gloo, and with every parameter used (DDP would stop otherwise)."""
    weights_of = {}
    for name, batch_size in (('one', 4), ('two', 2)):
        cfg = config(rendered, tmp_path / name, **{'train_dataloader.batch_size': batch_size})
        # AdamW would turn the rounding of gradients near zero into whole steps.
        cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.05, weight_decay=0.01)
        cfg.param_scheduler = []
        cfg.dump(tmp_path / f'{name}.py')
        if name == 'one':
            train(cfg)
        else:
            run_tool('dist_train.sh', str(tmp_path / 'two.py'), '2')
        weights_of[name] = weights(tmp_path / name / 'epoch_2.pth')
    for key, value in weights_of['one'].items():
        torch.testing.assert_close(weights_of['two'][key], value, atol=1e-5, rtol=0, msg=key)


def test_epochs_bring_other_samples(rendered, tmp_path):
    cfg = config(rendered, tmp_path / 'epochs', **{'train_dataloader.num_workers': 1})
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)

    def epoch(number: int) -> np.ndarray:
        loader.sampler.set_epoch(number)
        return np.concatenate(
            [sample.search_gt_instances.bboxes for b in loader for sample in b['data_samples']]
        )

    first, second, again = epoch(0), epoch(1), epoch(0)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 24
