"""Progressive depth pruning (MixFormerV2, arXiv 2305.15896, section 3.3 and Eq. 9)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmtrack.registry import HOOKS
from torch import nn

from .checkpoint_adapter import CheckpointAdapterHook
from .strict_load_hook import bare_model, checkpoint_origin

_REMOVED = 'removed_layers'  # in the meta of a checkpoint


def fading_rate(t: float, horizon: float) -> float:
    """What is left of a fading layer after ``t`` of ``horizon`` steps (Eq. 9).

    Returns:
        ``(1 + cos(pi min(t, m) / m)) / 2``, from 1 at 0 to exactly 0 from ``horizon`` on.
    """
    return 0.0 if t >= horizon else (1 + math.cos(math.pi * max(t, 0) / horizon)) / 2


@HOOKS.register_module()
class DepthPruningHook(CheckpointAdapterHook):
    """Fades layers out while a student trains, then removes them from the running training.

    At step ``t = epoch + offset``, epochs counted from zero, the layers are scaled by
    :func:`fading_rate`. Once that is zero they are taken out of the model, the optimizer, the
    schedulers, the average of weights and the gradient synchronisation; the state of everything
    else is left as it is, and the checkpoints hold a plain shallower model with layers numbered
    densely. All this is a function of the epoch and of the number of layers in the checkpoint, so
    a training may be resumed before, at and after that moment.

    Args:
        layers: Layers to remove, E, 0-based.
        horizon: Step m at which nothing is left of them.
        by_epoch: Whether steps are epochs, or iterations.
        offset: Added to the number of steps done; 0 in the paper, 2 in the published code.
        fade: What is scaled, see :class:`MixedAttentionBlock`: ``'residual'`` (paper) or
            ``'branches'`` (published code).
        frozen: Whether the fading layers keep their weights; no in the paper, yes in the published
            code.
    """

    def __init__(
        self,
        layers: Sequence[int],
        horizon: int,
        by_epoch: bool = True,
        offset: int = 0,
        fade: str = 'residual',
        frozen: bool = False,
    ) -> None:
        if fade not in ('residual', 'branches'):
            raise ValueError(f"fade is {fade!r}, expected 'residual' or 'branches'")
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            raise ValueError(f'layers is {layers!r}, expected a list of layers, as [0, 3]')
        if not all(isinstance(number, int) for number in (*layers, horizon, offset)):
            raise ValueError(
                f'layers={list(layers)}, horizon={horizon} and offset={offset} are whole numbers'
            )
        if horizon <= offset or offset < 0 or len(set(layers)) != len(layers) or not layers:
            raise ValueError(
                f'horizon={horizon} has to be above offset={offset}, which is 0 or more, and '
                f'layers={list(layers)} to name at least one layer, none twice.'
            )
        self.layers = sorted(layers)
        self.horizon = horizon
        self.by_epoch = by_epoch
        self.offset = offset
        self.fade = fade
        self.frozen = frozen
        self._depth: int | None = None  # of the model before anything is removed

    def check_settings(self, model: nn.Module, cfg: Config) -> None:
        """Compare the settings with the model and with the length of the training.

        Raises:
            ValueError: If the backbone cannot lose layers, one does not exist or is compared with
                the teacher, or the training ends before the layers are gone.
        """
        hooks = pruning_hooks(cfg)
        if len(hooks) > 1:
            raise ValueError(
                f'the config has {len(hooks)} hooks DepthPruningHook, which remove the layers '
                f'{" and ".join(str(hook["layers"]) for hook in hooks)}; a training fades out one '
                'set of layers: let another stage, with this one as its parent, remove the rest.'
            )
        train_cfg = cfg.get('train_cfg') or {}
        if self.by_epoch and train_cfg.get('max_epochs') is None:
            raise ValueError(
                'DepthPruningHook counts epochs, and the training iterations; set by_epoch=False'
            )
        length = train_cfg.get('max_epochs')
        self._check(model, length if self.by_epoch else _iterations(cfg))

    def _check(self, model: nn.Module, length: int | None) -> None:
        depth = _depth_of(model)
        if self.layers[0] < 0 or self.layers[-1] >= depth or len(self.layers) >= depth:
            raise ValueError(
                f'DepthPruningHook is to remove the layers {self.layers} of a model with {depth}: '
                f'expected numbers from 0 to {depth - 1}, and at least one that stays.'
            )
        unit, last = ('epochs' if self.by_epoch else 'iterations'), self.horizon - self.offset
        if length is not None and last >= length:
            raise ValueError(
                f'DepthPruningHook removes the layers {self.layers} after {last} {unit} '
                f'(horizon={self.horizon}, offset={self.offset}), but the training has {length}: '
                'train longer, or set a smaller horizon.'
            )
        model.check_removal(self.layers)

    def adapt(self, model: nn.Module, checkpoint: dict, *, source: str, resume: bool) -> str | None:
        """Remove the layers from a model if the checkpoint to go on from has none of them."""
        if resume and self._gone_from(checkpoint, len(model.backbone.blocks)):
            self._check_same_layers(checkpoint, source)
            model.remove_layers(self.layers)
            return f'{source} has no layers {self.layers} any more; neither has the model now.'
        return None

    def _gone_from(self, checkpoint: dict, depth: int) -> bool:
        state = checkpoint.get('state_dict', checkpoint)
        names = [name.removeprefix('module.').split('.') for name in state]
        found = {name[2] for name in names if name[:2] == ['backbone', 'blocks']}
        return len(found) == depth - len(self.layers)

    def before_run(self, runner: Runner) -> None:
        """Check the settings and remember the depth."""
        model = bare_model(runner.model)
        if self._depth is None:  # a runner may go on with a test, or train again
            self._depth = _depth_of(model)
        if isinstance(runner._train_loop, BaseLoop) and not self._is_removed(runner):
            self._check(model, runner.max_epochs if self.by_epoch else runner.max_iters)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Bring model and optimizer to the depth of a training that is resumed."""
        depth = len(bare_model(runner.model).backbone.blocks)
        source, own = checkpoint_origin(runner)
        if own and self._gone_from(checkpoint, depth):
            self._check_same_layers(checkpoint, source)
            self._remove(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember which layers are gone; what is left does not tell."""
        if self._is_removed(runner):
            checkpoint['meta'][_REMOVED] = self.layers

    def _check_same_layers(self, checkpoint: dict, source: str) -> None:
        gone = (checkpoint.get('meta') or {}).get(_REMOVED, self.layers)
        if gone != self.layers:
            raise ValueError(
                f'{source} lacks the layers {gone}, DepthPruningHook is to remove {self.layers}; '
                'go on with the layers that the training began with.'
            )

    def before_train(self, runner: Runner) -> None:
        """Freeze the fading layers, if asked for, and say how they fade."""
        if self._is_removed(runner):
            return
        for block in self._fading(runner):
            block.fade = self.fade
            if self.frozen:
                block.requires_grad_(False)
        if self.frozen:
            _wrap_again(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the rate of the epoch."""
        if self.by_epoch:
            self._step(runner, runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the rate of the iteration."""
        if not self.by_epoch:
            self._step(runner, runner.iter)

    def _is_removed(self, runner: Runner) -> bool:
        return len(bare_model(runner.model).backbone.blocks) < self._depth

    def _fading(self, runner: Runner) -> list[nn.Module]:
        blocks = bare_model(runner.model).backbone.blocks
        return [blocks[i] for i in self.layers]

    def _step(self, runner: Runner, step: int) -> None:
        if self._is_removed(runner):
            return
        gamma = fading_rate(step + self.offset, self.horizon)
        if gamma == 0:
            self._remove(runner)
            runner.logger.info(
                f'The layers {self.layers} have faded out and are removed; '
                f'{len(bare_model(runner.model).backbone.blocks)} are left.'
            )
            return
        for block in self._fading(runner):
            block.gamma = gamma
        if self.by_epoch:
            runner.logger.info(f'The layers {self.layers} count {gamma:.4f} in this epoch.')

    def _remove(self, runner: Runner) -> None:
        """Take the layers out of everything that holds them."""
        model = bare_model(runner.model)
        params = [p for i in self.layers for p in model.backbone.blocks[i].parameters()]
        model.remove_layers(self.layers)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
                _shorten_average(hook.ema_model, self.layers)
        if isinstance(runner._train_loop, BaseLoop):
            _forget(runner, params)
            _wrap_again(runner)


def _depth_of(model: nn.Module) -> int:
    """Layers of a model that can lose some; raises a ValueError for another."""
    model.check_removal(())
    return len(model.backbone.blocks)


def pruning_hooks(cfg: Config) -> list[dict]:
    """Settings of the hooks of a training that remove layers."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]
    return [h for h in hooks if h and type_name(h).split('.')[-1] == 'DepthPruningHook']


def type_name(settings: dict) -> str:
    """Name of what settings build; they may also give the class itself."""
    kind = settings.get('type')
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _iterations(cfg: Config) -> int | None:
    """Length of a training, if its config tells; processes share the samples of an epoch."""
    train_cfg, loader = cfg.train_cfg, cfg.train_dataloader
    samples = (loader.get('sampler') or {}).get('samples_per_epoch')
    if train_cfg.get('max_epochs') is None or samples is None:
        return train_cfg.get('max_iters')
    share = -(-samples // int(os.environ.get('WORLD_SIZE', 1)))
    drop = loader.get('drop_last', False)
    each = share // loader.batch_size if drop else -(-share // loader.batch_size)
    return train_cfg.max_epochs * each


def _shorten_average(average: nn.Module, layers: Sequence[int]) -> None:
    average.module.remove_layers(layers)
    average.avg_parameters = (
        average.module.state_dict()
        if average.update_buffers
        else dict(average.module.named_parameters())
    )


def _forget(runner: Runner, params: Iterable[nn.Parameter]) -> None:
    """Drop parameters from the optimizer, and groups that get empty from the schedulers too."""
    gone = {id(param) for param in params}
    optimizer = runner.optim_wrapper.optimizer
    for param in [param for param in optimizer.state if id(param) in gone]:
        del optimizer.state[param]
    kept = []
    for index, group in enumerate(optimizer.param_groups):
        before = len(group['params'])
        group['params'] = [param for param in group['params'] if id(param) not in gone]
        if group['params'] or not before:
            kept.append(index)
    # After its groups MMEngine's wrapper has one more, which only says the rates that are logged.
    kept += range(len(optimizer.param_groups), len(runner.optim_wrapper.param_groups))
    optimizer.param_groups[:] = [g for i, g in enumerate(optimizer.param_groups) if i in kept]
    for scheduler in runner.param_schedulers or []:
        for name in ('base_values', '_last_value', 'min_values'):  # one for each group
            values = getattr(scheduler, name, None)
            if isinstance(values, list):
                setattr(scheduler, name, [values[i] for i in kept])


def _wrap_again(runner: Runner) -> None:
    """A distributed wrapper keeps the list of parameters that it began with."""
    if is_model_wrapper(runner.model):
        model = runner.model.module
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
