"""What ``tools/train.py`` and ``tools/test.py`` do between the command line and the runner.

Everything that can be wrong with a run's inputs is looked for here, before a runner exists: the
runner writes into the work directory as soon as it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint
from mmtrack.registry import HOOKS, MODELS

from ..datasets import check_data_files
from .cpu_distributed import init_cpu_process_group

_TRAINING_STATE = ('meta', 'message_hub', 'optimizer')


def read_config(
    path: str, options: Mapping[str, Any] | None = None, work_dir: str | None = None
) -> Config:
    """Read a config and apply what the command line says.

    Args:
        path: The config file.
        options: Settings to override, by dotted name.
        work_dir: Where logs and checkpoints go; by default what the config says, or a folder in
            ``work_dirs`` that is named as the config.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'the config file {path} does not exist')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(options or {}))
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(path).stem)
    return cfg


def use_mixed_precision(cfg: Config) -> None:
    """Compute the losses in bfloat16, unless the config already asks for mixed precision.

    Raises:
        ValueError: If the config has an optimizer wrapper of another kind.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'OptimWrapper':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif kind not in ('AmpOptimWrapper', 'BFloat16OptimWrapper'):
        raise ValueError(f'--amp works with optim_wrapper type OptimWrapper, not with {kind}')


def use_learning_rate_scaling(cfg: Config) -> None:
    """Let MMEngine scale the learning rate with the total batch size.

    Raises:
        ValueError: If the config does not say which batch size its learning rate is for.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '--auto-scale-lr needs the batch size that the learning rate of the config is for: '
            'auto_scale_lr=dict(base_batch_size=...)'
        )
    cfg.auto_scale_lr.enable = True


def check_training(cfg: Config) -> None:
    """Check the data files and the checkpoint that a training needs.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If the checkpoint cannot be read or does not fit the model.
    """
    _check_data(cfg, 'train_dataloader', 'val_dataloader')
    resume = bool(cfg.get('resume'))
    source = cfg.get('load_from')
    if resume and source is None:
        source = find_latest_checkpoint(cfg.work_dir)
    if source is not None:
        checkpoint = _check_checkpoint(cfg, source, whole=resume)
        if resume and not all(key in checkpoint for key in _TRAINING_STATE):
            raise ValueError(
                f'{source} holds weights without the state of a training, so none can be resumed '
                f'from it; to start a training with these weights, use '
                f'--cfg-options load_from={source} without --resume'
            )


def check_test(cfg: Config) -> None:
    """Check the data files and the checkpoint that a test needs.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If the checkpoint cannot be read or does not fit the model, or none is named.
    """
    if cfg.get('test_dataloader') is None:
        raise ValueError(f'{cfg.filename} has no test_dataloader; use a test config')
    if cfg.get('load_from') is None:
        raise ValueError('a test needs the weights: name a checkpoint on the command line')
    _check_data(cfg, 'test_dataloader')
    _check_checkpoint(cfg, cfg.load_from, whole=True)


def use_launcher(cfg: Config, launcher: str) -> None:
    """Join the other processes that a launcher started, if this is a distributed run.

    With GPUs, MMEngine does that when the runner is built.

    Raises:
        ValueError: If the launcher does not work on this machine.
    """
    cfg.launcher = launcher
    if launcher != 'none' and not torch.cuda.is_available():
        init_cpu_process_group(cfg, launcher)


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config describes."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _check_data(cfg: Config, *loaders: str) -> None:
    for name in loaders:
        if cfg.get(name) is not None:
            check_data_files(cfg[name].dataset)


def _check_checkpoint(cfg: Config, source: str, whole: bool) -> dict:
    """Read a checkpoint and compare it with the config's model, if the config's hooks do so."""
    checkpoint = CheckpointLoader.load_checkpoint(source, map_location='cpu', logger='silent')
    for hook in cfg.get('custom_hooks') or ():
        if hook.get('type') == 'StrictLoadHook':
            model = MODELS.build(cfg.model)
            HOOKS.build(hook).check(model, checkpoint, source=source, whole=whole)
    return checkpoint
