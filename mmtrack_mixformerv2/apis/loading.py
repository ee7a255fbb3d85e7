"""Configs and weights to models, and OpenMMLab's names for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from mmtrack import apis as mmtrack_apis
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample

from ..engine.strict_load_hook import load_whole
from ..zoo import fetch_weights, find_model, resolve_checkpoint

__all__ = ['find_files', 'inference_sot', 'init_model', 'load_tracker']


Model = Union[str, os.PathLike, Config]


class ModelFiles(NamedTuple):
    """What makes a model.

    Attributes:
        name: For people.
        config: It has ``model``.
        checkpoint: File with the weights.
    """

    name: str
    config: Config
    checkpoint: str


def find_files(model: Model, checkpoint: str | os.PathLike | None = None) -> ModelFiles:
    """Config and weights of a model.

    Args:
        model: A name from the model zoo, a config, or its file.
        checkpoint: File or name of the weights; a config needs one.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If the name is not known, its weights cannot be fetched, or a config comes
            without a checkpoint.
    """
    if isinstance(model, Config):
        name, config = Path(model.filename or 'model').stem, model
    elif Path(model).suffix == '.py':
        if not Path(model).is_file():
            raise FileNotFoundError(f'there is no config {model}')
        name, config = Path(model).stem, Config.fromfile(model)
    elif Path(model).is_file():
        raise ValueError(
            f'{model} is no config; pass its config first: Tracker(config, {str(model)!r}). Which '
            f'one that is, `mixformerv2 doctor {model}` says'
        )
    elif Path(model).name != str(model) and str(model):
        raise FileNotFoundError(f'there is no file or folder {model}')
    else:
        entry = find_model(str(model))
        path = fetch_weights(entry.name) if checkpoint is None else resolve_checkpoint(checkpoint)
        return ModelFiles(entry.name, Config.fromfile(entry.config), str(path))
    if checkpoint is None:
        raise ValueError(
            f'the config {name} needs a checkpoint: a file of weights, or a name of the model zoo'
        )
    return ModelFiles(name, config, str(resolve_checkpoint(checkpoint)))


def load_tracker(
    cfg: Config, checkpoint: str | os.PathLike, device: str | None = None
) -> torch.nn.Module:
    """The model of a config with its weights, ready to track.

    Args:
        cfg: It has ``model``.
        checkpoint: File with the weights, or a name from the model zoo.
        device: Where it is to run; None for the GPU if there is one.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read or does not fit the model, or there is no such device.
    """
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device is {device!r}, expected 'cpu', 'cuda', or 'cuda:1' for the second GPU"
        ) from error
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, and torch sees no GPU; choose 'cpu'")
    state = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu', logger='silent')
    model = MODELS.build(cfg.model)
    load_whole(model, state, source=str(checkpoint))
    return model.eval().to(device)


def init_model(
    config: Model,
    checkpoint: str | os.PathLike | None = None,
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> torch.nn.Module:
    """A model for ``inference_sot``, under the name that MMTracking has for it.

    ::

        model = init_model('mixformerv2-tiny')
        sample = inference_sot(model, frame_bgr, init_bbox=(x1, y1, x2, y2), frame_id=0)

    Differences to MMTracking's: it takes names from the model zoo, loads strictly, and picks the
    device.

    Args:
        config: A name from the model zoo, a test config, or its file.
        checkpoint: File or name of the weights; a config needs one.
        device: Where it is to run; None for the GPU if there is one.
        cfg_options: Settings that replace those of the config, by dotted names.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: As :func:`find_files` and :func:`load_tracker`.
    """
    found = find_files(config, checkpoint)
    if cfg_options:
        found.config.merge_from_dict(cfg_options)
    model = load_tracker(found.config, found.checkpoint, device)
    model.cfg = found.config
    model.dataset_meta = {'CLASSES': None}
    return model


def inference_sot(
    model: torch.nn.Module, image: np.ndarray, init_bbox: np.ndarray, frame_id: int
) -> TrackDataSample:
    """MMTracking's function of that name, whatever the default scope is.

    Args:
        model: As :func:`init_model` gives it.
        image: BGR uint8 ``(height, width, 3)``, as OpenCV reads it.
        init_bbox: The target in the first frame, x1, y1, x2, y2 in pixels, ``(4,)`` or ``(1, 4)``.
        frame_id: 0 for the first frame.

    Returns:
        The box is in ``pred_track_instances``: ``bboxes`` ``(1, 4)`` xyxy in pixels, and ``scores``
        ``(1,)``, -1 where there is none.
    """
    row = np.reshape(init_bbox, (1, 4))
    with DefaultScope.overwrite_default_scope('mmtrack'):
        return mmtrack_apis.inference_sot(model, image, row, frame_id)
