"""MixFormerV2: the released files, and what the published trainer writes."""

from __future__ import annotations

from torch import Tensor

from .layout import Layout, Rule, StateDict, System, affine, shape_of
from .vit import Sizes, backbone_rules, measure_backbone, measure_ours

# The published tokens stand for left, right, top, bottom; ours for left, top, right, bottom.
_TOKEN_ORDER = [0, 2, 1, 3]


def _reorder_tokens(tokens: Tensor) -> Tensor:
    """Left, right, top, bottom to left, top, right, bottom."""
    return tokens[:, _TOKEN_ORDER]


def _measure(state: StateDict) -> Sizes:
    return Sizes(
        **measure_backbone(state),
        num_bins=shape_of(state, 'box_head.layers.1.0.weight', 2)[0],
        score_head=any(name.startswith('score_head.') for name in state),
    )


def _rules(sizes: Sizes) -> dict[str, Rule]:
    dims, bins = sizes.embed_dims, sizes.num_bins
    rules = backbone_rules(sizes)
    tokens = (1, len(_TOKEN_ORDER), dims)
    rules['backbone.reg_tokens'] = Rule('backbone.prediction_tokens', tokens, _reorder_tokens)
    rules['backbone.pos_embed_reg'] = Rule('backbone.prediction_pos_embed', tokens, _reorder_tokens)
    layers = {
        'box_head.layers.0.0': ('box_head.mlps.0.fc1', (dims, dims)),
        'box_head.layers.0.1': ('box_head.mlps.0.norm1', (dims,)),
        'box_head.layers.1.0': ('box_head.mlps.0.fc2', (bins, dims)),
        'box_head.layers.1.1': ('box_head.mlps.0.norm2', (bins,)),
    }
    if sizes.score_head:
        layers['score_head.layers.0.0'] = ('score_head.fc1', (dims, dims))
        layers['score_head.layers.1'] = ('score_head.fc2', (1, dims))
    for source, (target, shape) in layers.items():
        rules.update(affine(source, target, shape))
    return rules


MIXFORMERV2 = System(
    'MixFormerV2',
    layouts=(
        Layout(
            marks=('backbone.reg_tokens', 'backbone.pos_embed_reg', 'box_head.layers.'),
            measure=_measure,
            rules=_rules,
        ),
    ),
    marks=('backbone.prediction_tokens', 'box_head.mlps.'),
    measure=measure_ours,
)
