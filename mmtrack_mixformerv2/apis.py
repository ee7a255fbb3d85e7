"""What a script needs to track: a config and its weights become a tracker."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS

from .engine.strict_load_hook import load_whole


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
