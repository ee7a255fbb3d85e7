"""A checkpoint in the middle of an accumulated step holds the gradients gathered so far."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmtrack.registry import HOOKS

from .strict_load_hook import bare_model

_KEY = 'pending_gradients'


@HOOKS.register_module()
class PendingGradientsHook(Hook):
    """Saves and restores gradients that have been accumulated but not applied.

    Where the iterations of an epoch are no multiple of ``accumulative_counts``, MMEngine's
    checkpoint lies within a step, and the resumed training would lack a part of it. In a
    distributed training only what the first process gathered is kept.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the gradients beside the weights, if there are any to keep."""
        wrapper = runner.optim_wrapper
        counts = getattr(wrapper, '_accumulative_counts', 1)
        if counts > 1 and wrapper._inner_count % counts:
            checkpoint[_KEY] = {
                name: param.grad.detach().cpu()
                for name, param in bare_model(runner.model).named_parameters()
                if param.grad is not None
            }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Give them back to the parameters of a training that is resumed."""
        if runner._resume and _KEY in checkpoint:
            for name, param in bare_model(runner.model).named_parameters():
                if name in checkpoint[_KEY]:
                    param.grad = checkpoint[_KEY][name].to(param)
