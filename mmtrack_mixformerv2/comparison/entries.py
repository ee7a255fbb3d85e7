"""What is compared: names of the model zoo, configs, and configs with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..analysis import analyse
from ..command_line import new_name, split_model
from ..engine import read_config
from ..models.distillation import tracker_settings
from ..zoo import NotHostedError, OfflineError, fetch_weights, find_model, resolve_checkpoint

_RANDOM = 'random weights are as fast as trained ones, and find nothing'


@dataclass
class Entry:
    """A model to compare.

    Attributes:
        name: For people; no two of a comparison have the same.
        config: Its settings, ``model`` of a plain tracker.
        source: Where that is from: a file, or a name of the zoo.
        checkpoint: File with the weights; None for random ones.
        parameters: How many it has.
        multiply_adds: Of a frame whose templates are cached.
        missing: What cannot be measured, and why, by the name of a column.
    """

    name: str
    config: Config
    source: str
    checkpoint: str | None
    parameters: int
    multiply_adds: int
    missing: dict[str, str]


def find_entries(models: Sequence[str]) -> list[Entry]:
    """The models of a command line.

    Args:
        models: Of each ``NAME``, ``CONFIG``, ``CONFIG=CHECKPOINT`` or ``NAME=CHECKPOINT``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name is not known, or a config is of no tracker.
    """
    entries: dict[str, Entry] = {}
    for text in models:
        entry = _find(*split_model(text))
        short = entry.name.split('_test')[0]  # a test config is named after its model
        entry.name = new_name(entry.name if short in entries else short, entries)
        entries[entry.name] = entry
    return list(entries.values())


def _find(model: str, checkpoint: str | None) -> Entry:
    missing = {}
    if Path(model).suffix == '.py':
        config = read_config(model)
        name = Path(model).stem
        if checkpoint is not None:
            checkpoint = str(resolve_checkpoint(checkpoint))
        else:
            missing['accuracy'] = f'{_RANDOM}; give {model}=CHECKPOINT'
    else:
        name, config, checkpoint, reason = _find_in_zoo(model, checkpoint)
        if reason is not None:
            missing['accuracy'] = f'{_RANDOM}; {reason}'
    if not config.get('model'):
        raise ValueError(f'{model} has no model; take the config of a tracker')
    plain = Config(dict(model=tracker_settings(config)))
    try:
        analysis = analyse(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{model}: {error}') from error
    sizes = analysis.parameters['all'].total, analysis.cost.with_cache
    return Entry(name, plain, model, checkpoint, *sizes, missing)


def _find_in_zoo(model: str, checkpoint: str | None) -> tuple[str, Config, str | None, str | None]:
    """Name, config, weights, and why there are none."""
    path = Path(model)
    if path.name != model or path.exists():
        raise ValueError(
            f'{model} is no config and no name of the model zoo; give NAME, CONFIG.py or '
            f'CONFIG.py=CHECKPOINT. Whose weights a file has, `mixformerv2 doctor {model}` says'
        )
    entry = find_model(model)
    if entry.config is None:
        raise ValueError(
            f'{entry.name} is an exported model, which is not compared; give the config and the '
            'checkpoint that it was made from'
        )
    config = read_config(str(entry.config))
    if checkpoint is not None:
        return entry.name, config, str(resolve_checkpoint(checkpoint)), None
    try:
        return entry.name, config, str(fetch_weights(entry.name)), None
    except (NotHostedError, OfflineError) as error:
        return entry.name, config, None, str(error)
