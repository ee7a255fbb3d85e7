"""The three values that travel between backbone, heads, losses and trackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TemplateCache:
    """Everything the backbone needs of the templates: whatever does not depend on the search.

    Attributes:
        keys: One ``(B, heads, T * Nt, head_dim)`` tensor per block.
        values: Like ``keys``.
        layers: Output of every block, ``(B, T * Nt, C)`` each, if it was asked for.
        maker: The model whose cache this is, if somebody wants to know.
    """

    keys: list[Tensor]
    values: list[Tensor]
    layers: list[Tensor] | None = None
    maker: object = None

    @property
    def num_tokens(self) -> int:
        """Template tokens ``T * Nt``; caches of as many can be joined."""
        return self.keys[0].shape[2]

    @classmethod
    def join(cls, caches: Sequence[TemplateCache]) -> TemplateCache:
        """One cache of several sequences, in their order, without ``layers``."""
        if len(caches) == 1:
            return caches[0]
        return cls(
            [torch.cat(keys) for keys in zip(*(cache.keys for cache in caches))],
            [torch.cat(values) for values in zip(*(cache.values for cache in caches))],
            maker=caches[0].maker,
        )

    def repeat(self, times: int) -> TemplateCache:
        """The cache of as many copies of the one template that this one is of.

        Templates attend to each other, and among equal ones every softmax mean stays as it is.
        """
        return TemplateCache(
            [key.repeat(1, 1, times, 1) for key in self.keys],
            [value.repeat(1, 1, times, 1) for value in self.values],
            maker=self.maker,
        )

    def split(self) -> list[TemplateCache]:
        """One cache for each sequence, without ``layers``; none keeps another in memory."""
        if len(self.keys[0]) == 1:
            return [self]
        return [
            TemplateCache(
                [key[i : i + 1].clone() for key in self.keys],
                [value[i : i + 1].clone() for value in self.values],
                maker=self.maker,
            )
            for i in range(len(self.keys[0]))
        ]


@dataclass(frozen=True)
class Features:
    """What a backbone says about a search region.

    Attributes:
        search: Search tokens ``(B, Ns, C)``, row by row; None if they were not asked for.
        tokens: Prediction tokens ``(B, P, C)``; four of them stand for left, top, right, bottom.
        layers: Output of every block, ``(B, Ns + P, C)`` each (search, then prediction tokens),
            if it was asked for.
    """

    search: Tensor | None
    tokens: Tensor
    layers: list[Tensor] | None = None


@dataclass(frozen=True)
class BoxPrediction:
    """What every head of every tracker returns.

    Attributes:
        boxes: ``(N, 4)`` xyxy in units of the search region, [0, 1] where they are expectations
            over bins. Edges are independent, so a box may be inverted (left > right) before
            training has taught otherwise.
        edge_logits: ``(N, 4, bins)`` ordered left, top, right, bottom; None for heads that
            regress the box directly.
        score_logits: ``(N,)``, or None without a score head.
    """

    boxes: Tensor
    edge_logits: Tensor | None = None
    score_logits: Tensor | None = None
