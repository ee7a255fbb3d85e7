"""What every backbone of a tracker has: templates to a cache, search and cache to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from ...structures import Features, TemplateCache


class TemplateSearchBackbone(BaseModule, ABC):
    """A backbone that never shows the search region to what it keeps of the templates.

    Attributes:
        embed_dims: Width C of the features.
        search_size: Side of the search region in pixels.
        template_size: Side of a template in pixels.
        num_prediction_tokens: Tokens besides those of the search region; zero without any.
        max_templates: How many templates it can see at once; None for any number.
        num_template_tokens: Tokens of one template in ``Features.template``; None if unknown.
        has_layers: Whether the output of every block can be kept, ``out_layers``.
        has_template_layers: Whether that of the templates too, of every block.
        keep_template_output: Whether ``Features.template`` is wanted. A tracker sets it where a
            head reads it; the cache then keeps it.
    """

    embed_dims: int
    search_size: int
    template_size: int
    num_prediction_tokens = 0
    max_templates: int | None = None
    num_template_tokens: int | None = None
    has_layers = False
    has_template_layers = False
    keep_template_output = False

    @abstractmethod
    def encode_template(self, templates: Tensor, *, out_layers: bool = False) -> TemplateCache:
        """All that does not depend on the search region.

        Args:
            templates: Normalised crops ``(B, T, 3, h, w)``, the static template first.
            out_layers: Also keep the output of every block.

        Raises:
            ValueError: If the crops have another size or number, or there are no layers to keep.
        """

    @abstractmethod
    def encode_search(
        self,
        search: Tensor,
        cache: TemplateCache,
        *,
        out_layers: bool = False,
        tokens_only: bool = False,
    ) -> Features:
        """Features of search regions, given their templates.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            out_layers: Also keep the output of every block.
            tokens_only: Leave out what only the final search tokens need.

        Raises:
            ValueError: If the size of the regions or the cache does not fit this backbone, or what
                is asked for does not exist.
        """

    def check_removal(self, layers: Sequence[int]) -> None:
        """Raise a ValueError if these blocks cannot be removed; a backbone that can says which."""
        raise ValueError(
            f'{type(self).__name__} cannot lose blocks: that is built in for PMAMViT, the backbone '
            'of MixFormerV2 and MixViT. Train a model whose config has fewer blocks, without '
            'DepthPruningHook.'
        )

    def remove_blocks(self, layers: Sequence[int]) -> None:
        """Make the backbone shallower; the blocks that are left keep their order and weights.

        Args:
            layers: Blocks to remove, 0-based.

        Raises:
            ValueError: If they cannot be removed, see :meth:`check_removal`.
        """
        self.check_removal(layers)
        self.blocks = nn.ModuleList(b for i, b in enumerate(self.blocks) if i not in layers)

    def forward(self, templates: Tensor, search: Tensor, *, out_layers: bool = False) -> Features:
        """Both halves in one call: ``(B, T, 3, h, w)`` and ``(B, 3, S, S)`` to features."""
        cache = self.encode_template(templates, out_layers=out_layers)
        return self.encode_search(search, cache, out_layers=out_layers)

    def check_templates(self, templates: Tensor, out_layers: bool = False) -> None:
        """Raise for templates of a wrong shape, or layers that do not exist."""
        if templates.ndim != 5:
            raise ValueError(
                f'templates have shape {tuple(templates.shape)}, expected (B, T, 3, h, w)'
            )
        count, most = templates.shape[1], self.max_templates
        if most is not None and count > most:
            raise ValueError(
                f'there are {count} templates and {type(self).__name__} sees {most}; set '
                f'num_online_templates={most - 1} in test_cfg and num_templates={most} in the '
                'training data.'
            )
        self.check_size(templates.shape[2:], self.template_size, 'template')
        self._check_layers(out_layers)

    def check_search(
        self, search: Tensor, out_layers: bool = False, tokens_only: bool = False
    ) -> None:
        """Raise for search regions of a wrong shape, or outputs that do not exist."""
        self.check_size(search.shape[1:], self.search_size, 'search')
        self._check_layers(out_layers)
        if tokens_only and (out_layers or not self.num_prediction_tokens):
            raise ValueError(
                'tokens_only leaves the search tokens out, which out_layers and a backbone with '
                f'num_prediction_tokens={self.num_prediction_tokens} need; call encode_search '
                'without it.'
            )

    @staticmethod
    def check_size(shape: tuple[int, ...], size: int, name: str) -> None:
        """Raise for images ``(3, h, w)`` that are not ``size`` pixels wide and high."""
        if tuple(shape) != (3, size, size):
            raise ValueError(
                f'{name} is {"x".join(map(str, shape))}, expected 3x{size}x{size}; crop '
                f'it to that size or set {name}_size in the config of the backbone.'
            )

    def _check_layers(self, out_layers: bool) -> None:
        if out_layers and not self.has_layers:
            raise ValueError(
                f'{type(self).__name__} has no layers of one width to compare or to guide; leave '
                'out layer_pairs, loss_feature and auxiliary.'
            )
