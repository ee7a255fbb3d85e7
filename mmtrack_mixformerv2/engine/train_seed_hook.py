"""A resumed training draws the random numbers that it would have drawn uninterrupted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmtrack.registry import HOOKS


@HOOKS.register_module()
class TrainSeedHook(Hook):
    """Seeds torch, on the CPU and every GPU, from (seed, iteration, rank) before each iteration.

    MMEngine's checkpoints hold no state of the random number generators, so a resumed training
    would draw other masks for drop path or dropout than an uninterrupted one. Starting the workers
    of a data loader draws numbers too, so once per epoch would not do.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed torch for the iteration that begins."""
        sequence = np.random.SeedSequence((runner.seed, runner.iter, get_rank()))
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
