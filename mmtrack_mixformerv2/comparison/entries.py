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
        weights: Which, for people: name of the file, ``'zoo'`` or ``'random'``.
        checkpoint: File with them; None for random ones.
        parameters: How many it has.
        multiply_adds: Of a frame whose templates are cached.
        untrained: Why weights are random; None where they are not.
    """

    name: str
    config: Config
    source: str
    weights: str
    checkpoint: str | None
    parameters: int
    multiply_adds: int
    untrained: str | None


def find_entries(models: Sequence[str]) -> list[Entry]:
    """The models of a command line.

    Args:
        models: Of each ``NAME``, ``CONFIG``, ``CONFIG=CHECKPOINT`` or ``NAME=CHECKPOINT``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name is not known, or a config is of no tracker.
    """
    entries = [_find(*split_model(text)) for text in models]
    groups: dict[str, list[Entry]] = {}
    for entry in entries:  # a test config is named after its model
        groups.setdefault(entry.name.split('_test')[0], []).append(entry)
    taken: set[str] = set()
    for short, group in groups.items():
        for entry, name in zip(group, _tell_apart(short, group)):
            entry.name = new_name(name, taken)
            taken.add(entry.name)
    return entries


def _tell_apart(short: str, group: Sequence[Entry]) -> list[str]:
    """Names of models, as short as most of them differ."""
    files = [Path(one.checkpoint or one.weights).with_suffix('') for one in group]
    candidates = [
        [short for _ in group],
        [one.name for one in group],
        [f'{short} ({Path(one.weights).stem})' for one in group],
        [f'{short} ({"/".join(file.parts[-2:])})' for file in files],
        [f'{one.name} ({file})' for one, file in zip(group, files)],
    ]
    return max(candidates, key=lambda names: len({*names}))


def _find(model: str, checkpoint: str | None) -> Entry:
    untrained, zoo = None, False
    if Path(model).suffix == '.py':
        config = read_config(model)
        name = Path(model).stem
        if checkpoint is not None:
            checkpoint = str(resolve_checkpoint(checkpoint))
        else:
            untrained = f'{_RANDOM}; give {model}=CHECKPOINT'
    else:
        zoo = checkpoint is None
        name, config, checkpoint, reason = _find_in_zoo(model, checkpoint)
        if reason is not None:
            untrained = f'{_RANDOM}; {reason}'
    if not config.get('model'):
        raise ValueError(f'{model} has no model; take the config of a tracker')
    plain = Config(dict(model=tracker_settings(config)))
    try:
        analysis = analyse(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{model}: {error}') from error
    weights = 'random' if checkpoint is None else 'zoo' if zoo else Path(checkpoint).name
    sizes = analysis.parameters['all'].total, analysis.cost.with_cache
    return Entry(name, plain, model, weights, checkpoint, *sizes, untrained)


def _find_in_zoo(model: str, checkpoint: str | None) -> tuple[str, Config, str | None, str | None]:
    """Name, config, weights, and why there are none."""
    path = Path(model)
    if path.name != model or path.exists():
        hint = f'. Whose weights it has, mixformerv2 doctor {model} says' if path.is_file() else ''
        raise ValueError(
            f'{model} is no config and no name of the model zoo; give NAME, CONFIG.py or '
            f'CONFIG.py=CHECKPOINT{hint}'
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
