"""Weights that authors publish in their own format: converted, verified and kept under our names.

The only part of the zoo that needs torch and OpenMMLab; it imports them when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import file_sha256, replace_file
from ..version import __version__
from .errors import WrongFileError, ZooError
from .fetching import cached_path, checksum_path, lock
from .index import ZooModel, list_models
from .storage import storage_errors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TakenWeights:
    """What became of a published file.

    Attributes:
        path: The converted file in the cache.
        system: Name of the published system.
        parameters: Numbers in it that are learned.
        notes: What a user should know, e.g. of parts that were left out.
    """

    path: Path
    system: str
    parameters: int
    notes: tuple[str, ...]


def convert_weights(
    model: ZooModel, file: str | os.PathLike, cache: str | os.PathLike | None = None
) -> TakenWeights:
    """Convert a file that the authors of a model publish, so that its name works from then on.

    Nothing that is pickled in the file is executed. Every name in it must be known, every value
    finite, and the result must fit the model of the config exactly. A file that
    ``convert_checkpoint.py`` wrote is taken as well.

    Args:
        model: Whose weights they are.
        file: As downloaded.
        cache: Folder of the converted file, see :func:`.settings.cache_folder`.

    Raises:
        FileNotFoundError: If there is no such file.
        WrongFileError: If it holds other weights.
        ValueError: If it cannot be read.
        StorageError: If the cache cannot be written.
    """
    if not model.published_file:
        raise ZooError(f'{model.name} needs no conversion: its weights are at {model.weights}.')
    from ..checkpoints import read_checkpoint, write_checkpoint

    checkpoint = read_checkpoint(file)
    state, system, notes = _convert(model, Path(file), checkpoint.state_dict)
    parameters = _verify(model, Path(file), state)
    meta = {
        'system': system,
        'notes': list(notes),
        'source': {'file': Path(file).name, 'sha256': file_sha256(file), **checkpoint.info},
        'mmtrack_mixformerv2': __version__,
    }
    path = cached_path(model, cache)
    with lock(path), storage_errors(path, Path(file).stat().st_size):
        write_checkpoint(state, meta, path, force=True)
        replace_file(checksum_path(path), f'{file_sha256(path)}  {path.name}\n'.encode())
    return TakenWeights(path, system, parameters, notes)


def _convert(
    model: ZooModel, file: Path, state: Mapping[str, Tensor]
) -> tuple[Mapping[str, Tensor], str, tuple[str, ...]]:
    """Weights under our names, what they are of, and notes."""
    from mmengine.config import Config

    from ..checkpoints import convert_state_dict, fitting_config, name_weights

    named = name_weights(state)
    if named is not None and named.converted:
        return state, 'a converted file', ()
    keep_score = bool(Config.fromfile(model.config).model.get('score_head'))
    conversion = convert_state_dict(state, keep_score=keep_score)
    pattern = fitting_config(conversion.sizes)
    fitting = [one.name for one in list_models() if pattern and _is_config(one, pattern)]
    if fitting and model.name not in fitting:
        raise WrongFileError(
            f'{file} has the weights of {conversion.sizes.title}, {conversion.sizes.details}. That '
            f'is not {model.name} but {fitting[0]}: mixformerv2 download {fitting[0]} --from {file}'
        )
    return conversion.state_dict, conversion.system, conversion.notes


def _is_config(model: ZooModel, pattern: str) -> bool:
    """Whether the config of a model matches a pattern that starts at the root of the repository."""
    return model.config is not None and model.config.match(pattern)


def _verify(model: ZooModel, file: Path, state: Mapping[str, Tensor]) -> int:
    """Load weights into the model of the config; how many parameters it has.

    Raises:
        WrongFileError: If they do not fit, or hold what is no number.
    """
    from .. import register

    register()
    from mmengine.config import Config
    from mmtrack.registry import MODELS

    from ..engine.strict_load_hook import load_whole

    settings: dict[str, Any] = Config.fromfile(model.config).model
    tracker = MODELS.build(settings)
    try:
        load_whole(tracker, dict(state), source=str(file))
    except ValueError as error:
        raise WrongFileError(f'{file} has no weights of {model.name}. {error}') from error
    bad = [name for name, value in state.items() if not value.isfinite().all()]
    if bad:
        raise WrongFileError(f'{file}: {bad[0]} has values that are NaN or infinite.')
    return sum(value.numel() for value in tracker.parameters())
