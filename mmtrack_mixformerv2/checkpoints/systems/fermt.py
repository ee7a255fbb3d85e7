"""FERMT: the names of its published trainer, with either head, and of the ViT that it starts from.

That ViT was trained as a masked autoencoder. It has one grid of learned positions, which both grids
of the tracker are resized from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from .heads import center_rules, corner_rules, tower_channels
from .layout import Layout, Rule, StateDict, System, TrackerSizes, affine, shape_of
from .vit import Sizes, measure_vit, vit_rules

_CONFIGS = {'center': 'fermt', 'corner': 'fermt-corner'}  # by head
_PRETRAINED = 'module.model.'  # before every name of the ViT

# Dual Attention Unit: published name, ours, the rest of the shape behind three channels.
_GATES = {
    'proj_1': ('proj_in', (3, 1, 1)),
    'spatial_gating_unit.conv0': ('near', (1, 5, 5)),
    'spatial_gating_unit.conv_spatial': ('far', (1, 5, 5)),
    'spatial_gating_unit.conv1': ('mix', (3, 1, 1)),
    'proj_2': ('proj_out', (3, 1, 1)),
}


@dataclass(frozen=True)
class FERMTSizes(TrackerSizes):
    """What the shapes of the weights of a FERMT say about it.

    Neither the number of attention heads, 16 channels each as published, nor the designs of
    attention are among them: no shape shows them.

    Attributes:
        embed_dims: Token width C.
        mlp_ratios: Hidden width of the MLP over C, one per block.
        patch_size: Side of a patch in pixels.
        search_size: Side of the search region in pixels.
        template_size: Side of the template in pixels.
        dual_attention: Whether there is a Dual Attention Unit.
        head: ``'center'`` or ``'corner'``; None for a backbone to start a training from.
        channels: Width of the first convolutions of the head; None without one.
    """

    embed_dims: int
    mlp_ratios: tuple[float, ...]
    patch_size: int
    search_size: int
    template_size: int
    dual_attention: bool
    head: str | None = None
    channels: int | None = None

    @property
    def is_tracker(self) -> bool:
        """Whether there is a head."""
        return self.head is not None

    @property
    def title(self) -> str:
        """System and variant in a few words."""
        if not self.is_tracker:
            return 'a ViT backbone of FERMT'
        head = {'center': 'centre'}.get(self.head, self.head)
        unit = '' if self.dual_attention else ' and no Dual Attention Unit'
        return f'FERMT with the {head} head{unit}'

    @property
    def details(self) -> str:
        """Sizes in a line."""
        return (
            f'{len(self.mlp_ratios)} layers of width {self.embed_dims}, search {self.search_size}, '
            f'template {self.template_size} pixels'
        )

    @property
    def config(self) -> str | None:
        """Configs that fit; there are some for the published sizes."""
        published = FERMTSizes(192, (4.0,) * 12, 16, 256, 128, True, self.head, 256)
        return self.base_config if self.is_tracker and self == published else None

    @property
    def base_config(self) -> str:
        """A config that :meth:`settings` make fit."""
        if not self.is_tracker:
            return 'configs/fermt/fermt_4xb32-*.py'
        return f'configs/fermt/{_CONFIGS[self.head]}_test-*.py'

    def settings(self, num_heads: int | None = None) -> dict[str, object]:
        """Settings that make :attr:`base_config` fit.

        Args:
            num_heads: Attention heads; None for one per 16 channels.

        Raises:
            ValueError: If they do not divide the width, or the blocks have MLPs of several ratios.
        """
        if num_heads is None:
            num_heads = max(self.embed_dims // 16, 1)
        if num_heads < 1 or self.embed_dims % num_heads:
            raise ValueError(f'{num_heads} heads do not divide the width {self.embed_dims}.')
        if len(set(self.mlp_ratios)) > 1:
            raise ValueError(
                f'the MLP ratios are {self.mlp_ratios}; all blocks of a FERMTViT have the same.'
            )
        backbone = {
            'search_size': self.search_size,
            'template_size': self.template_size,
            'patch_size': self.patch_size,
            'embed_dims': self.embed_dims,
            'depth': len(self.mlp_ratios),
            'num_heads': num_heads,
            'mlp_ratio': self.mlp_ratios[0],
            'dual_attention': self.dual_attention,
        }
        if (depth := len(self.mlp_ratios)) != 12:  # cross attention begins in block 6, as published
            backbone['attention'] = ['A2'] * min(depth, 6) + ['A5'] * max(depth - 6, 0)
        head = {'in_channels': self.embed_dims}
        if self.is_tracker:
            head['channels'] = self.channels
        return {
            **{f'model.backbone.{name}': value for name, value in backbone.items()},
            **{f'model.box_head.{name}': value for name, value in head.items()},
        }


def _measure(state: StateDict) -> FERMTSizes:
    """Sizes from published names."""
    head = 'corner' if any(n.startswith('box_head.conv1_tl.') for n in state) else 'center'
    tables = {'search_size': 'backbone.pos_embed_x', 'template_size': 'backbone.pos_embed_z'}
    return _sizes(
        state,
        'patch_embed.proj',
        tables,
        dual_attention=True,
        head=head,
        channels=tower_channels(state, {'corner': 'tl', 'center': 'ctr'}[head]),
    )


def _measure_ours(state: StateDict) -> FERMTSizes:
    """Sizes from our names."""
    more = {'dual_attention': any(n.startswith('backbone.dual_attention.') for n in state)}
    for head, first in (('corner', 'top_left'), ('center', 'score')):
        name = f'box_head.{first}.convs.0.0.weight'
        if name in state:
            more.update(head=head, channels=shape_of(state, name, 4)[0])
    regions = ('search', 'template')
    tables = {f'{region}_size': f'backbone.{region}_pos_embed' for region in regions}
    return _sizes(state, 'patch_embed', tables, **more)


def _sizes(state: StateDict, projection: str, tables: dict[str, str], **more: object) -> FERMTSizes:
    vit = measure_vit(state, 'backbone.', projection)
    del vit['depth']
    for region, name in tables.items():
        tokens = shape_of(state, name, 3)[1]
        if math.isqrt(tokens) ** 2 != tokens:
            raise ValueError(f'{name!r} has {tokens} tokens, expected a square grid.')
        more[region] = math.isqrt(tokens) * vit['patch_size']
    return FERMTSizes(**vit, **more)


def _rules(sizes: FERMTSizes, unit: str) -> dict[str, Rule]:
    """With the Dual Attention Unit under the given name."""
    dims, patch = sizes.embed_dims, sizes.patch_size
    rules, ours = {}, 'backbone.dual_attention'
    for published, (name, shape) in _GATES.items():
        rules.update(affine(f'backbone.{unit}.{published}', f'{ours}.{name}', (3, *shape)))
    gate = f'backbone.{unit}.spatial_gating_unit.fc'
    rules[f'{gate}.0.weight'] = Rule(f'{ours}.squeeze.weight', (1, 3))
    rules[f'{gate}.2.weight'] = Rule(f'{ours}.excite.weight', (3, 1))
    regions = {'z': ('template', sizes.template_size), 'x': ('search', sizes.search_size)}
    for letter, (region, size) in regions.items():
        shape = (1, (size // patch) ** 2, dims)
        rules[f'backbone.pos_embed_{letter}'] = Rule(f'backbone.{region}_pos_embed', shape)
    vit = Sizes(dims, len(sizes.mlp_ratios), sizes.mlp_ratios, patch)
    rules.update(vit_rules('backbone.', vit))
    rules.update(affine('backbone.norm', 'backbone.norm', (dims,)))
    head = {'center': center_rules, 'corner': corner_rules}[sizes.head]
    return {**rules, **head(dims, sizes.channels)}


def _measure_pretrained(state: StateDict) -> FERMTSizes:
    """Sizes of the ViT, with regions and unit of the published tracker: no shape tells them."""
    vit = measure_vit(state, _PRETRAINED)
    del vit['depth']
    return FERMTSizes(**vit, search_size=256, template_size=128, dual_attention=True)


def _pretrained_rules(sizes: FERMTSizes) -> dict[str, Rule]:
    dims, patch = sizes.embed_dims, sizes.patch_size
    vit = Sizes(dims, len(sizes.mlp_ratios), sizes.mlp_ratios, patch)
    rules = vit_rules(_PRETRAINED, vit)
    rules.update(affine(f'{_PRETRAINED}fc_norm', 'backbone.norm', (dims,)))
    shape = (1, 1 + (224 // patch) ** 2, dims)  # a class token, and the patches of 224 pixels
    template, search = (
        Rule(f'backbone.{region}_pos_embed', shape, partial(_resized, side=size // patch))
        for region, size in (('template', sizes.template_size), ('search', sizes.search_size))
    )
    rules[f'{_PRETRAINED}pos_embed'] = replace(template, also=(search,))
    return rules


def _resized(table: Tensor, side: int) -> Tensor:
    """Positions ``(1, 1 + G * G, C)``, the class token's first, as a grid ``(1, side^2, C)``."""
    grid = math.isqrt(table.shape[1])
    image = table[:, 1:].mT.unflatten(2, (grid, grid)).float()
    resized = F.interpolate(image, (side, side), mode='bicubic', align_corners=False)
    return resized.flatten(2).mT.to(table.dtype)


def _layout(unit: str) -> Layout:
    return Layout(
        marks=(f'backbone.{unit}.',),
        measure=_measure,
        rules=partial(_rules, unit=unit),
        # What its backbone inherits from a library's ViT and never uses.
        dropped=dict.fromkeys(('backbone.cls_token', 'backbone.pos_embed'), ''),
    )


FERMT = System(
    'FERMT',
    layouts=(
        _layout('dau'),
        _layout('tau'),  # earlier builds
        Layout(
            marks=(_PRETRAINED,),
            measure=_measure_pretrained,
            rules=_pretrained_rules,
            dropped=dict.fromkeys((f'{_PRETRAINED}cls_token', f'{_PRETRAINED}head.*'), ''),
        ),
    ),
    marks=('backbone.dual_attention.', 'backbone.norm.'),
    measure=_measure_ours,
)
