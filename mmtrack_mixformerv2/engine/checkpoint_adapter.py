"""Hooks that make a checkpoint and a model fit each other before they are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from .strict_load_hook import bare_model, checkpoint_origin


class CheckpointAdapterHook(Hook, ABC):
    """Changes a checkpoint that was read, or the model it is for, before StrictLoadHook looks.

    ``check_training`` and ``check_test`` do the same before a runner exists, so that what still
    does not fit is refused before anything is written.
    """

    priority = 'HIGHEST'

    @abstractmethod
    def adapt(self, model: nn.Module, checkpoint: dict, *, source: str, resume: bool) -> str | None:
        """Make them fit.

        Args:
            model: The model, without a distributed wrapper; may be changed.
            checkpoint: As read; may be changed.
            source: What to call the checkpoint in messages.
            resume: Whether the checkpoint is of this model itself, because a training goes on from
                it or a test uses it; if not, a training starts with its weights.

        Returns:
            What was done, as one line for the log, or None.

        Raises:
            ValueError: If they cannot be made to fit.
        """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adapt what the runner is about to load."""
        source, whole = checkpoint_origin(runner)
        if done := self.adapt(bare_model(runner.model), checkpoint, source=source, resume=whole):
            runner.logger.info(done)
