"""The three values that travel between backbone, heads, losses and trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class TemplateCache:
    """Everything the backbone needs of the templates: whatever does not depend on the search.

    Attributes:
        keys: One ``(B, heads, T * Nt, head_dim)`` tensor per block that keeps some; blocks may
            differ in all but the batch and the number of templates.
        values: Like ``keys``.
        layers: Output of every block, ``(B, T * Nt, C)`` each, if it was asked for.
        maker: The model whose cache this is, if somebody wants to know.
        maps: What else there is of the static template, ``(B, ...)`` each, by a name that begins
            neither with ``keys`` nor with ``values``. It has the same shape however many templates
            there are, and the same values if the others are copies of the first.
    """

    keys: list[Tensor]
    values: list[Tensor]
    layers: list[Tensor] | None = None
    maker: object = None
    maps: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Template tokens ``T * Nt`` of the first block; caches of as many can be joined."""
        return self.keys[0].shape[2] if self.keys else 0

    @property
    def batch(self) -> int:
        """How many sequences it is of, B."""
        return next(iter((*self.keys, *self.maps.values()))).shape[0]

    @classmethod
    def join(cls, caches: Sequence[TemplateCache]) -> TemplateCache:
        """One cache of several sequences, in their order, without ``layers``."""
        if len(caches) == 1:
            return caches[0]
        return cls(
            [torch.cat(keys) for keys in zip(*(cache.keys for cache in caches))],
            [torch.cat(values) for values in zip(*(cache.values for cache in caches))],
            maker=caches[0].maker,
            maps={name: torch.cat([one.maps[name] for one in caches]) for name in caches[0].maps},
        )

    def repeat(self, times: int) -> TemplateCache:
        """The cache of as many copies of the one template that this one is of.

        Templates attend to each other, and among equal ones every softmax mean stays as it is.
        """
        return TemplateCache(
            [key.repeat(1, 1, times, 1) for key in self.keys],
            [value.repeat(1, 1, times, 1) for value in self.values],
            maker=self.maker,
            maps=self.maps,
        )

    def split(self) -> list[TemplateCache]:
        """One cache for each sequence, without ``layers``; none keeps another in memory."""
        if self.batch == 1:
            return [self]
        return [
            TemplateCache(
                [key[i : i + 1].clone() for key in self.keys],
                [value[i : i + 1].clone() for value in self.values],
                maker=self.maker,
                maps={name: one[i : i + 1].clone() for name, one in self.maps.items()},
            )
            for i in range(self.batch)
        ]

    def pack(self, dim: int = 1) -> dict[str, Tensor]:
        """As few tensors as hold all of it but ``layers`` and ``maker``, by name.

        Keys of one block after the other are stacked along a new axis as long as their shapes are
        equal, and so are the values: ``keys`` and ``values``, or ``keys0``, ``values0``, ``keys1``
        and so on if there are several such stages. Maps keep their names.

        Args:
            dim: The new axis: 1 for ``(B, blocks, heads, T * Nt, head_dim)``, or 0.
        """
        stages, packed, first = (
            [len(list(g)) for _, g in groupby(k.shape for k in self.keys)],
            {},
            0,
        )
        for number, count in enumerate(stages):
            blocks, suffix = slice(first, first + count), str(number) if len(stages) > 1 else ''
            packed[f'keys{suffix}'] = torch.stack(self.keys[blocks], dim=dim)
            packed[f'values{suffix}'] = torch.stack(self.values[blocks], dim=dim)
            first += count
        return packed | self.maps

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], dim: int = 1) -> TemplateCache:
        """The cache of which :meth:`pack` made these tensors."""
        kinds = {kind: [n for n in packed if n.startswith(kind)] for kind in ('keys', 'values')}
        blocks = [
            [block for name in names for block in packed[name].unbind(dim)]
            for names in kinds.values()
        ]
        named = {name for names in kinds.values() for name in names}
        return cls(*blocks, maps={name: one for name, one in packed.items() if name not in named})


@dataclass(frozen=True)
class Features:
    """What a backbone says about a search region.

    Attributes:
        search: Search tokens ``(B, Ns, C)``, row by row; None if they were not asked for.
        tokens: Prediction tokens ``(B, P, C)``; four of them stand for left, top, right, bottom.
            A backbone without any gives None, or none of them, ``(B, 0, C)``.
        layers: Output of every block, ``(B, Ns + P, C)`` each (search, then prediction tokens),
            if it was asked for.
        template: Tokens ``(B, Nt, C)`` of the static template, row by row, if something reads them.
    """

    search: Tensor | None
    tokens: Tensor | None = None
    layers: list[Tensor] | None = None
    template: Tensor | None = None


@dataclass(frozen=True)
class BoxPrediction:
    """What every head of every tracker returns.

    Attributes:
        boxes: ``(N, 4)`` xyxy in units of the search region, [0, 1] where they are expectations
            over bins. Edges are independent, so a box may be inverted (left > right) before
            training has taught otherwise.
        edge_logits: ``(N, 4, bins)`` ordered left, top, right, bottom; None for heads that
            regress the box directly.
        score_logits: ``(N,)``, or None from a tracker that gives no score.
        score_map: ``(N, G, G)``, how likely the centre of the target lies in a cell of the search
            region, [row, column]; None for heads that have no such map.
    """

    boxes: Tensor
    edge_logits: Tensor | None = None
    score_logits: Tensor | None = None
    score_map: Tensor | None = None
