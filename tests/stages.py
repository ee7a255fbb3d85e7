"""Stages of the micro chain, made so small that a test can train them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmtrack.registry import HOOKS

MICRO = Path(__file__).resolve().parents[1] / 'configs/mixformerv2/tiny'


@HOOKS.register_module()
class KillHook(Hook):
    """Ends its process after an iteration as a power cut would.

    Args:
        iteration: Number of iterations done.
    """

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)


def small_stage(name: str, data: Path, work_dir: Path, **changes) -> Config:
    """A config of the micro chain with a few samples per epoch.

    Args:
        name: Of the config file, without its ending.
        data: Rendered sequences.
        work_dir: Where the training writes.
        changes: Settings by dotted name.
    """
    cfg = Config.fromfile(MICRO / f'{name}.py')
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
            'train_dataloader.batch_size': 4,
            'train_dataloader.sampler.samples_per_epoch': 12,
            'train_dataloader.dataset.datasets': [source],
            'train_dataloader.dataset.weights': None,
            'default_hooks.logger.interval': 1,
            **changes,
        }
    )
    return cfg
