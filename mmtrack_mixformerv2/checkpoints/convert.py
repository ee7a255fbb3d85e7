"""Published weights to ours: pure functions from state dict to state dict, strict by name."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from .key_maps import SYSTEMS, Rule, Sizes, StateDict, System

# The models that have configs of their own: those released, and the other teachers of MixFormerV2.
RELEASED = {
    'mixformerv2-b': Sizes(768, 8, (4.0,) * 8, 16, 288, 128, 96, True),
    'mixformerv2-s': Sizes(768, 4, (1.0,) * 4, 16, 224, 112, 96, True),
    'mixvit-b-plain224': Sizes(768, 12, (4.0,) * 12, 16, 224, 112, 14, False, 'plain', 384),
    'mixvit-b-pyramid288': Sizes(768, 12, (4.0,) * 12, 16, 288, 128, 72, False, 'pyramid', 384),
    'mixvit-l-pyramid288': Sizes(1024, 24, (4.0,) * 24, 16, 288, 128, 72, False, 'pyramid', 384),
    'mixvit-l-pyramid384': Sizes(1024, 24, (4.0,) * 24, 16, 384, 192, 96, False, 'pyramid', 384),
}

# Parts of a tracker that a converted ViT does not contain, as StrictLoadHook(allow_missing=...)
# names them: they start from their initial values.
NOT_IN_A_VIT = (
    'backbone.search_pos_embed',
    'backbone.template_pos_embed',
    'backbone.prediction_tokens',
    'backbone.prediction_pos_embed',
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
    sizes: Sizes
    state_dict: OrderedDict[str, Tensor]
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def identify(state: StateDict) -> System:
    """Tell which published system a state dict belongs to.

    Raises:
        ValueError: If the system is unknown, or known but not supported.
    """
    supported = ', '.join(system.name for system in SYSTEMS if system.layout)
    for system in SYSTEMS:
        if any(name.startswith(system.marks) for name in state):
            if system.layout is None:
                advice = system.advice or f'Supported systems: {supported}.'
                raise ValueError(f'this is {system.name}, which cannot be converted. {advice}')
            return system
    raise ValueError(
        f'these are weights of an unknown system, with names such as {_some(list(state), 4)}; '
        f'supported systems: {supported}.'
    )


def convert_state_dict(state: StateDict) -> Conversion:
    """Rename, rearrange and check published weights; the input is left as it is.

    Every published name is consumed by a rule or dropped by name. Prediction tokens are put into
    the order left, top, right, bottom. Position tables that differ from the fixed formula are kept
    and noted.

    Args:
        state: Published names to tensors, e.g. ``read_checkpoint(path).state_dict``.

    Raises:
        ValueError: If the system is not supported, names are missing or unknown, shapes do not
            agree with each other, or values are not finite.
    """
    system = identify(state)
    dropped, notes = _drop(system, state)
    sizes = system.measure(state)
    rules = system.layout(sizes)
    _check_names(system, state, rules, dropped)
    converted = OrderedDict()
    for source, rule in rules.items():
        if source not in state:
            continue  # a counter
        value = state[source]
        _check_tensor(system, source, value, rule)
        if rule.note and (note := rule.note(source, value)):
            notes.append(note)
        converted[rule.target] = (rule.change(value) if rule.change else value).contiguous()
    return Conversion(system.name, sizes, converted, dropped, tuple(notes))


def fitting_config(sizes: Sizes) -> str | None:
    """Configs that fit, as a pattern of file names, or None if there is none for these sizes."""
    for name, released in RELEASED.items():
        if sizes == released:
            family = name.split('-')[0]
            return f'configs/{family}/{name}{"_test-*" if family == "mixformerv2" else ""}.py'
    return None


def model_settings(sizes: Sizes, num_heads: int | None = None) -> dict[str, object]:
    """Settings that make the model of a config of this system fit, as ``--cfg-options``.

    Args:
        sizes: Of the converted weights.
        num_heads: Attention heads; None for the convention of the published models, one per 64
            channels (left out where that does not divide).

    Raises:
        ValueError: If ``num_heads`` does not divide the width.
    """
    if num_heads is None:
        num_heads = None if sizes.embed_dims % 64 else sizes.embed_dims // 64
    elif num_heads < 1 or sizes.embed_dims % num_heads:
        raise ValueError(f'{num_heads} heads do not divide the width {sizes.embed_dims}.')
    same = len(set(sizes.mlp_ratios)) == 1
    backbone = {
        'search_size': sizes.search_size,
        'template_size': sizes.template_size,
        'patch_size': sizes.patch_size,
        'embed_dims': sizes.embed_dims,
        'depth': sizes.depth,
        'num_heads': num_heads,
        'mlp_ratio': sizes.mlp_ratios[0] if same else list(sizes.mlp_ratios),
    }
    settings = {f'model.backbone.{k}': v for k, v in backbone.items() if v is not None}
    settings['model.box_head.in_channels'] = sizes.embed_dims
    if sizes.corner_design is not None:
        settings['model.box_head.channels'] = sizes.corner_channels
        settings['model.box_head.design'] = sizes.corner_design
        return settings
    if sizes.num_bins is not None:
        settings['model.box_head.num_bins'] = sizes.num_bins
        if not sizes.score_head:
            settings['model.score_head'] = None
    if sizes.score_head or sizes.num_bins is None:
        settings['model.score_head.in_channels'] = sizes.embed_dims
    return settings


def _drop(system: System, state: StateDict) -> tuple[tuple[str, ...], list[str]]:
    """Names that are not needed, and what to say about it."""
    dropped, notes = {}, {}  # in the order of the file, each once
    for name in state:
        for pattern, note in system.dropped.items():
            if fnmatchcase(name, pattern):
                dropped[name], notes[note] = None, None
    return tuple(dropped), [note for note in notes if note]


def _check_names(
    system: System, state: StateDict, rules: dict[str, Rule], dropped: tuple[str, ...]
) -> None:
    missing = [name for name, rule in rules.items() if name not in state and not rule.counter]
    unknown = [name for name in state if name not in rules and name not in dropped]
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
