"""ViT whose blocks relate template and search region by designs of their own: FERMT's backbone.

Paper: FERMT (ECCV 2024), sections 3.2 and 3.3, Eq. 3 and Table 3. The published system is followed
where it says more than the paper. Blocks in which the template does not see the search region are
done with the template once; from the first other block on both go through the blocks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import Features, TemplateCache
from .base import TemplateSearchBackbone
from .dual_attention import DualAttentionUnit
from .mixed_attention import MixedAttentionBlock
from .patch_embedding import PatchEmbedding

KeyValue = tuple[Tensor, Tensor]  # (B, heads, N, head_dim) each


@dataclass(frozen=True)
class AttentionDesign:
    """Whose tokens the queries of either side attend to, in one softmax.

    Attributes:
        template: Of the template's queries; none at all leaves the queries as they are.
        search: Of the search region's queries.
    """

    template: tuple[str, ...]
    search: tuple[str, ...]


_BOTH = ('template', 'search')
DESIGNS = {
    'A1': AttentionDesign(('template',), ('search',)),
    'A2': AttentionDesign(('template',), _BOTH),
    'A3': AttentionDesign(_BOTH, _BOTH),
    'A4': AttentionDesign((), ('template',)),
    'A5': AttentionDesign(('search',), ('template',)),
}


@MODELS.register_module()
class FERMTViT(TemplateSearchBackbone):
    """ViT with mixed and cross attention, and a Dual Attention Unit before it (FERMT).

    Each block has one of the five designs of attention in Table 3 of the paper, here with the pairs
    of tokens that attend to each other, for Nt of the template and Ns of the search region, and for
    the published 64 and 256:

    - A1, ``Nt^2 + Ns^2`` pairs (69,632): either side attends to itself.

    - A2, ``Nt^2 + Ns (Nt + Ns)`` pairs (86,016): the template attends to itself, the search region
      to both.

    - A3, ``(Nt + Ns)^2`` pairs (102,400): both attend to both.

    - A4, ``Ns Nt`` pairs (16,384): the template attends to nothing, the search region to the
      template.

    - A5, ``2 Ns Nt`` pairs (32,768): either side attends to the other.

    Where the template attends to nothing, its queries take the place of what it would have seen.
    Before the first block of A3 or A5 nothing of the template depends on the search region: the
    cache holds its keys and values of these blocks, and the tokens that enter that block.

    Args:
        search_size: Side of the search region in pixels, S.
        template_size: Side of the template in pixels.
        patch_size: Side of a patch in pixels; divides both sizes.
        embed_dims: Token width C, a multiple of ``num_heads``.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over C.
        attention: Design of every block: one name, or one per block.
        dual_attention: Whether the images go through a Dual Attention Unit.
        drop_path_rate: Drop path of the last block; it grows linearly from zero.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If sizes don't divide, a design is unknown, their number is not ``depth``, or
            none of them shows the template to the search region.
    """

    has_layers = True
    max_templates = 1

    def __init__(
        self,
        *,
        search_size: int = 256,
        template_size: int = 128,
        patch_size: int = 16,
        embed_dims: int = 192,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        attention: str | Sequence[str] = ('A2',) * 6 + ('A5',) * 6,
        dual_attention: bool = True,
        drop_path_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check_sizes(search_size, template_size, patch_size, embed_dims, num_heads)
        self.attention = _designs(attention, depth)
        self.embed_dims = embed_dims
        self.search_size = search_size
        self.template_size = template_size
        self.num_template_tokens = (template_size // patch_size) ** 2
        self.dual_attention = DualAttentionUnit() if dual_attention else None
        self.patch_embed = PatchEmbedding(embed_dims, patch_size)
        self.template_pos_embed = _learned(self.num_template_tokens, embed_dims)
        self.search_pos_embed = _learned((search_size // patch_size) ** 2, embed_dims)
        rates = torch.linspace(0, drop_path_rate, depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            MixedAttentionBlock(embed_dims, num_heads, mlp_ratio, rate) for rate in rates
        )
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def designs(self) -> list[AttentionDesign]:
        """The design of every block."""
        return [DESIGNS[name] for name in self.attention]

    @property
    def num_independent(self) -> int:
        """How many of the first blocks do not show the search region to the template."""
        seen = [i for i, design in enumerate(self.designs) if 'search' in design.template]
        return seen[0] if seen else len(self.blocks)

    def encode_template(self, templates: Tensor, *, out_layers: bool = False) -> TemplateCache:
        """All of the template that does not depend on the search region.

        Args:
            templates: Normalised crops ``(B, 1, 3, h, w)``.
            out_layers: Also keep the template's output of these blocks, not of the later ones.

        Returns:
            Keys and values of the blocks of A2 and A4 before the first of A3 and A5, and in
            ``maps`` under ``'tokens'`` what enters that block, if there is one.

        Raises:
            ValueError: If the crops have another size or number of dimensions.
        """
        self.check_templates(templates, out_layers)
        x = self._embed(templates[:, 0], self.template_pos_embed)
        keys, values, layers, count = [], [], [], self.num_independent
        for i, (block, design) in enumerate(zip(self.blocks[:count], self.designs)):
            goes_on = self._template_goes_on(i) or out_layers
            if not goes_on and 'template' not in design.search:
                break
            query, own = _project(block, x, query=goes_on, keys=True)
            if 'template' in design.search:
                keys.append(own[0])
                values.append(own[1])
            if goes_on:
                x = block.finish_mixed(x, _mix(query, design.template, {'template': own}))
                layers.append(x)
        maps = {}
        if count < len(self.blocks):
            maps['tokens'] = x
        elif self.keep_template_output:
            maps['template'] = self.norm(x)
        return TemplateCache(keys, values, layers if out_layers else None, maps=maps)

    def encode_search(
        self,
        search: Tensor,
        cache: TemplateCache,
        *,
        out_layers: bool = False,
        tokens_only: bool = False,
    ) -> Features:
        """Search tokens after all blocks, and the template tokens on their way.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            out_layers: Also keep the search tokens after every block.
            tokens_only: There are no prediction tokens, so it is refused.

        Raises:
            ValueError: If the size of the regions or the cache does not fit this backbone, or
                ``tokens_only`` is set.
        """
        self.check_search(search, out_layers, tokens_only)
        self._check_cache(cache, search.shape[0])
        x, template = self._embed(search, self.search_pos_embed), cache.maps.get('tokens')
        layers, cached = [], iter(zip(cache.keys, cache.values))
        for i, (block, design) in enumerate(zip(self.blocks, self.designs)):
            if i >= self.num_independent and self._template_goes_on(i):
                template, x = _finish_both(block, template, x, design)
            else:
                seen = {}
                if 'template' in design.search and i < self.num_independent:
                    seen['template'] = next(cached)
                elif 'template' in design.search:
                    _, seen['template'] = _project(block, template, query=False, keys=True)
                query, own = _project(block, x, query=True, keys='search' in design.search)
                if own is not None:
                    seen['search'] = own
                x = block.finish_mixed(x, _mix(query, design.search, seen))
            layers.append(x)
        if self.keep_template_output:
            template = cache.maps['template'] if template is None else self.norm(template)
        else:
            template = None
        return Features(self.norm(x), layers=layers if out_layers else None, template=template)

    def _template_goes_on(self, index: int) -> bool:
        """Whether anything reads the template's output of a block."""
        later = self.designs[index + 1 :]
        return self.keep_template_output or any('template' in one.search for one in later)

    def _embed(self, images: Tensor, position: Tensor) -> Tensor:
        if self.dual_attention is not None:
            images = self.dual_attention(images)
        return self.patch_embed.tokens(images) + position

    def fold_scaling(self, mean: Tensor, std: Tensor) -> None:
        """Put ``(image - mean) / std``, ``(3,)`` each, into the weights for raw images."""
        if self.dual_attention is not None:
            self.dual_attention.fold_scaling(mean, std)
        self.patch_embed.fold_scaling(mean, std)

    def _check_cache(self, cache: TemplateCache, batch: int) -> None:
        count = self.num_independent
        blocks = sum('template' in design.search for design in self.designs[:count])
        expected = (blocks, count < len(self.blocks), batch)
        kept = [*cache.keys, *cache.maps.values()]
        got = (len(cache.keys), 'tokens' in cache.maps, kept[0].shape[0] if kept else 0)
        if got != expected:
            raise ValueError(
                f'the template cache has (blocks with keys, tokens, batch) = {got}, expected '
                f'{expected}; make it with encode_template of this very backbone.'
            )


def _project(
    block: MixedAttentionBlock, x: Tensor, *, query: bool, keys: bool
) -> tuple[Tensor | None, KeyValue | None]:
    """Query, and key with value, of tokens ``(B, N, C)``; only those that something reads."""
    if query and keys:
        asked, key, value = block.project(x)
        return asked, (key, value)
    dims, heads = x.shape[-1], block.attn.num_heads
    rows = slice(0, dims) if query else slice(dims, None)
    weight, bias = block.attn.qkv.weight[rows], block.attn.qkv.bias[rows]
    parts = F.linear(block.norm1(x), weight, bias).unflatten(2, (-1, heads, dims // heads))
    parts = parts.permute(2, 0, 3, 1, 4)  # (1 or 2, B, heads, N, head_dim)
    return (parts[0], None) if query else (None, (parts[0], parts[1]))


def _finish_both(
    block: MixedAttentionBlock, template: Tensor, search: Tensor, design: AttentionDesign
) -> tuple[Tensor, Tensor]:
    """Output of a block for the tokens of both sides, in the same products."""
    counts = [template.shape[1], search.shape[1]]
    joined = torch.cat([template, search], dim=1)
    query, key, value = (part.split(counts, dim=2) for part in block.project(joined))
    tokens = dict(zip(_BOTH, zip(key, value)))
    sees = (design.template, design.search)
    mixed = torch.cat([_mix(*one, tokens) for one in zip(query, sees)], dim=1)
    template, search = block.finish_mixed(joined, mixed).split(counts, dim=1)
    return template, search


def _mix(query: Tensor, sees: tuple[str, ...], tokens: dict[str, KeyValue]) -> Tensor:
    """What queries ``(B, heads, N, head_dim)`` see; if that is nothing, they; ``(B, N, C)``."""
    if sees:
        key, value = (
            pair[0] if len(pair) == 1 else torch.cat(pair, dim=2)
            for pair in zip(*(tokens[name] for name in sees))
        )
        query = F.scaled_dot_product_attention(query, key, value)
    return query.transpose(1, 2).flatten(2)


def _learned(count: int, dims: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, dims), std=0.02))


def _designs(attention: str | Sequence[str], depth: int) -> tuple[str, ...]:
    """The name of the design of every block."""
    names = [attention] * depth if isinstance(attention, str) else attention
    listed = isinstance(names, Sequence) and len(names) == depth >= 1
    if not listed or not all(isinstance(name, str) and name in DESIGNS for name in names):
        raise ValueError(
            f'attention is {attention!r} for depth={depth}, expected one of {", ".join(DESIGNS)}, '
            'or one for each block of a backbone that has at least one.'
        )
    if set(names) == {'A1'}:
        raise ValueError(
            'all blocks have the design A1, so the search region never sees the template; give at '
            'least one another design.'
        )
    return tuple(names)


def _check_sizes(search: int, template: int, patch: int, dims: int, heads: int) -> None:
    if patch < 1 or search % patch or template % patch:
        raise ValueError(
            f'search_size={search} and template_size={template} must be multiples of '
            f'patch_size={patch}, which is at least 1.'
        )
    if heads < 1 or dims % heads:
        raise ValueError(f'embed_dims={dims} must be a multiple of num_heads={heads}.')
