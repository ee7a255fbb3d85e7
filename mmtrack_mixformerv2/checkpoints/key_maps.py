"""Published weights, name by name: which systems there are and how their names become ours.

A system is one entry of :data:`SYSTEMS`. To support another one, give its entry a ``measure``
function (weights to :class:`Sizes`) and a ``layout`` function (sizes to one :class:`Rule` per
published name); ``convert.py`` does the rest, and fails on every name that no rule mentions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..position import sincos_position_table

StateDict = Mapping[str, Tensor]

# The published tokens stand for left, right, top, bottom; ours for left, top, right, bottom.
_TOKEN_ORDER = [0, 2, 1, 3]


@dataclass(frozen=True)
class Sizes:
    """What the shapes of a system's weights say about it.

    The number of attention heads is not among them: it does not show in any shape. All published
    models have one head per 64 channels.

    Attributes:
        embed_dims: Token width C.
        depth: Number of blocks.
        mlp_ratios: Hidden width of the MLP over C, one per block.
        patch_size: Side of a patch in pixels.
        search_size: Side of the search region in pixels; None where the weights don't say.
        template_size: Side of a template in pixels; None where the weights don't say.
        num_bins: Bins per edge distribution; None without a box head.
        score_head: Whether there is a score head.
        corner_design: ``'plain'`` or ``'pyramid'`` of a corner head; None without one.
        corner_channels: Width of the first convolution of a corner head.
    """

    embed_dims: int
    depth: int
    mlp_ratios: tuple[float, ...]
    patch_size: int
    search_size: int | None = None
    template_size: int | None = None
    num_bins: int | None = None
    score_head: bool = False
    corner_design: str | None = None
    corner_channels: int | None = None


@dataclass(frozen=True)
class Rule:
    """What becomes of one published tensor.

    Attributes:
        target: Our name for it.
        shape: The shape it must have.
        change: Rearranges it.
        note: Says what is unusual about its value, if anything, given its published name too.
        counter: Whether it is the integer that a batch norm counts its batches with. It has no
            effect on the outputs, and files with frozen batch norms lack it.
    """

    target: str
    shape: tuple[int, ...]
    change: Callable[[Tensor], Tensor] | None = None
    note: Callable[[str, Tensor], str | None] | None = None
    counter: bool = False


@dataclass(frozen=True)
class System:
    """One kind of published weights.

    Attributes:
        name: What people call it.
        marks: Name prefixes of which any one tells this system, once the entries before it in the
            table are excluded.
        advice: What to say if it can't be converted.
        measure: Weights to sizes; None if the system is known but not supported.
        layout: Sizes to the rule of every published name.
        dropped: Tensors that are known and not needed: patterns of names (``fnmatch``), each with
            what the user should know when such a tensor is dropped, if anything.
    """

    name: str
    marks: tuple[str, ...]
    advice: str = ''
    measure: Callable[[StateDict], Sizes] | None = None
    layout: Callable[[Sizes], dict[str, Rule]] | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)


def _note_on_table(name: str, table: Tensor) -> str | None:
    """Compare a published position table with the formula; it is kept whatever it holds."""
    formula = sincos_position_table(math.isqrt(table.shape[1]), table.shape[2])
    worst = (table.double() - formula.double()).abs().max().item()
    if worst <= max(1e-5, torch.finfo(table.dtype).eps):
        return None
    return (
        f'{name} differs from the fixed sin-cos table by up to {worst:.3g}; it is kept as it is '
        'in the file.'
    )


def _reorder_tokens(tokens: Tensor) -> Tensor:
    """Left, right, top, bottom to left, top, right, bottom."""
    return tokens[:, _TOKEN_ORDER]


def _shape(state: StateDict, name: str, ndim: int) -> tuple[int, ...]:
    """Shape of a tensor that the sizes are read from."""
    if name not in state:
        raise ValueError(f'the weights lack {name!r}, which their sizes are read from.')
    shape = tuple(state[name].shape)
    if len(shape) != ndim or 0 in shape:
        raise ValueError(f'{name!r} has shape {shape}, expected {ndim} positive numbers.')
    return shape


def _measure_vit(state: StateDict, prefix: str) -> dict:
    """Width, depth, MLP ratios and patch size of a plain ViT."""
    dims, _, patch, _ = _shape(state, f'{prefix}patch_embed.proj.weight', 4)
    blocks = re.compile(re.escape(prefix) + r'blocks\.(\d+)\.')
    found = [int(match[1]) for match in map(blocks.match, state) if match]
    depth = 1 + max(found, default=0)
    if depth > 1000:
        raise ValueError(f'the weights have a block number {depth - 1}, more than any such model.')
    hidden = [_shape(state, f'{prefix}blocks.{i}.mlp.fc1.weight', 2)[0] for i in range(depth)]
    ratios = tuple(h / dims if int(dims * (h / dims)) == h else (h + 0.5) / dims for h in hidden)
    return {'embed_dims': dims, 'depth': depth, 'mlp_ratios': ratios, 'patch_size': patch}


def _vit_layout(prefix: str, sizes: Sizes) -> dict[str, Rule]:
    """Patch embedding and blocks, which the published ViTs and ours name alike."""
    dims, patch = sizes.embed_dims, sizes.patch_size
    rules = {
        f'{prefix}patch_embed.proj.weight': Rule(
            'backbone.patch_embed.weight', (dims, 3, patch, patch)
        ),
        f'{prefix}patch_embed.proj.bias': Rule('backbone.patch_embed.bias', (dims,)),
    }
    for i, ratio in enumerate(sizes.mlp_ratios):
        hidden = int(dims * ratio)
        weights = {
            'norm1': (dims,),
            'attn.qkv': (3 * dims, dims),
            'attn.proj': (dims, dims),
            'norm2': (dims,),
            'mlp.fc1': (hidden, dims),
            'mlp.fc2': (dims, hidden),
        }
        for part, shape in weights.items():
            name = f'blocks.{i}.{part}'
            rules[f'{prefix}{name}.weight'] = Rule(f'backbone.{name}.weight', shape)
            rules[f'{prefix}{name}.bias'] = Rule(f'backbone.{name}.bias', shape[:1])
    return rules


def _measure_backbone(state: StateDict) -> dict:
    """Like :func:`_measure_vit`, with the sizes of both regions, read from their tables."""
    vit = _measure_vit(state, 'backbone.')
    if vit['embed_dims'] % 4:
        raise ValueError(f'the width is {vit["embed_dims"]}, expected a multiple of four.')
    sides = {}
    for region in 'st':
        name = f'backbone.pos_embed_{region}'
        tokens = _shape(state, name, 3)[1]
        sides[region] = math.isqrt(tokens) * vit['patch_size']
        if math.isqrt(tokens) ** 2 != tokens:
            raise ValueError(f'{name!r} has {tokens} tokens, expected a square grid.')
    return {**vit, 'search_size': sides['s'], 'template_size': sides['t']}


def _backbone_layout(sizes: Sizes) -> dict[str, Rule]:
    """Position tables, patch embedding and blocks of MixFormerV2 and MixViT."""
    rules = {}
    for region, size in (('search', sizes.search_size), ('template', sizes.template_size)):
        rules[f'backbone.pos_embed_{region[0]}'] = Rule(
            f'backbone.{region}_pos_embed',
            (1, (size // sizes.patch_size) ** 2, sizes.embed_dims),
            note=_note_on_table,
        )
    return {**rules, **_vit_layout('backbone.', sizes)}


def _measure_mixformerv2(state: StateDict) -> Sizes:
    return Sizes(
        **_measure_backbone(state),
        num_bins=_shape(state, 'box_head.layers.1.0.weight', 2)[0],
        score_head=any(name.startswith('score_head.') for name in state),
    )


def _mixformerv2_layout(sizes: Sizes) -> dict[str, Rule]:
    dims, bins = sizes.embed_dims, sizes.num_bins
    rules = _backbone_layout(sizes)
    tokens = (1, len(_TOKEN_ORDER), dims)
    rules['backbone.reg_tokens'] = Rule('backbone.prediction_tokens', tokens, _reorder_tokens)
    rules['backbone.pos_embed_reg'] = Rule('backbone.prediction_pos_embed', tokens, _reorder_tokens)
    layers = {
        'box_head.layers.0.0': ('box_head.mlps.0.fc1', (dims, dims)),
        'box_head.layers.0.1': ('box_head.mlps.0.norm1', (dims,)),
        'box_head.layers.1.0': ('box_head.mlps.0.fc2', (bins, dims)),
        'box_head.layers.1.1': ('box_head.mlps.0.norm2', (bins,)),
    }
    if sizes.score_head:
        layers['score_head.layers.0.0'] = ('score_head.fc1', (dims, dims))
        layers['score_head.layers.1'] = ('score_head.fc2', (1, dims))
    for source, (target, shape) in layers.items():
        rules[f'{source}.weight'] = Rule(f'{target}.weight', shape)
        rules[f'{source}.bias'] = Rule(f'{target}.bias', shape[:1])
    return rules


def _measure_mixvit(state: StateDict) -> Sizes:
    vit = _measure_backbone(state)
    channels = _shape(state, 'box_head.conv1_tl.0.weight', 4)[0]
    if channels % 8:
        raise ValueError(
            f"'box_head.conv1_tl.0.weight' has {channels} output channels, expected a multiple of "
            'eight.'
        )
    pyramid = any(name.startswith('box_head.adjust') for name in state)
    return Sizes(
        **vit,
        num_bins=vit['search_size'] // vit['patch_size'] * (4 if pyramid else 1),
        corner_design='pyramid' if pyramid else 'plain',
        corner_channels=channels,
    )


def _mixvit_layout(sizes: Sizes) -> dict[str, Rule]:
    dims, c = sizes.embed_dims, sizes.corner_channels
    widths = [dims, c, c // 2, c // 4, c // 8]
    # Chains of 3x3 convolutions: published name, our name, widths.
    chains = [('conv{number}_{corner}', 'convs.{index}', widths)]
    if sizes.corner_design == 'pyramid':
        chains += [
            ('adjust1_{corner}', 'lateral2', [dims, c // 2]),
            ('adjust2_{corner}', 'lateral4', [dims, c // 4]),
            ('adjust3_{corner}.{index}', 'map4.{index}', [*widths[2:], 1]),
            ('adjust4_{corner}.{index}', 'map2.{index}', [*widths[3:], 1]),
        ]
    rules = _backbone_layout(sizes)
    for corner, branch in (('tl', 'top_left'), ('br', 'bottom_right')):
        for published, ours, chain in chains:
            for index, (wide, narrow) in enumerate(zip(chain, chain[1:])):
                source = published.format(corner=corner, index=index, number=index + 1)
                target = f'{branch}.{ours.format(index=index)}'
                unit = _conv_unit(f'box_head.{source}', f'box_head.{target}', wide, narrow)
                rules.update(unit)
        source, target = f'box_head.conv5_{corner}', f'box_head.{branch}.predict'
        rules[f'{source}.weight'] = Rule(f'{target}.weight', (1, c // 8, 1, 1))
        rules[f'{source}.bias'] = Rule(f'{target}.bias', (1,))
    return rules


def _conv_unit(source: str, target: str, in_channels: int, channels: int) -> dict[str, Rule]:
    """A 3x3 convolution and its batch norm."""
    rules = {
        f'{source}.0.weight': Rule(f'{target}.0.weight', (channels, in_channels, 3, 3)),
        f'{source}.0.bias': Rule(f'{target}.0.bias', (channels,)),
    }
    for name in ('weight', 'bias', 'running_mean', 'running_var'):
        rules[f'{source}.1.{name}'] = Rule(f'{target}.1.{name}', (channels,))
    counter = 'num_batches_tracked'
    rules[f'{source}.1.{counter}'] = Rule(f'{target}.1.{counter}', (), counter=True)
    return rules


# What MixViT's backbone inherits from its library's ViT and never uses.
_IDLE = ('cls_token', 'pos_embed', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias')

SYSTEMS = (
    System(
        'a model of this toolbox',
        marks=('backbone.search_pos_embed', 'backbone.prediction_tokens', 'box_head.mlps.'),
        advice='It needs no conversion: hand it to --checkpoint or load_from as it is.',
    ),
    System(
        'MixFormerV2',
        marks=('backbone.reg_tokens', 'backbone.pos_embed_reg', 'box_head.layers.'),
        measure=_measure_mixformerv2,
        layout=_mixformerv2_layout,
    ),
    System('MixFormer (CvT)', marks=('backbone.stage0.',)),
    System('MVT', marks=('backbone.conv_1.', 'feature_fusor.')),
    System('FERMT', marks=('backbone.dau.',)),
    System(
        'MixViT',
        marks=('backbone.pos_embed_s', 'backbone.pos_embed_t', 'box_head.conv1_tl.'),
        measure=_measure_mixvit,
        layout=_mixvit_layout,
        dropped={
            **{f'backbone.{name}': '' for name in _IDLE},
            'score_branch.*': 'the score prediction module (score_branch) is left out: MixViT is '
            'a teacher here, and no scores are asked of a teacher.',
        },
    ),
    System(
        'MAE ViT',
        marks=('blocks.', 'patch_embed.', 'cls_token'),
        measure=lambda state: Sizes(**_measure_vit(state, '')),
        layout=lambda sizes: _vit_layout('', sizes),
        dropped=dict.fromkeys(('cls_token', 'pos_embed', 'norm.*', 'mask_token', 'decoder_*'), ''),
    ),
)
