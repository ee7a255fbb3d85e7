"""MixViT: the ViT models of MixFormer, as trackers with scores or as teachers without."""

from __future__ import annotations

from .heads import corner_rules, tower_channels
from .layout import Layout, Rule, StateDict, System
from .score_prediction import score_prediction_rules
from .vit import Sizes, backbone_rules, corner_bins, measure_backbone, measure_ours

# What MixViT's backbone inherits from its library's ViT and never uses.
_IDLE = ('cls_token', 'pos_embed', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias')


def _measure(state: StateDict) -> Sizes:
    vit = measure_backbone(state)
    channels = tower_channels(state, 'tl')
    pyramid = any(name.startswith('box_head.adjust') for name in state)
    return Sizes(
        **vit,
        num_bins=corner_bins(vit['search_size'], vit['patch_size'], pyramid),
        score_head=any(name.startswith('score_branch.') for name in state),
        corner_design='pyramid' if pyramid else 'plain',
        corner_channels=channels,
    )


def _rules(sizes: Sizes) -> dict[str, Rule]:
    rules = backbone_rules(sizes)
    rules.update(corner_rules(sizes.embed_dims, sizes.corner_channels, sizes.corner_design))
    if sizes.score_head:
        rules.update(score_prediction_rules('score_branch', sizes.embed_dims))
    return rules


MIXVIT = System(
    'MixViT',
    layouts=(
        Layout(
            marks=('backbone.pos_embed_s', 'backbone.pos_embed_t', 'box_head.conv1_tl.'),
            measure=_measure,
            rules=_rules,
            dropped={f'backbone.{name}': '' for name in _IDLE},
            score={
                'score_branch.*': 'the score prediction module (score_branch) is left out, since '
                'no scores are asked of a teacher; to track with it, convert with --keep-score.'
            },
        ),
    ),
    marks=('backbone.search_pos_embed', 'box_head.top_left.'),
    measure=measure_ours,
)
