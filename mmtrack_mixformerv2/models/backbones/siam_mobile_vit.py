"""MobileViT in which the search region and the template meet inside: the backbone of MVT.

Paper: Mobile Vision Transformer-based Visual Object Tracking, arXiv 2309.05829; follows the
published system. The template is encoded alone as far as it goes alone, through the convolutions
before the first attention; what comes after depends on the search region and runs for every frame.
The part that the published system keeps of the template ends two layers earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.layers import InvertedResidual
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ...structures import Features, TemplateCache
from .base import TemplateSearchBackbone
from .mobile_vit_blocks import SiamMobileViTBlock, conv_norm

_STRIDE = 16


@MODELS.register_module()
class SiamMobileViT(TemplateSearchBackbone):
    """MobileViT with Siam-MoViT blocks (MVT).

    Published: MobileViT-S without its last stage, 2,519,760 parameters. The tokens of the search
    region and of the template, 1/16 of the size of the images, come out of the last block. The
    cache holds the template before the first block, and what of it enters the attention there.

    Args:
        search_size: Side of the search region in pixels, a multiple of 16.
        template_size: Side of a template in pixels, a multiple of 16.
        widths: Channels of the maps at stride 2 (twice), 4, 8 and 16; the last are the features.
        dims: Token widths of the two Siam-MoViT blocks; the MLPs are twice as wide.
        depths: Their numbers of encoder layers.
        num_heads: Attention heads.
        expansion: Hidden width of the inverted residuals over their input.
        dropout: Rate in training of attention weights and of what attention and MLPs add.
        init_cfg: As in mmengine. ImageNet weights of MobileViT-S are converted by the tool.

    Raises:
        ValueError: If a size is no multiple of 16, or ``widths``, ``dims`` or ``depths`` have
            another length or do not divide.
    """

    max_templates = 1

    def __init__(
        self,
        *,
        search_size: int = 256,
        template_size: int = 128,
        widths: Sequence[int] = (16, 32, 64, 96, 128),
        dims: Sequence[int] = (144, 192),
        depths: Sequence[int] = (2, 4),
        num_heads: int = 4,
        expansion: int = 4,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check(search_size, template_size, widths, dims, depths, num_heads)
        self.search_size = search_size
        self.template_size = template_size
        self.num_template_tokens = (template_size // _STRIDE) ** 2
        self.embed_dims = widths[-1]

        def residual(in_channels: int, out_channels: int, stride: int) -> InvertedResidual:
            hidden = expansion * in_channels
            return InvertedResidual(in_channels, out_channels, hidden, stride=stride)

        def mixing(channels: int, width: int, depth: int) -> SiamMobileViTBlock:
            return SiamMobileViTBlock(channels, width, depth, num_heads, 2 * width, dropout)

        c0, c1, c2, c3, c4 = widths
        self.alone = nn.Sequential(
            conv_norm(3, c0, 3, stride=2),
            residual(c0, c1, 1),
            residual(c1, c2, 2),
            residual(c2, c2, 1),
            residual(c2, c2, 1),
            residual(c2, c3, 2),
        )
        self.mix1 = mixing(c3, dims[0], depths[0])
        self.down = residual(c3, c4, 2)
        self.mix2 = mixing(c4, dims[1], depths[1])

    def encode_template(self, templates: Tensor, *, out_layers: bool = False) -> TemplateCache:
        """The template as far as it does not see the search region.

        Args:
            templates: Normalised crops ``(B, 1, 3, h, w)``.
            out_layers: Not possible here.

        Returns:
            A cache with the ``maps`` ``image``, ``(B, C, h/8, w/8)``, and ``tokens``,
            ``(B, 4, (h/16) (w/16), dims)``.

        Raises:
            ValueError: If there are several templates, or their size is another.
        """
        self.check_templates(templates, out_layers)
        image = self.alone(templates[:, 0])
        return TemplateCache([], [], maps=dict(image=image, tokens=self.mix1.tokens(image)))

    def encode_search(
        self,
        search: Tensor,
        cache: TemplateCache,
        *,
        out_layers: bool = False,
        tokens_only: bool = False,
    ) -> Features:
        """Search and template tokens after they saw each other.

        Args:
            search: Normalised search regions ``(B, 3, S, S)``.
            cache: Of the same B sequences, from :meth:`encode_template`.
            out_layers: Not possible here.
            tokens_only: Not possible here.

        Returns:
            ``search`` ``(B, (S/16)^2, C)`` and ``template`` ``(B, (h/16)^2, C)``, row by row.

        Raises:
            ValueError: If the size of the regions or the cache does not fit this backbone, or
                something is asked for that does not exist.
        """
        self.check_search(search, out_layers, tokens_only)
        self._check_cache(cache, search.shape[0])
        x, z = self.mix1(self.alone(search), cache.maps['image'], cache.maps['tokens'])
        x, z = self.down(x), self.down(z)
        x, z = self.mix2(x, z, self.mix2.tokens(z))
        return Features(_rows(x), template=_rows(z))

    def _check_cache(self, cache: TemplateCache, batch: int) -> None:
        channels, side = self.mix1.local_conv.in_channels, self.template_size // 8
        got = {name: tuple(one.shape) for name, one in cache.maps.items()}
        if got.get('image') != (batch, channels, side, side) or 'tokens' not in got:
            raise ValueError(
                f'the template cache has the maps {got}, expected tokens and an image of shape '
                f'{(batch, channels, side, side)}; make it with encode_template of this very '
                'backbone.'
            )


def _rows(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


def _check(
    search_size: int,
    template_size: int,
    widths: Sequence[int],
    dims: Sequence[int],
    depths: Sequence[int],
    num_heads: int,
) -> None:
    if search_size % _STRIDE or template_size % _STRIDE:
        raise ValueError(
            f'search_size={search_size} and template_size={template_size} must be multiples of '
            f'{_STRIDE}.'
        )
    if (len(widths), len(dims), len(depths)) != (5, 2, 2):
        raise ValueError(
            f'widths={list(widths)}, dims={list(dims)} and depths={list(depths)} must have 5, 2 '
            'and 2 entries.'
        )
    if any(width % num_heads for width in dims):
        raise ValueError(f'dims={list(dims)} must be multiples of num_heads={num_heads}.')
