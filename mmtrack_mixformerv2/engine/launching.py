"""What ``tools/train.py`` and ``tools/test.py`` do between the command line and the runner.

Everything that can be wrong with a run's inputs is looked for here, before a runner exists: the
runner writes into the work directory as soon as it is built.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import barrier, is_distributed
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner, find_latest_checkpoint, get_priority
from mmtrack.registry import HOOKS, MODELS
from torch import nn

from ..checkpoints import NOT_IN_A_VIT, describe_weights
from ..datasets import check_data_files
from .checkpoint_adapter import CheckpointAdapterHook
from .cpu_distributed import init_cpu_process_group
from .resume import latest_checkpoint
from .strict_load_hook import StrictLoadHook, fitting_part, state_dict_of

_TRAINING_STATE = ('meta', 'message_hub', 'optimizer')


class ConfigOptions(DictAction):
    """Reads ``KEY=VALUE ...`` as MMEngine does; says what is wrong with something else."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if not value.partition('=')[0].strip() or '=' not in value:
                parser.error(f'argument {option_string}: {value!r} is no KEY=VALUE')
        super().__call__(parser, namespace, values, option_string)


def add_config_options(
    parser: argparse.ArgumentParser, *, example: str = 'model.backbone.depth=4'
) -> None:
    """The option that changes settings of a config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help=f'override settings of the config by dotted name, e.g. {example}; lists as key=a,b or '
        'key="[a,b]"',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that a training and a test have in common."""
    parser.add_argument(
        '--work-dir', help='folder for what the run writes (default: work_dirs/<config name>)'
    )
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run (default: none)',
    )
    # Older launchers pass the rank; torchrun, slurm and mpi set it in the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def read_config(
    path: str, options: Mapping[str, Any] | None = None, work_dir: str | None = None
) -> Config:
    """Read a config and apply what the command line says.

    Args:
        path: The config file.
        options: Settings to override, by dotted name.
        work_dir: Where logs and checkpoints go; by default what the config says, or a folder in
            ``work_dirs`` that is named as the config. An ``outfile_prefix`` of the evaluators that
            is no absolute path is taken to be in it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or ``work_dir`` is a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'the config file {path} does not exist')
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(dict(options or {}))
    except Exception as error:  # a config is a program
        raise ValueError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(path).stem)
    if Path(cfg.work_dir).exists() and not Path(cfg.work_dir).is_dir():
        raise ValueError(f'the work directory {cfg.work_dir} is a file')
    for name in ('val_evaluator', 'test_evaluator'):
        evaluators = cfg.get(name) or ()
        for metric in [evaluators] if isinstance(evaluators, Mapping) else evaluators:
            if metric.get('outfile_prefix'):
                metric.outfile_prefix = str(Path(cfg.work_dir) / metric.outfile_prefix)
    return cfg


def use_resume(cfg: Config, checkpoint: str | None = None) -> None:
    """Go on with an interrupted training.

    Args:
        cfg: Where there is nothing to go on with, the training starts as the config says.
        checkpoint: Where to go on; by default after the last complete checkpoint in the work
            directory, see :func:`latest_checkpoint`.
    """
    checkpoint = checkpoint or latest_checkpoint(cfg.work_dir)
    if checkpoint is not None:
        cfg.resume, cfg.load_from = True, checkpoint
    elif cfg.get('load_from') is None:
        cfg.resume = False


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


def use_data_root(cfg: Config, folder: str | None) -> None:
    """Take the data of a test from another folder than the config says, unless it is None."""
    if folder is not None:
        cfg.test_dataloader.dataset.data_root = str(Path(folder)) + '/'


def use_restart(cfg: Config) -> None:
    """Begin a test anew, though an earlier one has finished some sequences.

    Raises:
        ValueError: If the config's test does not keep finished sequences.
    """
    if (cfg.get('test_cfg') or {}).get('type') != 'LockStepTestLoop':
        raise ValueError('--restart is for tests with test_cfg.type=LockStepTestLoop')
    cfg.test_cfg.restart = True


def check_training(cfg: Config) -> None:
    """Check the settings, the data files and the checkpoints that a training needs.

    Hooks of the config with a method ``check_settings(model, cfg)`` look at both first.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the config is for something else, the model cannot be built or is for crops
            of other sizes than the pipeline's, settings of a hook are wrong, or a checkpoint, be it
            of ``load_from`` or of an ``init_cfg`` in the model, cannot be read or does not fit the
            model.
    """
    _check_settings(cfg, 'training', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    _check_data(cfg, 'train_dataloader', 'val_dataloader')
    model = _build_model(cfg)
    _check_crops(cfg, model)
    for hook in _hooks(cfg, lambda kind: hasattr(kind, 'check_settings')):
        hook.check_settings(model, cfg)
    _check_initial_weights(cfg, model)
    resume = bool(cfg.get('resume'))
    source = cfg.get('load_from')
    if resume and source is None:
        source = find_latest_checkpoint(cfg.work_dir)
    if source is not None:
        checkpoint = _check_checkpoint(cfg, model, source, whole=resume)
        if resume and not all(key in checkpoint for key in _TRAINING_STATE):
            raise ValueError(
                f'{source} holds weights without the state of a training, so none can be resumed '
                f'from it; to start a training with these weights, use '
                f'--cfg-options load_from={source} without --resume'
            )


def check_test(cfg: Config) -> None:
    """Check the settings, the data files and the checkpoint that a test needs.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the config is for something else, or the model cannot be built, or the
            checkpoint cannot be read or does not fit the model, or none is named.
    """
    _check_settings(cfg, 'test', 'test_dataloader', 'test_cfg', 'test_evaluator')
    if cfg.get('load_from') is None:
        raise ValueError('a test needs the weights: name a checkpoint on the command line')
    _check_data(cfg, 'test_dataloader')
    _check_checkpoint(cfg, _build_model(cfg), cfg.load_from, whole=True)


def use_launcher(cfg: Config, launcher: str, timeout: float | None = None) -> None:
    """Join the other processes that a launcher started, if this is a distributed run.

    With GPUs, MMEngine does that when the runner is built.

    Args:
        cfg: Of the run.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        timeout: Seconds that a process waits for the others; by default as the config and torch
            say.

    Raises:
        ValueError: If the launcher does not work on this machine.
    """
    cfg.launcher = launcher
    if timeout is not None:
        cfg.merge_from_dict({'env_cfg.dist_cfg.timeout': timeout})
    if launcher != 'none' and not torch.cuda.is_available():
        init_cpu_process_group(cfg, launcher, timeout)


def leave_launcher() -> None:
    """Part from the other processes, when all have done their work.

    Threads of a connection that is left open may abort the process when it exits.
    """
    if is_distributed():
        barrier()
        torch.distributed.destroy_process_group()


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config describes."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _check_settings(cfg: Config, kind: str, *names: str) -> None:
    missing = [name for name in names if cfg.get(name) is None]
    if missing:
        raise ValueError(f'{cfg.filename} has no {" and no ".join(missing)}; use a {kind} config')


def _check_data(cfg: Config, *loaders: str) -> None:
    for name in loaders:
        if cfg.get(name) is not None:
            check_data_files(cfg[name].dataset)


def _build_model(cfg: Config) -> nn.Module:
    try:
        return MODELS.build(cfg.model)
    except (KeyError, TypeError) as error:  # of the registry, and of unknown arguments
        raise ValueError(f'the model of {cfg.filename} cannot be built: {error.args[0]}') from error


def _check_crops(cfg: Config, model: nn.Module) -> None:
    """Compare the sizes of the crops that a training makes with those that its model takes."""
    backbone = getattr(model, 'backbone', None)
    for step in cfg.train_dataloader.dataset.get('pipeline') or ():
        for name in ('template_size', 'search_size'):
            size, wanted = step.get(name), getattr(backbone, name, None)
            if None not in (size, wanted) and size != wanted:
                raise ValueError(
                    f'the training pipeline makes crops with {name}={size} ({step.type}), and the '
                    f'model has {name}={wanted}; set both to the same.'
                )


def _check_checkpoint(cfg: Config, model: nn.Module, source: str, whole: bool) -> dict:
    """Read a checkpoint, let hooks adapt it or the model, and compare them.

    A training that only starts from it may have a config without StrictLoadHook; then it is read.
    """
    checkpoint = _read(source)
    state_dict_of(checkpoint, source)
    for adapter in _hooks(cfg, lambda kind: issubclass(kind, CheckpointAdapterHook)):
        adapter.adapt(model, checkpoint, source=source, resume=whole)
    hook = _strict_load_hook(cfg)
    if whole or hook:
        (hook or StrictLoadHook()).check(model, checkpoint, source=source, whole=whole)
    return checkpoint


def _check_initial_weights(cfg: Config, model: nn.Module) -> None:
    """Compare the files of ``init_cfg=dict(type='Pretrained')`` with the modules that have them.

    A file may lack what no ViT has and what the config's StrictLoadHook allows, and have more
    layers than the module.
    """
    hook = _strict_load_hook(cfg) or StrictLoadHook()
    for path, module in model.named_modules():
        inits = getattr(module, 'init_cfg', None) or ()
        for init in [inits] if isinstance(inits, Mapping) else inits:
            if init.get('type') == 'Pretrained':
                allowed = _below(path, (*NOT_IN_A_VIT, *hook.allow_missing))
                source, prefix = init['checkpoint'], init.get('prefix')
                checkpoint = _read(source)
                try:
                    part = fitting_part(module, checkpoint, source=source, prefix=prefix)
                    StrictLoadHook(allowed).check(module, part, source=source, whole=False)
                except ValueError as error:
                    told = describe_weights(source, checkpoint)
                    raise ValueError(f'{error}\n  {told}'.rstrip()) from None


def _read(source: str) -> dict:
    return CheckpointLoader.load_checkpoint(source, map_location='cpu', logger='silent')


def _hooks(cfg: Config, wanted: Callable[[type], bool]) -> list[Hook]:
    """Build the config's hooks of the classes that are wanted, in the order that they run in."""
    hooks = []
    for entry in [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]:
        settings = dict(entry or {})  # None switches a default hook off
        kind = settings.get('type')
        kind = HOOKS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and wanted(kind):
            priority = settings.pop('priority', kind.priority)
            hook = HOOKS.build(settings)
            hook.priority = priority
            hooks.append(hook)
    return sorted(hooks, key=lambda hook: get_priority(hook.priority))


def _strict_load_hook(cfg: Config) -> StrictLoadHook | None:
    """The config's own."""
    return next(iter(_hooks(cfg, lambda kind: issubclass(kind, StrictLoadHook))), None)


def _below(path: str, names: Sequence[str]) -> list[str]:
    """Names of parts of the model, as the module at ``path`` calls them; those in it only."""
    prefix = f'{path}.' if path else ''
    return [name[len(prefix) :] for name in names if name.startswith(prefix)]
