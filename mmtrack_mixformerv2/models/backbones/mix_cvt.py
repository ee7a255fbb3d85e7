"""CvT with asymmetric mixed attention, the backbone of MixFormer (CvT).

Paper: MixFormer, arXiv 2203.11082, section 3.1. Deliberate differences from the published code,
none of which changes an output: attention is asymmetric by construction, so templates pass alone
and leave in the :class:`TemplateCache` what the search region attends to; keys and values are kept
behind their linear layer, not before it; the classifier of the pre-training is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import torch
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import Features, TemplateCache
from .base import TemplateSearchBackbone
from .conv_attention import ConvMixedAttentionBlock, as_map, as_tokens


class ConvStage(nn.Module):
    """Convolutional patch embedding, LayerNorm, and the blocks of one width.

    Args:
        in_channels: Channels of the maps that enter.
        dims: Width C.
        embed_conv: Kernel, stride and padding of the patch embedding.
        blocks: What follows.
    """

    def __init__(
        self,
        in_channels: int,
        dims: int,
        embed_conv: tuple[int, int, int],
        blocks: Sequence[ConvMixedAttentionBlock],
    ) -> None:
        super().__init__()
        kernel, stride, padding = embed_conv
        self.embed = nn.Conv2d(in_channels, dims, kernel, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(dims)
        self.blocks = nn.ModuleList(blocks)

    def begin(self, maps: Tensor) -> tuple[Tensor, int]:
        """Tokens ``(B, G * G, C)`` of maps ``(B, in_channels, H, H)``, and their grid G."""
        embedded = self.embed(maps)
        return self.norm(as_tokens(embedded)), embedded.shape[3]


@MODELS.register_module()
class MixCvT(TemplateSearchBackbone):
    """Three stages of convolutional mixed attention (MixFormer, section 3.1).

    The defaults are the published model. MixCvT-L has ``stage_dims=(192, 768, 1024)``,
    ``num_heads=(3, 12, 16)``, ``depths=(2, 2, 12)`` and ``drop_path_rates=(0, 0, 0.3)``.

    Templates attend to all templates, the search region to them and to itself. The cache has the
    projected keys and values of every block and nothing is left to do for templates in a frame.

    Batch norms are frozen as published: they keep their statistics in training, and their scale and
    shift are no parameters that train.

    Args:
        search_size: Side of the search region in pixels; a multiple of the strides' product.
        template_size: Side of a template in pixels; a multiple of it too.
        stage_dims: Width of each stage; each a multiple of its ``num_heads``.
        num_heads: Attention heads of each stage.
        depths: Blocks of each stage.
        embed_convs: Kernel, stride and padding of each stage's patch embedding.
        mlp_ratio: Hidden width of the MLPs over C.
        drop_path_rates: Drop path of each stage's last block; it grows linearly from zero.
        act_cfg: Activation of the MLPs: ``dict(type='QuickGELU')`` as published, the default, or
            the exact ``GELU`` of the port in MMTracking 0.x, whose figures were measured with it.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If the stages' options differ in length or sizes don't divide.
    """

    def __init__(
        self,
        *,
        search_size: int = 320,
        template_size: int = 128,
        stage_dims: Sequence[int] = (64, 192, 384),
        num_heads: Sequence[int] = (1, 3, 6),
        depths: Sequence[int] = (1, 4, 16),
        embed_convs: Sequence[tuple[int, int, int]] = ((7, 4, 2), (3, 2, 1), (3, 2, 1)),
        mlp_ratio: float = 4.0,
        drop_path_rates: Sequence[float] = (0.0, 0.0, 0.1),
        act_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        per_stage = dict(
            stage_dims=stage_dims,
            num_heads=num_heads,
            depths=depths,
            embed_convs=embed_convs,
            drop_path_rates=drop_path_rates,
        )
        _check_stages(per_stage, search_size, template_size)
        self.embed_dims = stage_dims[-1]
        self.search_size = search_size
        self.template_size = template_size
        self.num_template_tokens = (template_size // prod(one[1] for one in embed_convs)) ** 2
        channels, act_cfg = [3, *stage_dims], act_cfg or dict(type='QuickGELU')
        self.stages = nn.ModuleList(
            ConvStage(
                channels[i],
                dims,
                embed_convs[i],
                [
                    ConvMixedAttentionBlock(dims, num_heads[i], mlp_ratio, rate, act_cfg)
                    for rate in torch.linspace(
                        0, drop_path_rates[i], depths[i], device='cpu'
                    ).tolist()
                ],
            )
            for i, dims in enumerate(stage_dims)
        )
        for norm in self._batch_norms():
            norm.requires_grad_(False)

    def _batch_norms(self) -> Iterator[nn.BatchNorm2d]:
        return (module for module in self.modules() if isinstance(module, nn.BatchNorm2d))

    def train(self, mode: bool = True) -> MixCvT:
        """Training or evaluation mode; batch norms are always in evaluation mode."""
        super().train(mode)
        for norm in self._batch_norms():
            norm.eval()
        return self

    def encode_template(self, templates: Tensor, *, out_layers: bool = False) -> TemplateCache:
        """Keys and values of the templates, which never see the search region.

        Args:
            templates: Normalised crops ``(B, T, 3, h, w)``, the static template first.
            out_layers: There are none of one width.

        Returns:
            Keys and values ``(B, heads, T * N', C / heads)`` of every block, N' a quarter of the
            tokens of its stage. If something reads the final tokens of the static template they
            are in ``maps['template']``; else the last block stops at its keys and values.

        Raises:
            ValueError: If the crops have another size or number of dimensions.
        """
        self.check_templates(templates, out_layers)
        count = templates.shape[1]
        maps, keys, values = templates.flatten(0, 1), [], []
        last = self.stages[-1].blocks[-1]
        for stage in self.stages:
            x, grid = stage.begin(maps)  # (B * T, G * G, C)
            for block in stage.blocks:
                normed = block.norm1(x)
                key, value = block.remember(normed, grid, count)
                keys.append(key)
                values.append(value)
                if self.keep_template_output or block is not last:
                    x = block.finish(x, normed, grid, key, value, count)
            maps = as_map(x, grid)
        kept = {'template': x.unflatten(0, (-1, count))[:, 0]} if self.keep_template_output else {}
        return TemplateCache(keys, values, maps=kept)

    def encode_search(
        self,
        search: Tensor,
        cache: TemplateCache,
        *,
        out_layers: bool = False,
        tokens_only: bool = False,
    ) -> Features:
        """Search tokens after attending to the templates and to each other.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            out_layers: There are none of one width.
            tokens_only: There are no other tokens.

        Raises:
            ValueError: If the size of the regions or the cache does not fit this backbone, or what
                is asked for does not exist.
        """
        self.check_search(search, out_layers, tokens_only)
        self._check_cache(cache, search.shape[0])
        maps, kept = search, zip(cache.keys, cache.values)
        for stage in self.stages:
            x, grid = stage.begin(maps)  # (B, G * G, C)
            for block, (template_key, template_value) in zip(stage.blocks, kept):
                normed = block.norm1(x)
                key, value = block.remember(normed, grid)
                key = torch.cat([template_key, key], dim=2)
                value = torch.cat([template_value, value], dim=2)
                x = block.finish(x, normed, grid, key, value)
            maps = as_map(x, grid)
        return Features(x, template=cache.maps.get('template'))

    def _check_cache(self, cache: TemplateCache, batch: int) -> None:
        blocks = [block for stage in self.stages for block in stage.blocks]
        expected = [
            (batch, block.attn.num_heads, block.fc2.out_features // block.attn.num_heads)
            for block in blocks
        ]
        got = [(key.shape[0], key.shape[1], key.shape[3]) for key in cache.keys]
        if got != expected:
            raise ValueError(
                f'blocks of the template cache have (batch, heads, head width) = {got}, expected '
                f'{expected}; make it with encode_template of this very backbone.'
            )


def _check_stages(per_stage: dict[str, Sequence], search_size: int, template_size: int) -> None:
    counts = {name: len(value) for name, value in per_stage.items()}
    if len(set(counts.values())) > 1 or not counts['depths'] or min(per_stage['depths']) < 1:
        raise ValueError(
            f'options have {counts} entries and depths are {list(per_stage["depths"])}; give one '
            'entry per stage, and at least one block each.'
        )
    for dims, heads in zip(per_stage['stage_dims'], per_stage['num_heads']):
        if dims % heads:
            raise ValueError(
                f'a stage of width {dims} has {heads} heads; its entry of stage_dims must be a '
                'multiple of its entry of num_heads.'
            )
    stride = prod(conv[1] for conv in per_stage['embed_convs'])
    if search_size % stride or template_size % stride:
        raise ValueError(
            f'search_size={search_size} and template_size={template_size} must be multiples of '
            f'{stride}, the product of the strides of embed_convs.'
        )
