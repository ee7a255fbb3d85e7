"""ViT with prediction-token-involved mixed attention (P-MAM), the backbone of MixFormerV2.

Paper: MixFormerV2, arXiv 2305.15896, section 3.1. With no prediction tokens it is the backbone of
MixViT. Follows the published implementation at revision 1041438, with one deliberate difference:
attention is asymmetric by construction, not by a mask. Templates pass through the blocks alone and
leave their keys and values in a :class:`TemplateCache`; search and prediction tokens then attend to
the cached keys and their own. Training, tracking and export run these same lines. Where only the
prediction tokens are read, the last block does no more for the search tokens than they need.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...position import sincos_position_table
from ...structures import Features, TemplateCache
from .base import TemplateSearchBackbone
from .mixed_attention import MixedAttentionBlock
from .patch_embedding import PatchEmbedding


@MODELS.register_module()
class PMAMViT(TemplateSearchBackbone):
    """Prediction-token-involved mixed attention ViT (MixFormerV2, section 3.1).

    Args:
        search_size: Side of the search region in pixels, S.
        template_size: Side of a template in pixels.
        patch_size: Side of a patch in pixels; divides both sizes.
        embed_dims: Token width C; a multiple of four and of ``num_heads``.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over C: one number, or one per block.
        num_prediction_tokens: P; four stand for the edges of the box, zero gives MixViT.
        drop_path_rate: Drop path of the last block; it grows linearly from zero.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If sizes don't divide, or ``mlp_ratio`` has another length than ``depth``.
    """

    has_layers = True
    has_template_layers = True

    def __init__(
        self,
        *,
        search_size: int,
        template_size: int,
        patch_size: int = 16,
        embed_dims: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float | Sequence[float] = 4.0,
        num_prediction_tokens: int = 4,
        drop_path_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        ratios = [mlp_ratio] * depth if isinstance(mlp_ratio, (int, float)) else list(mlp_ratio)
        _check_sizes(search_size, template_size, patch_size, embed_dims, num_heads)
        if len(ratios) != depth or depth < 1:
            raise ValueError(
                f'mlp_ratio has {len(ratios)} entries for depth={depth}; give one number, or one '
                'per block of a backbone that has at least one.'
            )
        if num_prediction_tokens < 0:
            raise ValueError(
                f'num_prediction_tokens is {num_prediction_tokens}, expected 0 or more'
            )
        self.embed_dims = embed_dims
        self.search_size = search_size
        self.template_size = template_size
        self.num_prediction_tokens = num_prediction_tokens
        self.patch_embed = PatchEmbedding(embed_dims, patch_size)
        self.search_pos_embed = _fixed(sincos_position_table(search_size // patch_size, embed_dims))
        self.template_pos_embed = _fixed(
            sincos_position_table(template_size // patch_size, embed_dims)
        )
        self.num_template_tokens = self.template_pos_embed.shape[1]
        self.prediction_tokens = self.prediction_pos_embed = None
        if num_prediction_tokens:
            tokens = torch.empty(1, num_prediction_tokens, embed_dims)
            self.prediction_tokens = nn.Parameter(nn.init.trunc_normal_(tokens, std=0.02))
            self.prediction_pos_embed = nn.Parameter(torch.zeros_like(tokens))
        rates = torch.linspace(0, drop_path_rate, depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            MixedAttentionBlock(embed_dims, num_heads, ratio, rate)
            for ratio, rate in zip(ratios, rates)
        )

    def check_removal(self, layers: Sequence[int]) -> None:
        """Raise a ValueError if one of the blocks to remove does not exist, or none is left."""
        gone = set(layers)
        if not gone <= set(range(len(self.blocks))) or len(gone) >= len(self.blocks):
            raise ValueError(
                f'cannot remove the layers {sorted(gone)} of a backbone with {len(self.blocks)} '
                f'(0 to {len(self.blocks) - 1}); at least one has to stay.'
            )

    def encode_template(self, templates: Tensor, *, out_layers: bool = False) -> TemplateCache:
        """Keys and values of the templates, which never see the search region.

        Args:
            templates: Normalised crops ``(B, T, 3, h, w)``, the static template first.
            out_layers: Also keep the output of every block.

        Returns:
            The cache to hand to :meth:`encode_search`. Without ``out_layers`` the last block stops
            at its keys and values, since nothing reads its output.

        Raises:
            ValueError: If the crops have another size or number of dimensions.
        """
        self.check_templates(templates)
        batch = templates.shape[0]
        x = self._embed(templates.flatten(0, 1), self.template_pos_embed)
        x = x.reshape(batch, -1, x.shape[-1])  # (B, T * Nt, C)
        keys, values, layers = [], [], []
        for block in self.blocks:
            query, key, value = block.project(x)
            keys.append(key)
            values.append(value)
            if out_layers or self.keep_template_output or block is not self.blocks[-1]:
                x = block.finish(x, query, key, value)
                layers.append(x)
        maps = {}
        if self.keep_template_output:
            maps['template'] = x[:, : self.template_pos_embed.shape[1]]  # the static one's
        return TemplateCache(keys, values, layers if out_layers else None, maps=maps)

    def encode_search(
        self,
        search: Tensor,
        cache: TemplateCache,
        *,
        out_layers: bool = False,
        tokens_only: bool = False,
    ) -> Features:
        """Search and prediction tokens after attending to the templates and to each other.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            out_layers: Also keep the output of every block.
            tokens_only: Leave out what only the final search tokens need. The prediction tokens
                are the same but for rounding; a quarter (B: an eighth) of the work is saved.

        Raises:
            ValueError: If the size of the regions or the cache does not fit this backbone, or
                ``tokens_only`` leaves nothing or less than was asked for.
        """
        self.check_search(search, out_layers, tokens_only)
        x = self._begin_search(search, cache)
        layers = []
        for block, template_key, template_value in zip(self.blocks, cache.keys, cache.values):
            if tokens_only and block is self.blocks[-1]:
                count = self.num_prediction_tokens
                few = block.finish_few(x, count, template_key, template_value)
                return Features(None, few, template=cache.maps.get('template'))
            query, key, value = block.project(x)
            key = torch.cat([template_key, key], dim=2)
            value = torch.cat([template_value, value], dim=2)
            x = block.finish(x, query, key, value)
            if out_layers:
                layers.append(x)
        split = x.shape[1] - self.num_prediction_tokens
        layers = layers if out_layers else None
        return Features(x[:, :split], x[:, split:], layers, cache.maps.get('template'))

    def explain_search(
        self, search: Tensor, cache: TemplateCache, queries: Sequence[int] | None = None
    ) -> tuple[Features, dict[int, Tensor]]:
        """What :meth:`encode_search` gives, and where its tokens looked in every block.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            queries: Which of the ``Ns + P`` tokens (search row by row, then prediction tokens);
                by default the prediction tokens.

        Returns:
            The features with their ``layers``, and by the number of the block the attention
            ``(B, heads, queries, T * Nt + Ns + P)`` to templates, search region and prediction
            tokens, in this order. Each row sums to 1. A block that has faded out is not there: it
            is skipped, as if it had been removed.

        Raises:
            ValueError: As :meth:`encode_search`; or if ``queries`` is empty or missing without
                prediction tokens, or names a token that does not exist.
        """
        features = self.encode_search(search, cache, out_layers=True)
        count = features.search.shape[1] + features.tokens.shape[1]
        if queries is None:
            queries = range(features.search.shape[1], count)
        if not len(queries) or not all(0 <= query < count for query in queries):
            raise ValueError(
                f'queries are {list(queries)}, expected numbers from 0 to {count - 1}, at least '
                'one; without prediction tokens, name search tokens.'
            )
        entering = [self._begin_search(search, cache), *features.layers[:-1]]
        attention = {}
        for i, (block, x) in enumerate(zip(self.blocks, entering)):
            if block.gamma != 0:
                query, key, _ = block.project(x)
                key = torch.cat([cache.keys[i], key], dim=2)
                attention[i] = block.attn.weigh(query[:, :, list(queries)], key)
        return features, attention

    def _begin_search(self, search: Tensor, cache: TemplateCache) -> Tensor:
        """Search and prediction tokens ``(B, Ns + P, C)`` as they enter the first block."""
        x = self._embed(search, self.search_pos_embed)
        self._check_cache(cache, x.shape[0])
        if self.num_prediction_tokens:
            tokens = self.prediction_tokens + self.prediction_pos_embed
            x = torch.cat([x, tokens.expand(x.shape[0], -1, -1)], dim=1)
        return x

    def _embed(self, images: Tensor, position: Tensor) -> Tensor:
        return self.patch_embed.tokens(images) + position

    def fold_scaling(self, mean: Tensor, std: Tensor) -> None:
        """Put ``(image - mean) / std``, ``(3,)`` each, into the weights for raw images."""
        self.patch_embed.fold_scaling(mean, std)

    def _check_cache(self, cache: TemplateCache, batch: int) -> None:
        heads = self.blocks[0].attn.num_heads
        expected = (len(self.blocks), batch, heads, self.embed_dims // heads)
        got = (0,)  # as of backbones that keep maps only
        if cache.keys:
            key = cache.keys[0]
            got = (len(cache.keys), key.shape[0], key.shape[1], key.shape[3])
        if got != expected:
            raise ValueError(
                f'the template cache has (blocks, batch, heads, head width) = {got}, expected '
                f'{expected}; make it with encode_template of this very backbone.'
            )


def _fixed(table: Tensor) -> nn.Parameter:
    """A table kept with the weights, as published, but never trained."""
    return nn.Parameter(table, requires_grad=False)


def _check_sizes(search: int, template: int, patch: int, dims: int, heads: int) -> None:
    if patch < 1 or search % patch or template % patch:
        raise ValueError(
            f'search_size={search} and template_size={template} must be multiples of '
            f'patch_size={patch}, which is at least 1.'
        )
    if heads < 1 or dims % 4 or dims % heads:
        raise ValueError(f'embed_dims={dims} must be a multiple of 4 and of num_heads={heads}.')
