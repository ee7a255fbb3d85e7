"""MixFormer (CvT), as published (arXiv 2203.11082): two ways, by the number of templates.

With one online template all images go through everything at every frame. With several, the
templates run when they change, and what leaves the convolutions before keys and values is kept;
the linear layers behind these see it again at every frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..structures import Features
from .base import PublishedForward, attend, split_heads, to_map, to_tokens

_JOINT = 2  # templates at most that go through everything: the static one and one online


class _Kept(NamedTuple):
    """Of each block, keys and values ``(1, T * N', C)`` before their linear layers."""

    memory: list[tuple[Tensor, Tensor]]
    template: Tensor  # tokens (1, Nt, C) of the static one


class PublishedMixFormerCvT(PublishedForward):
    """Of a :class:`~..models.backbones.mix_cvt.MixCvT`."""

    def keep(self, templates: Tensor) -> Tensor | _Kept:
        """Two templates as they are; of more, what leaves the convolutions of every block."""
        if len(templates) <= _JOINT:
            return templates
        memory: list[tuple[Tensor, Tensor]] = []
        final = self._run(list(templates.split(1)), 0, iter(()), memory)
        return _Kept(memory, final[0])

    def extract(self, kept: Tensor | _Kept, search: Tensor) -> Features:
        """Search tokens, and those of the static template, of one search region."""
        if isinstance(kept, _Kept):
            (tokens,) = self._run([search], 1, iter(kept.memory), [])
            return Features(tokens, template=kept.template)
        final = self._run([*kept.split(1), search], 1, iter(()), [])
        return Features(final[-1], template=final[0])

    def _run(
        self,
        images: list[Tensor],
        searching: int,
        memory: Iterator[tuple[Tensor, Tensor]],
        noted: list[tuple[Tensor, Tensor]],
    ) -> list[Tensor]:
        """Final tokens of each image.

        Args:
            images: ``(1, 3, h, w)`` each, templates first.
            searching: How many of the last are no templates, 0 or 1.
            memory: What was noted of templates that are not among the images.
            noted: Gets keys and values before their linear layers, of every block.
        """
        tokens = []
        for stage in self.model.backbone.stages:
            tokens = [stage.norm(to_tokens(stage.embed(image))) for image in images]
            lengths = [one.shape[1] for one in tokens]
            x = torch.cat(tokens, dim=1)
            for block in stage.blocks:
                normed = [to_map(one) for one in block.norm1(x).split(lengths, dim=1)]
                projected = [_convolve(p, normed) for p in (block.attn.key, block.attn.value)]
                noted.append(tuple(map(_joined, projected)))
                seen = next(memory, None)
                x = x + _attend(block.attn, normed, projected, searching, seen)
                x = x + block.fc2(block.act(block.fc1(block.norm2(x))))
            tokens = list(x.split(lengths, dim=1))
            images = [to_map(one) for one in tokens]
        return tokens


def _convolve(projection: nn.Module, maps: list[Tensor]) -> list[Tensor]:
    """Tokens of each map behind convolution and batch norm."""
    return [to_tokens(projection.bn(projection.conv(one))) for one in maps]


def _joined(tokens: list[Tensor]) -> Tensor:
    return torch.cat(tokens, dim=1)


def _attend(
    attention: nn.Module,
    maps: list[Tensor],
    projected: list[list[Tensor]],
    searching: int,
    seen: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Templates attend to templates, the search region to all; tokens ``(1, N, C)`` of all."""
    heads, scale = attention.num_heads, attention.scale
    queries = _convolve(attention.query, maps)
    query = split_heads(attention.query.linear(_joined(queries)), heads)
    key, value = (
        split_heads(layer.linear(_joined([given, *own] if seen else own)), heads)
        for layer, given, own in zip(
            (attention.key, attention.value), seen or (None, None), projected
        )
    )
    own = len(maps) - searching  # templates among the images
    asked = sum(one.shape[1] for one in queries[:own])
    known = sum(one.shape[1] for one in projected[0][:own])
    mixed = []
    if own:
        mixed.append(attend(query[:, :, :asked], key[:, :, :known], value[:, :, :known], scale))
    if searching:
        mixed.append(attend(query[:, :, asked:], key, value, scale))
    return attention.proj(torch.cat(mixed, dim=1))
