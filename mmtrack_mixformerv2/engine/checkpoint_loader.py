"""Checkpoint files are read without executing what is pickled in them.

MMEngine 0.10 cannot read the checkpoints that it writes under the safe loading of torch 2.6 and
later, and reads those it downloads with the check switched off. The two functions here take the
place of its loaders for local files and for ``http(s)`` through its own registry of loaders, so
``resume``, ``load_from``, ``init_cfg=dict(type='Pretrained')`` and the EMA hook all use them,
and all of them take names of the model zoo.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.runner import CheckpointLoader
from torch.serialization import get_unsafe_globals_in_checkpoint

from ..checkpoints import conversion_advice, read_checkpoint
from ..zoo import resolve_checkpoint
from .stand_ins import STAND_INS, restore, stand_ins_allowed

_ZIP_MAGIC = b'PK\x03\x04'


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Any = None) -> dict:
    """Read a checkpoint file: tensors, plain Python values, and MMEngine's training state.

    Args:
        filename: Path of the file, or a name of the model zoo.
        map_location: As in :func:`torch.load`.

    Returns:
        What was saved, usually a dict with ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is no checkpoint, or holds pickled code, or if no
            model has the name or its weights are not to be had.
    """
    path = Path(resolve_checkpoint(filename)).expanduser()
    if not path.is_file():
        found = 'is a directory' if path.is_dir() else 'does not exist'
        raise FileNotFoundError(f'the checkpoint file {path} {found}')
    needed = _read(path, _needed_globals, path)
    if not needed:
        return _without_code(_read(path, torch.load, path, map_location, weights_only=True))
    foreign = needed - STAND_INS.keys()
    if foreign:
        _refuse(path, f'refers to {", ".join(sorted(foreign))}')
    with stand_ins_allowed():
        checkpoint = _read(path, torch.load, path, map_location, weights_only=True)
    return _without_code(_read(path, restore, checkpoint))


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_http(url: str, map_location: Any = None) -> dict:
    """Download a checkpoint into torch's cache, once, and read it as :func:`load_from_local` does.

    Raises:
        ValueError: As :func:`load_from_local`.
    """
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    path = folder / os.path.basename(urlparse(url).path)
    if get_rank() == 0:
        _download(url, path)
    barrier()
    _download(url, path)  # for the other machines of a distributed run
    return load_from_local(path, map_location)


def _download(url: str, path: Path) -> None:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))


def _needed_globals(path: Path) -> set[str]:
    """Names in the file that torch's safe loading does not know, read without executing any.

    Empty for files older than torch's zip format; MMEngine's training state never is in one.
    """
    with path.open('rb') as file:
        if file.read(len(_ZIP_MAGIC)) != _ZIP_MAGIC:
            return set()
    return set(get_unsafe_globals_in_checkpoint(path))


def _read(path: Path, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call ``function``, which parses the file, and explain what it raises."""
    try:
        return function(*args, **kwargs)
    except pickle.UnpicklingError as error:
        name = re.search(r'GLOBAL ([\w.]+)', str(error))
        _refuse(path, f'refers to {name[1]}' if name else 'cannot be read as plain data', error)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # bytes of unknown origin can make a parser raise anything
        raise ValueError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint: '
            f'{_describe(error)}. Expected a complete file that '
            'torch.save wrote; if it was copied or downloaded, fetch it again.'
        ) from error


def _describe(error: Exception) -> str:
    """A KeyError alone says no more than a number of the parser."""
    text = str(error).rstrip('.')
    return text if text and not isinstance(error, KeyError) else f'{type(error).__name__} {text}'


def _refuse(path: Path, reason: str, error: Exception | None = None) -> NoReturn:
    try:
        advice = conversion_advice(str(path), read_checkpoint(path).state_dict)
    except (OSError, ValueError):
        advice = ''
    advice = advice or (
        'Convert published files with tools/model_converters/convert_checkpoint.py, which reads '
        'only their tensors.'
    )
    raise ValueError(
        f'{path} {reason}: this file holds pickled code, which is not executed. {advice}'
    ) from error


def _without_code(checkpoint: Any) -> Any:
    """Drop ``meta['config']``, source code that MMEngine would execute when it resumes.

    MMEngine itself saves the text of the config under another key, ``cfg``, and never runs that.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint
