"""What weights are, in words: for people who gave them to the config of something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .convert import bare_names, own_system, published_layout, stranger
from .reading import STATE_DICT_KEYS
from .systems import StateDict, System, TrackerSizes

CONVERT = 'python tools/model_converters/convert_checkpoint.py'


@dataclass(frozen=True)
class Named:
    """Weights whose system is known.

    Attributes:
        system: The system.
        sizes: Its sizes; None if weights that tell them are missing.
        converted: Whether the names are ours, and not the published ones.
        options: Of the conversion of published weights.
    """

    system: System
    sizes: TrackerSizes | None
    converted: bool
    options: str = ''

    @property
    def title(self) -> str:
        """System and variant."""
        return self.sizes.title if self.sizes else self.system.name


def name_weights(state: StateDict, *, keep_score: bool = True) -> Named | None:
    """Tell what weights are, by their names and shapes alone; None if that is unknown.

    Args:
        state: Names, without the prefix of a distributed wrapper, to tensors.
        keep_score: Whether a score head is wanted that is only converted when asked for.
    """
    state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if (system := own_system(state)) is not None:
        return Named(system, _measured(system.measure, state), converted=True)
    if (found := published_layout(state)) is None:
        return None
    system, layout = found
    score = [name for name in state if layout.is_score(name)]
    if not keep_score:
        state = {name: value for name, value in state.items() if name not in score}
    options = ' --keep-score' if score and keep_score else ''
    return Named(system, _measured(layout.measure, state), converted=False, options=options)


def measure(state: StateDict) -> TrackerSizes:
    """Sizes of weights under our names.

    Raises:
        ValueError: If these are other weights, or some that tell a size are missing.
    """
    system = own_system(state)
    if system is None:
        raise ValueError('these are no weights of a tracker of this toolbox.')
    return system.measure(state)


def describe_misfit(source: str, checkpoint: Any, model: StateDict) -> tuple[str, bool] | None:
    """Say what a checkpoint is, what the config builds, and which config fits.

    Args:
        source: What to call the checkpoint: its path, or that with what it is for before it.
        checkpoint: A dict with the weights in a usual place, or the weights.
        model: Names to tensors of the model.

    Returns:
        What to say, or None if either is unknown or their sizes are the same. And whether a list of
        names says more: both are of one system, or the checkpoint is a backbone.
    """
    wanted = name_weights(model)
    if wanted is None or not wanted.sizes or not wanted.converted:
        return None  # a part of a model may have names that are those of a published one
    place, state = _find_weights(checkpoint)
    if (name := stranger(state)) is not None:
        return (
            f'it holds {name}, which has no config here; the config builds {wanted.title}.',
            False,
        )
    keep_score = any(name.startswith('score_head.') for name in model)
    found = name_weights(state, keep_score=keep_score)
    if found is None:
        return None
    if found.converted and place not in ('state_dict', ''):
        return (
            f'it holds {found.title} (converted), but under {place!r}, where only published files '
            'have their weights; save them as dict(state_dict=...).',
            False,
        )
    if found.converted and found.sizes == wanted.sizes:
        return None
    origin = 'converted' if found.converted else 'as published, not converted'
    held, built = f'{found.title} ({origin})', wanted.title
    if found.title == wanted.title and found.sizes and found.sizes != wanted.sizes:
        held = f'{found.title} ({origin}; {found.sizes.details})'
        built = f'{wanted.title} ({wanted.sizes.details})'
    text = f'it holds {held}; the config builds {built}.'
    is_part = found.sizes is not None and not found.sizes.is_tracker
    return f'{text} {_advice(source, found, wanted)}', is_part or found.system is wanted.system


def conversion_advice(path: str, state: StateDict) -> str:
    """What a published file holds, how it is converted, and which config fits; '' if unknown."""
    found = name_weights(state)
    if found is None or found.converted:
        name = stranger(state)
        return '' if name is None else f'It holds {name}, which has no config here.'
    return f'It holds {found.title} (as published, not converted). {_advice(path, found)}'


def describe_weights(path: str, checkpoint: Any) -> str:
    """What a checkpoint holds, and how it is converted if it is as published; '' if unknown."""
    state = weights_in(checkpoint)
    found = name_weights(state)
    if found is not None and found.converted:
        return f'It holds {found.title} (converted).'
    return conversion_advice(path, state)


def conversion_command(path: str | Path, options: str = '') -> str:
    """The command that converts a published file."""
    path = Path(path)
    stem = path.name.split('.')[0]
    target = f'{stem}.pth' if path.name != f'{stem}.pth' else f'{stem}_converted.pth'
    return f'{CONVERT} {path} {target}{options}'


def weights_in(checkpoint: Any) -> dict[str, Tensor]:
    """Tensors of a checkpoint, wherever it has them, without the prefix of a wrapper."""
    return _find_weights(checkpoint)[1]


def _find_weights(checkpoint: Any) -> tuple[str, dict[str, Tensor]]:
    """The name of the place where a checkpoint has its weights, '' for no such place, and they."""
    if not isinstance(checkpoint, Mapping):
        return '', {}
    places = (key for key in STATE_DICT_KEYS if isinstance(checkpoint.get(key), Mapping))
    place = next(places, '')
    state = checkpoint[place] if place else checkpoint
    return place, bare_names({n: value for n, value in state.items() if isinstance(value, Tensor)})


def _measured(function: Any, state: StateDict) -> TrackerSizes | None:
    try:
        return function(state)
    except ValueError:
        return None


def _advice(source: str, found: Named, wanted: Named | None = None) -> str:
    config = found.sizes.config if found.sizes else None
    if found.sizes and not found.sizes.is_tracker:
        use = 'It is to start a training from, as load_from or init_cfg'
    elif wanted and found.sizes == wanted.sizes:
        use = 'Use the converted file'
    else:
        use = f'Use {config} with it'
        if config is None:
            name = found.system.name
            use = f'Use the {name} config that it was made with; `mixformerv2 doctor` looks for it'
    if found.converted:
        return f'{use}.'
    path = source.removeprefix('the teacher_checkpoint ')
    return f'Convert it first: `{conversion_command(path, found.options)}`. {use}.'
