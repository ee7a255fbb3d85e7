"""Plain ViTs: what the weights of MixFormerV2, MixViT and their pre-trained backbones share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...position import sincos_position_table
from .layout import Layout, Rule, StateDict, System, TrackerSizes, affine, count_of, shape_of


@dataclass(frozen=True)
class Sizes(TrackerSizes):
    """What the shapes of the weights of a MixFormerV2, a MixViT or a bare ViT say about it.

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

    @property
    def title(self) -> str:
        """System and variant in a few words."""
        if not self.is_tracker:
            return 'a ViT backbone'
        if self.corner_design is None:
            return f'MixFormerV2 {"with" if self.score_head else "without"} score head'
        score = 'a' if self.score_head else 'no'
        return f'MixViT with {self.corner_design} corner head and {score} score head'

    @property
    def details(self) -> str:
        """Sizes in a line."""
        ratios = sorted(set(self.mlp_ratios), reverse=True)
        words = [
            f'{self.depth} layers of width {self.embed_dims}',
            f'MLP ratio {" to ".join(f"{one:g}" for one in ratios[:: max(1, len(ratios) - 1)])}',
            f'patches of {self.patch_size}',
        ]
        if self.search_size:
            words.append(f'search {self.search_size}, template {self.template_size} pixels')
        if self.num_bins:
            words.append(f'{self.num_bins} bins')
        if self.corner_channels:
            words.append(f'corner head of {self.corner_channels} channels')
        return ', '.join(words)

    @property
    def is_tracker(self) -> bool:
        """Whether there is a box head."""
        return self.num_bins is not None

    @property
    def config(self) -> str | None:
        """Configs that fit, as a pattern of file names, or None if there is none."""
        name = next((name for name, released in RELEASED.items() if released == self), None)
        if name is None:
            return None
        return f'configs/{name.split("-")[0]}/{name}{"_test-*" if self.score_head else ""}.py'

    @property
    def base_config(self) -> str:
        """A config that :meth:`settings` make fit."""
        if not self.is_tracker:
            return 'configs/mixformerv2/mixformerv2-b_8xb32-*.py'
        if self.corner_design is None:
            return 'configs/mixformerv2/mixformerv2-b_test-*.py'
        if self.score_head:
            return 'configs/mixvit/mixvit-b-score_test-*.py'
        return f'configs/mixvit/mixvit-b-{self.corner_design}*.py'

    def settings(self, num_heads: int | None = None) -> dict[str, object]:
        """Settings that make :attr:`base_config` fit.

        Args:
            num_heads: Attention heads; None for one per 64 channels, left out where that does not
                divide.

        Raises:
            ValueError: If ``num_heads`` does not divide the width.
        """
        if num_heads is None:
            num_heads = None if self.embed_dims % 64 else self.embed_dims // 64
        elif num_heads < 1 or self.embed_dims % num_heads:
            raise ValueError(f'{num_heads} heads do not divide the width {self.embed_dims}.')
        same = len(set(self.mlp_ratios)) == 1
        backbone = {
            'search_size': self.search_size,
            'template_size': self.template_size,
            'patch_size': self.patch_size,
            'embed_dims': self.embed_dims,
            'depth': self.depth,
            'num_heads': num_heads,
            'mlp_ratio': self.mlp_ratios[0] if same else list(self.mlp_ratios),
        }
        settings = {f'model.backbone.{k}': v for k, v in backbone.items() if v is not None}
        settings['model.box_head.in_channels'] = self.embed_dims
        if self.corner_design is not None:
            settings['model.box_head.channels'] = self.corner_channels
            settings['model.box_head.design'] = self.corner_design
            if self.score_head:
                settings['model.score_head.in_channels'] = self.embed_dims
                settings |= {'model.score_head.num_heads': num_heads} if num_heads else {}
            return settings
        if self.num_bins is not None:
            settings['model.box_head.num_bins'] = self.num_bins
        if self.score_head:
            settings['model.score_head.in_channels'] = self.embed_dims
        else:
            settings['model.score_head'] = None
        return settings


# The models that have configs of their own: those released, and teachers of MixFormerV2.
RELEASED = {
    'mixformerv2-b': Sizes(768, 8, (4.0,) * 8, 16, 288, 128, 96, True),
    'mixformerv2-s': Sizes(768, 4, (1.0,) * 4, 16, 224, 112, 96, True),
    'mixvit-b-plain224': Sizes(768, 12, (4.0,) * 12, 16, 224, 112, 14, False, 'plain', 384),
    'mixvit-b-pyramid288': Sizes(768, 12, (4.0,) * 12, 16, 288, 128, 72, False, 'pyramid', 384),
    'mixvit-l-pyramid288': Sizes(1024, 24, (4.0,) * 24, 16, 288, 128, 72, False, 'pyramid', 384),
    'mixvit-l-pyramid384': Sizes(1024, 24, (4.0,) * 24, 16, 384, 192, 96, False, 'pyramid', 384),
    'mixvit-b-score': Sizes(768, 12, (4.0,) * 12, 16, 288, 128, 72, True, 'pyramid', 384),
    'mixvit-l-score': Sizes(1024, 24, (4.0,) * 24, 16, 384, 192, 96, True, 'pyramid', 384),
}


def note_on_table(name: str, table: Tensor) -> str | None:
    """Compare a published position table with the formula; it is kept whatever it holds."""
    formula = sincos_position_table(math.isqrt(table.shape[1]), table.shape[2])
    worst = (table.double() - formula.double()).abs().max().item()
    if worst <= max(1e-5, torch.finfo(table.dtype).eps):
        return None
    return (
        f'{name} differs from the fixed sin-cos table by up to {worst:.3g}; it is kept as it is '
        'in the file.'
    )


def measure_vit(state: StateDict, prefix: str, projection: str = 'patch_embed.proj') -> dict:
    """Width, depth, MLP ratios and patch size of a plain ViT."""
    dims, _, patch, _ = shape_of(state, f'{prefix}{projection}.weight', 4)
    depth = count_of(state, f'{prefix}blocks.')
    hidden = [shape_of(state, f'{prefix}blocks.{i}.mlp.fc1.weight', 2)[0] for i in range(depth)]
    ratios = tuple(h / dims if int(dims * (h / dims)) == h else (h + 0.5) / dims for h in hidden)
    return {'embed_dims': dims, 'depth': depth, 'mlp_ratios': ratios, 'patch_size': patch}


def vit_rules(prefix: str, sizes: Sizes) -> dict[str, Rule]:
    """Patch embedding and blocks, which the published ViTs and ours name alike."""
    dims, patch = sizes.embed_dims, sizes.patch_size
    shape = (dims, 3, patch, patch)
    rules = affine(f'{prefix}patch_embed.proj', 'backbone.patch_embed', shape)
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
            rules.update(affine(f'{prefix}{name}', f'backbone.{name}', shape))
    return rules


def measure_backbone(state: StateDict) -> dict:
    """Like :func:`measure_vit`, with the sizes of both regions, read from their tables."""
    vit = measure_vit(state, 'backbone.')
    tables = {'search': 'backbone.pos_embed_s', 'template': 'backbone.pos_embed_t'}
    return {**vit, **_region_sizes(state, vit, tables)}


def backbone_rules(sizes: Sizes) -> dict[str, Rule]:
    """Position tables, patch embedding and blocks of MixFormerV2 and MixViT."""
    rules = {}
    for region, size in (('search', sizes.search_size), ('template', sizes.template_size)):
        rules[f'backbone.pos_embed_{region[0]}'] = Rule(
            f'backbone.{region}_pos_embed',
            (1, (size // sizes.patch_size) ** 2, sizes.embed_dims),
            note=note_on_table,
        )
    return {**rules, **vit_rules('backbone.', sizes)}


def measure_ours(state: StateDict) -> Sizes:
    """Sizes of a MixFormerV2, a MixViT or a bare ViT from the weights under our names."""
    vit = measure_vit(state, 'backbone.', 'patch_embed')
    if not any(name.startswith('box_head.') for name in state):
        return Sizes(**vit)
    tables = {region: f'backbone.{region}_pos_embed' for region in ('search', 'template')}
    regions = _region_sizes(state, vit, tables)
    score_head = any(name.startswith('score_head.') for name in state)
    if 'box_head.top_left.convs.0.0.weight' not in state:
        bins = shape_of(state, 'box_head.mlps.0.fc2.weight', 2)[0]
        return Sizes(**vit, **regions, num_bins=bins, score_head=score_head)
    pyramid = any(name.startswith('box_head.top_left.lateral') for name in state)
    return Sizes(
        **vit,
        **regions,
        num_bins=corner_bins(regions['search_size'], vit['patch_size'], pyramid),
        score_head=score_head,
        corner_design='pyramid' if pyramid else 'plain',
        corner_channels=shape_of(state, 'box_head.top_left.convs.0.0.weight', 4)[0],
    )


def corner_bins(search_size: int, patch_size: int, pyramid: bool) -> int:
    """Cells along an edge of the score map of a corner head."""
    return search_size // patch_size * (4 if pyramid else 1)


def _region_sizes(state: StateDict, vit: dict, tables: dict[str, str]) -> dict[str, int]:
    """Sides of search region and templates in pixels, from their position tables."""
    if vit['embed_dims'] % 4:
        raise ValueError(f'the width is {vit["embed_dims"]}, expected a multiple of four.')
    sides = {}
    for region, name in tables.items():
        tokens = shape_of(state, name, 3)[1]
        sides[f'{region}_size'] = math.isqrt(tokens) * vit['patch_size']
        if math.isqrt(tokens) ** 2 != tokens:
            raise ValueError(f'{name!r} has {tokens} tokens, expected a square grid.')
    return sides


MAE_VIT = System(
    'MAE ViT',
    layouts=(
        Layout(
            marks=('blocks.', 'patch_embed.', 'cls_token'),
            measure=lambda state: Sizes(**measure_vit(state, '')),
            rules=lambda sizes: vit_rules('', sizes),
            dropped=dict.fromkeys(
                ('cls_token', 'pos_embed', 'norm.*', 'mask_token', 'decoder_*'), ''
            ),
        ),
    ),
    marks=('backbone.patch_embed.weight',),
    measure=measure_ours,
)
