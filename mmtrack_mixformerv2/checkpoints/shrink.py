"""Weights of a tracker to those of a smaller one: pure functions from state dict to state dict.

MixFormerV2 (arXiv 2305.15896) makes small models from the weights of large ones: it drops layers
(section 3.3; Tables 3e and 8b compare which) and cuts the hidden units of the MLPs. All functions
leave their input as it is, keep the names that they are not about, and share the tensors that they
do not change. Layers are counted from zero.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..position import sincos_position_table
from .naming import name_weights
from .systems import MAE_VIT, MIXFORMERV2, MIXVIT

StateDict = Mapping[str, Tensor]

# How the hidden units of an MLP that stay are chosen.
UNITS = ('first', 'norm')

# Whose blocks are those of PMAMViT.
_PRUNABLE = (MIXFORMERV2, MIXVIT, MAE_VIT)

_BLOCK = re.compile(r'backbone\.blocks\.(\d+)\.(.+)')


def check_prunable(state: StateDict, source: str = 'the weights') -> None:
    """Refuse, by its name, a system whose layers do not have one design and width.

    Weights of an unknown system pass, so that trackers of one's own can be cut down.

    Raises:
        ValueError: If these are weights of such a system.
    """
    found = name_weights(state)
    if found is not None and found.converted and found.system not in _PRUNABLE:
        raise ValueError(
            f'{source} holds {found.title}; only the ViT of MixFormerV2 and MixViT can be cut '
            'down. Train a smaller model instead.'
        )


def depth_of(state: StateDict) -> int:
    """Number of layers.

    Raises:
        ValueError: If there is none, or they are not numbered densely from zero.
    """
    found = sorted({int(match[1]) for match in map(_BLOCK.fullmatch, state) if match})
    if not found:
        raise ValueError(
            'the weights have no backbone.blocks.0, .1, ...; expected those of MixFormerV2 or '
            'MixViT under the names of this toolbox. Convert published files first, with '
            'tools/model_converters/convert_checkpoint.py.'
        )
    if found != list(range(len(found))):
        raise ValueError(
            f'the weights have the layers {_text(found)} and none between; expected numbers '
            f'without gaps from 0 to {len(found) - 1}.'
        )
    return len(found)


def keep_layers(state: StateDict, layers: Iterable[int]) -> OrderedDict[str, Tensor]:
    """Leave out all other layers and number the rest densely, in the order that they had.

    Args:
        state: Weights of a tracker under our names.
        layers: Layers to keep, in any order.

    Raises:
        ValueError: If a layer does not exist or is named twice, or none is named.
    """
    kept = sorted(_checked(layers, depth_of(state), 'keep'))
    if not kept:
        raise ValueError('no layer is left; keep at least one.')
    number = {str(old): new for new, old in enumerate(kept)}
    smaller = OrderedDict()
    for name, value in state.items():
        match = _BLOCK.fullmatch(name)
        if match is None:
            smaller[name] = value
        elif match[1] in number:
            smaller[f'backbone.blocks.{number[match[1]]}.{match[2]}'] = value
    return smaller


def drop_layers(state: StateDict, layers: Iterable[int]) -> OrderedDict[str, Tensor]:
    """Leave out layers and number the rest densely, as :func:`keep_layers`.

    Raises:
        ValueError: If a layer does not exist or is named twice, or none is left.
    """
    return keep_layers(state, other_layers(depth_of(state), layers))


def other_layers(depth: int, layers: Iterable[int]) -> list[int]:
    """What is left of ``depth`` layers when some are dropped.

    Raises:
        ValueError: If a layer does not exist or is named twice.
    """
    gone = _checked(layers, depth, 'drop')
    return [i for i in range(depth) if i not in gone]


def first_layers(depth: int, count: int) -> list[int]:
    """The first ``count`` of ``depth`` layers (Tables 3e and 8b, "Tea-fir")."""
    _check_count(depth, count)
    return list(range(count))


def skip_layers(depth: int, count: int) -> list[int]:
    """``count`` of ``depth`` layers at even distances, the last one included ("Tea-skip").

    Layer ``ceil(i depth / count) - 1`` for i = 1 ... count: 2, 5, 8, 11 for 12 to 4, as in the
    paper, and all but 0, 3, 6, 9 for 12 to 8, as in the published code.
    """
    _check_count(depth, count)
    return [-(-i * depth // count) - 1 for i in range(1, count + 1)]


def hidden_widths(state: StateDict) -> list[int]:
    """Hidden units of the MLP of every layer.

    Raises:
        ValueError: As :func:`depth_of`, or if a part of the MLP of a layer is missing or does not
            fit the others.
    """
    widths, dims = [], None
    for i in range(depth_of(state)):
        prefix = f'backbone.blocks.{i}.mlp.'
        parts = [f'{prefix}{part}' for part in ('fc1.weight', 'fc1.bias', 'fc2.weight')]
        for name in parts:
            if name not in state:
                raise ValueError(f'the weights lack {name}; expected those of a complete tracker.')
        shapes = [tuple(state[name].shape) for name in parts]
        hidden, width = shapes[0] if len(shapes[0]) == 2 else (0, 0)
        dims = dims or width
        if not hidden or shapes != [(hidden, dims), (hidden,), (dims, hidden)]:
            raise ValueError(
                f'the MLP of layer {i} has weights of the shapes {shapes} ({", ".join(parts)}); '
                f'expected (hidden, {dims or "C"}), (hidden,) and ({dims or "C"}, hidden).'
            )
        widths.append(hidden)
    return widths


def mlp_ratios(state: StateDict) -> list[float]:
    """``mlp_ratio`` of every layer: hidden units over the width, which gives them back exactly."""
    widths = hidden_widths(state)
    dims = state['backbone.blocks.0.mlp.fc1.weight'].shape[1]
    return [
        hidden / dims if int(dims * (hidden / dims)) == hidden else (hidden + 0.5) / dims
        for hidden in widths
    ]


def reduce_mlp(
    state: StateDict, hidden: int | Sequence[int], units: str = 'first'
) -> OrderedDict[str, Tensor]:
    """Cut hidden units of the MLPs: w' = w[:d1', :d2'] of both linear layers (section 3.3).

    Args:
        state: Weights of a tracker under our names.
        hidden: Units that are left, d': one number, or one per layer.
        units: Which ones: ``'first'``, as the paper, or ``'norm'``, those with the largest product
            of the L2 norms of their incoming weights (a row of ``fc1``) and of their outgoing
            weights (a column of ``fc2``). They keep their order.

    Raises:
        ValueError: If ``hidden`` has another length than there are layers, or a number is not from
            1 to the units that there are, or ``units`` is something else.
    """
    if units not in UNITS:
        raise ValueError(f"units is {units!r}, expected 'first' or 'norm'")
    before = hidden_widths(state)
    wanted = [hidden] * len(before) if isinstance(hidden, int) else list(hidden)
    if len(wanted) != len(before):
        raise ValueError(
            f'{len(wanted)} hidden widths were given for {len(before)} layers; give one number, or '
            'one per layer.'
        )
    smaller = OrderedDict(state)
    for i, (width, count) in enumerate(zip(before, wanted)):
        if not 1 <= count <= width:
            raise ValueError(
                f'the MLP of layer {i} has {width} hidden units and cannot be cut to {count}; '
                f'expected 1 to {width}.'
            )
        if count == width:
            continue
        fc1, fc2 = (f'backbone.blocks.{i}.mlp.{layer}' for layer in ('fc1', 'fc2'))
        kept = _units(state[f'{fc1}.weight'], state[f'{fc2}.weight'], count, units)
        smaller[f'{fc1}.weight'] = state[f'{fc1}.weight'][kept]
        smaller[f'{fc1}.bias'] = state[f'{fc1}.bias'][kept]
        smaller[f'{fc2}.weight'] = state[f'{fc2}.weight'][:, kept]
    return smaller


def fit_position_tables(
    state: StateDict, grids: Mapping[str, int]
) -> tuple[OrderedDict[str, Tensor], list[str]]:
    """Compute fixed position tables anew, by their formula, for another number of tokens.

    Args:
        state: Weights of a tracker under our names; tables that it lacks stay absent.
        grids: Tokens per side by name of the table, such as ``backbone.search_pos_embed``.

    Returns:
        The weights, and one note per table that was replaced.
    """
    fitted, notes = OrderedDict(state), []
    for name, side in grids.items():
        table = state.get(name)
        if table is None or table.shape[1] == side**2:
            continue
        tokens, dims = table.shape[1:]
        fitted[name] = sincos_position_table(side, dims).to(table)
        note = f'{name} by the formula for {side}x{side} tokens instead of {tokens}'
        old = sincos_position_table(math.isqrt(tokens), dims)
        if old.shape != table.shape or not torch.allclose(old, table.to(old), atol=1e-3):
            note += ' (the old table did not follow it)'
        notes.append(note)
    return fitted, notes


def _units(fc1: Tensor, fc2: Tensor, count: int, units: str) -> Tensor:
    """Indices of the units to keep, ascending; ties go to the lower index."""
    if units == 'first':
        return torch.arange(count, device=fc1.device)
    norms = fc1.double().norm(dim=1) * fc2.double().norm(dim=0)
    return norms.argsort(descending=True, stable=True)[:count].sort().values


def _checked(layers: Iterable[int], depth: int, verb: str) -> set[int]:
    layers = list(layers)
    if unknown := sorted({layer for layer in layers if not 0 <= layer < depth}):
        raise ValueError(
            f'cannot {verb} the layers {_text(unknown)}: there are {depth}, numbered 0 to '
            f'{depth - 1}.'
        )
    if twice := sorted({layer for layer in layers if layers.count(layer) > 1}):
        raise ValueError(f'the layers {_text(twice)} are named more than once.')
    return set(layers)


def _check_count(depth: int, count: int) -> None:
    if not 1 <= count <= depth:
        raise ValueError(f'cannot take {count} of {depth} layers; expected 1 to {depth}.')


def _text(layers: Iterable[int]) -> str:
    return ', '.join(map(str, layers))
