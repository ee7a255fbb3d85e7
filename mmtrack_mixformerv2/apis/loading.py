"""What a script needs to track: a config and its weights become a tracker."""

from __future__ import annotations

import os
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS

from .deployment.backends import build_predictor
from .engine.strict_load_hook import load_whole
from .tracking import SequenceTracker, Tracker


def open_tracker(config: str | os.PathLike | Config, checkpoint: str, **runtime: Any) -> Tracker:
    """A tracker of videos, on what is to run its network.

    Args:
        config: A test config, or its file.
        checkpoint: File with the weights.
        runtime: For :func:`~.deployment.backends.build_predictor`: ``backend``, ``dtype``,
            ``compile``, ``exported``, ``num_threads``. By default torch, in float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file cannot be read, does not fit, or the settings do not fit each other.
        BackendNotInstalled: If a package is missing.
    """
    config = config if isinstance(config, Config) else Config.fromfile(config)
    model = load_tracker(config, checkpoint)
    return Tracker(SequenceTracker(build_predictor(model, **runtime), model.loop.settings))


def load_tracker(cfg: Config, checkpoint: str) -> torch.nn.Module:
    """The model of a config with its weights, ready to track.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read or does not fit the model.
    """
    state = CheckpointLoader.load_checkpoint(checkpoint, 'cpu', logger='silent')
    model = MODELS.build(cfg.model)
    load_whole(model, state, source=checkpoint)
    return model.eval().to('cuda' if torch.cuda.is_available() else 'cpu')
