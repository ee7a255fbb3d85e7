"""What a script needs to track: a config and its weights become a tracker."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS

from .engine import StrictLoadHook


def load_tracker(cfg: Config, checkpoint: str) -> torch.nn.Module:
    """The model of a config with its weights, ready to track.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read or does not fit the model.
    """
    state = CheckpointLoader.load_checkpoint(checkpoint, 'cpu', logger='silent')
    model = MODELS.build(cfg.model)
    StrictLoadHook().check(model, state, source=checkpoint, whole=True)
    model.load_state_dict(state.get('state_dict', state))
    return model.eval().to('cuda' if torch.cuda.is_available() else 'cpu')
