"""Published weights to ours: pure functions from state dict to state dict, strict by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from .systems import STRANGERS, SYSTEMS, Layout, Rule, StateDict, System, TrackerSizes

WRAPPER = 'module.'  # what a distributed wrapper puts before every name

# Parts of a tracker that a converted ViT does not contain, as StrictLoadHook(allow_missing=...)
# names them: they start from their initial values.
NOT_IN_A_VIT = (
    'backbone.search_pos_embed',
    'backbone.template_pos_embed',
    'backbone.prediction_tokens',
    'backbone.prediction_pos_embed',
    'backbone.dual_attention',
    'box_head',
    'score_head',
)


@dataclass(frozen=True)
class Conversion:
    """Converted weights and where they came from.

    Attributes:
        system: Name of the published system.
        sizes: Its sizes.
        state_dict: The weights under our names.
        dropped: Published names that are known and not needed.
        notes: What a user should know, e.g. of an unusual position table or of a part left out.
    """

    system: str
    sizes: TrackerSizes
    state_dict: OrderedDict[str, Tensor]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def identify(state: StateDict) -> System:
    """Tell which published system a state dict belongs to.

    Raises:
        ValueError: If the system is unknown, or these are weights of this toolbox.
    """
    return _published(state)[0]


def published_layout(state: StateDict) -> tuple[System, Layout] | None:
    """The system and the layout of published weights, or None if they are something else."""
    pairs = ((system, layout) for system in SYSTEMS for layout in system.layouts)
    return next((pair for pair in pairs if _has(state, pair[1].marks)), None)


def stranger(state: StateDict) -> str | None:
    """The name of a known tracker whose weights nothing here runs, or None."""
    if published_layout(state) is not None:
        return None
    return next((one.name for one in STRANGERS if _has(state, one.marks)), None)


def own_system(state: StateDict) -> System | None:
    """The system whose weights under our names these are, or None if they are something else."""
    if published_layout(state) is not None or stranger(state) is not None:
        return None
    return next((system for system in SYSTEMS if _has(state, system.marks)), None)


def bare_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights without the prefix of a distributed wrapper, unless it belongs to a layout."""
    state = {str(name): value for name, value in state.items()}
    if published_layout(state) is not None:
        return state
    return {name.removeprefix(WRAPPER): value for name, value in state.items()}


def convert_state_dict(state: StateDict, *, keep_score: bool = False) -> Conversion:
    """Rename, rearrange and check published weights; the input is left as it is.

    Every published name is consumed by a rule or dropped by name. Prediction tokens are put into
    the order left, top, right, bottom. Position tables that differ from the fixed formula are kept
    and noted.

    Args:
        state: Published names to tensors, e.g. ``read_checkpoint(path).state_dict``; a distributed
            wrapper may have put its prefix before them.
        keep_score: Also convert MixViT's score prediction module, if there is one. A teacher needs
            none. Score heads of the other systems are always converted.

    Raises:
        ValueError: If the system is not supported, names are missing or unknown, shapes do not
            agree with each other, or values are not finite.
    """
    state = bare_names(state)
    system, layout = _published(state)
    left_out = layout.dropped if keep_score else {**layout.dropped, **layout.score}
    dropped, notes = _drop(left_out, state)
    notes += [layout.note] if layout.note else []
    kept = {name: value for name, value in state.items() if name not in dropped}
    sizes = layout.measure(kept)
    rules = layout.rules(sizes)
    _check_names(system, kept, rules)
    converted = OrderedDict()
    for source, rule in rules.items():
        if source not in kept:
            continue  # a counter
        value = kept[source]
        _check_tensor(system, source, value, rule)
        if rule.note and (note := rule.note(source, value)):
            notes.append(note)
        for made in (rule, *rule.also):
            converted[made.target] = (made.change(value) if made.change else value).contiguous()
    return Conversion(system.name, sizes, converted, tuple(dropped), tuple(notes))


def fitting_config(sizes: TrackerSizes) -> str | None:
    """Configs that fit, as a pattern of file names, or None if there is none for these sizes."""
    return sizes.config


def model_settings(sizes: TrackerSizes, num_heads: int | None = None) -> dict[str, object]:
    """Settings that make the model of a config of this system fit, as ``--cfg-options``.

    Args:
        sizes: Of the converted weights.
        num_heads: Attention heads; None for the convention of the published models (left out where
            that does not divide).

    Raises:
        ValueError: If ``num_heads`` does not divide the width.
    """
    return sizes.settings(num_heads)


def _published(state: StateDict) -> tuple[System, Layout]:
    """Like :func:`published_layout`, and raise for what has none."""
    if (found := published_layout(state)) is not None:
        return found
    if (system := own_system(state)) is not None:
        raise ValueError(
            f'these are {system.name} weights of this toolbox. They need no conversion: hand them '
            'to --checkpoint or load_from as they are.'
        )
    name = stranger(state)
    kind = 'an unknown system' if name is None else f'{name}, which has no config here'
    raise ValueError(
        f'these are weights of {kind}, with names such as {_some(list(state), 4)}; '
        f'supported systems: {", ".join(system.name for system in SYSTEMS)}.'
    )


def _has(state: StateDict, marks: tuple[str, ...]) -> bool:
    return any(name.startswith(marks) for name in state)


def _drop(left_out: Mapping[str, str], state: StateDict) -> tuple[list[str], list[str]]:
    """Names that are not needed, and what to say about it."""
    dropped, notes = {}, {}  # in the order of the file, each once
    for name in state:
        for pattern, note in left_out.items():
            if fnmatchcase(name, pattern):
                dropped[name], notes[note] = None, None
    return list(dropped), [note for note in notes if note]


def _check_names(system: System, state: StateDict, rules: dict[str, Rule]) -> None:
    missing = [name for name, rule in rules.items() if name not in state and not rule.counter]
    unknown = [name for name in state if name not in rules]
    if missing or unknown:
        parts = [
            f'{what} {_some(names, 10)}'
            for what, names in (('lack', missing), ('have unknown', unknown))
            if names
        ]
        raise ValueError(
            f'these {system.name} weights {" and ".join(parts)}; nothing was converted. Expected '
            'exactly the names of the published model.'
        )


def _check_tensor(system: System, name: str, tensor: Tensor, rule: Rule) -> None:
    if tuple(tensor.shape) != rule.shape:
        raise ValueError(
            f'{name!r} has shape {tuple(tensor.shape)}, expected {rule.shape} from the other '
            f'weights of this {system.name}.'
        )
    if rule.counter:
        if tensor.dtype != torch.int64:
            raise ValueError(f'{name!r} is {tensor.dtype}, expected a torch.int64 count.')
        return
    if not tensor.is_floating_point():
        raise ValueError(f'{name!r} is {tensor.dtype}, expected floating-point weights.')
    if not tensor.isfinite().all():
        raise ValueError(f'{name!r} holds NaN or infinite values; the file is damaged.')


def _some(names: list[str], count: int) -> str:
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(repr(name) for name in names[:count]) + more
