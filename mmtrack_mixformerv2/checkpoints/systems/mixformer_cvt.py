"""MixFormer with the CvT backbone: the authors' files, those of MMTracking 0.x, and bare CvTs.

The tables are written for the authors' names; the other two layouts differ from them by a rename.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .heads import corner_rules
from .layout import (
    Layout,
    Rule,
    StateDict,
    System,
    TrackerSizes,
    affine,
    batch_norm,
    count_of,
    shape_of,
)
from .score_prediction import score_prediction_rules

Rename = Callable[[str], str]


@dataclass(frozen=True)
class CvtSizes(TrackerSizes):
    """What the shapes of the weights of a MixFormer-CvT or a bare CvT say about it.

    Sizes of the regions, strides and attention heads are not among them: there are no position
    tables, and no shape tells the others. All published models have one head per 64 channels.

    Attributes:
        stage_dims: Width of each stage.
        depths: Blocks of each stage.
        embed_kernels: Side of the kernel of each stage's patch embedding.
        mlp_ratio: Hidden width of the MLPs over the width of their stage.
        corner_channels: Width of the first convolution of the corner head; None for a bare CvT.
        score_head: Whether there is a score prediction module.
    """

    stage_dims: tuple[int, ...]
    depths: tuple[int, ...]
    embed_kernels: tuple[int, ...]
    mlp_ratio: float
    corner_channels: int | None = None
    score_head: bool = False

    @property
    def title(self) -> str:
        """System and variant in a few words."""
        if not self.is_tracker:
            return 'a CvT backbone'
        return f'MixFormer-CvT {"with" if self.score_head else "without"} score head'

    @property
    def details(self) -> str:
        """Sizes in a line."""
        depths, widths, kernels = (
            '-'.join(map(str, values))
            for values in (self.depths, self.stage_dims, self.embed_kernels)
        )
        words = [
            f'{depths} layers of width {widths}',
            f'MLP ratio {self.mlp_ratio:g}',
            f'patch embeddings of {kernels}',
        ]
        if self.is_tracker:
            words.append(f'corner head of {self.corner_channels} channels')
        return ', '.join(words)

    @property
    def is_tracker(self) -> bool:
        """Whether there is a box head."""
        return self.corner_channels is not None

    @property
    def config(self) -> str | None:
        """Configs that fit, as a pattern of file names, or None if there is none."""
        if self == RELEASED:
            return 'configs/mixformer_cvt/mixformer-cvt_test-*.py'
        if self == RELEASED_WITHOUT_SCORE:
            return 'configs/mixformer_cvt/mixformer-cvt_st1_*.py'
        return None

    @property
    def base_config(self) -> str:
        """A config that :meth:`settings` make fit."""
        if self.score_head:
            return 'configs/mixformer_cvt/mixformer-cvt_test-*.py'
        return 'configs/mixformer_cvt/mixformer-cvt_st1_*.py'

    def settings(self, num_heads: int | None = None) -> dict[str, object]:
        """Settings that make :attr:`base_config` fit.

        Args:
            num_heads: Attention heads of the last stage; the others have heads of the same width.
                None for one per 64 channels, left out where that does not divide.

        Raises:
            ValueError: If heads of that width do not divide the stages.
        """
        dims = self.stage_dims[-1]
        width = 64 if num_heads is None else dims // num_heads if num_heads > 0 else 0
        divides = width > 0 and not any(one % width for one in self.stage_dims)
        if num_heads is not None and not divides:
            raise ValueError(f'{num_heads} heads do not divide the widths {self.stage_dims}.')
        heads = [one // width for one in self.stage_dims] if divides else None
        backbone = {
            'stage_dims': list(self.stage_dims),
            'num_heads': heads,
            'depths': list(self.depths),
            'mlp_ratio': self.mlp_ratio,
        }
        settings = {f'model.backbone.{k}': v for k, v in backbone.items() if v is not None}
        settings['model.box_head.in_channels'] = dims
        if self.is_tracker:
            settings['model.box_head.channels'] = self.corner_channels
        if not self.score_head:
            settings['model.score_head'] = None
            return settings
        settings['model.score_head.in_channels'] = dims
        if heads is not None:
            settings['model.score_head.num_heads'] = heads[-1]
        return settings


RELEASED_WITHOUT_SCORE = CvtSizes((64, 192, 384), (1, 4, 16), (7, 3, 3), 4.0, 384, False)
RELEASED = CvtSizes((64, 192, 384), (1, 4, 16), (7, 3, 3), 4.0, 384, True)


def _published_names(name: str) -> str:
    return name


def _names_of_mmtracking(name: str) -> str:
    """The name of MMTracking 0.x for one of the authors'."""
    name = name.replace('.mlp.fc1.', '.mlp.layers.0.0.').replace('.mlp.fc2.', '.mlp.layers.1.')
    name = re.sub('^score_branch', 'head.score_decoder_head', name)
    unit = re.match(r'box_head\.conv(\d)_(tl|br)(?:\.([01]))?(\..*)', name)
    if unit is None:
        return name
    number, corner, part, rest = unit.groups()
    part = {'0': '.conv', '1': '.bn', None: ''}[part]
    return f'head.bbox_head.{corner}_corner_pred.{int(number) - 1}{part}{rest}'


def _names_of_pretraining(name: str) -> str:
    return name.removeprefix('backbone.')


def _measure(state: StateDict, rename: Rename) -> CvtSizes:
    stages = count_of(state, rename('backbone.stage'))
    embeds = [
        shape_of(state, rename(f'backbone.stage{i}.patch_embed.proj.weight'), 4)
        for i in range(stages)
    ]
    depths = [count_of(state, rename(f'backbone.stage{i}.blocks.')) for i in range(stages)]
    hidden, dims = shape_of(state, rename('backbone.stage0.blocks.0.mlp.fc1.weight'), 2)
    backbone = CvtSizes(
        tuple(shape[0] for shape in embeds),
        tuple(depths),
        tuple(shape[2] for shape in embeds),
        hidden / dims,
    )
    if rename is _names_of_pretraining:
        return backbone
    corner = rename('box_head.conv1_tl.0.weight')
    return _with_heads(backbone, state, corner, rename('score_branch.score_token'))


def _with_heads(backbone: CvtSizes, state: StateDict, corner: str, score: str) -> CvtSizes:
    """Sizes with those of the heads, whose first tensors have these names."""
    channels = shape_of(state, corner, 4)[0]
    if channels % 8:
        raise ValueError(
            f'{corner!r} has {channels} output channels, expected a multiple of eight.'
        )
    part = score.rsplit('.', 1)[0]
    has_score = any(name.startswith(f'{part}.') for name in state)
    return CvtSizes(
        backbone.stage_dims,
        backbone.depths,
        backbone.embed_kernels,
        backbone.mlp_ratio,
        channels,
        has_score,
    )


def _rules(sizes: CvtSizes, rename: Rename) -> dict[str, Rule]:
    rules, in_channels = {}, 3
    for i, dims in enumerate(sizes.stage_dims):
        source, target, kernel = (
            f'backbone.stage{i}',
            f'backbone.stages.{i}',
            sizes.embed_kernels[i],
        )
        shape = (dims, in_channels, kernel, kernel)
        rules.update(affine(f'{source}.patch_embed.proj', f'{target}.embed', shape))
        rules.update(affine(f'{source}.patch_embed.norm', f'{target}.norm', (dims,)))
        for j in range(sizes.depths[i]):
            block = f'blocks.{j}'
            hidden = round(dims * sizes.mlp_ratio)
            rules.update(_block_rules(f'{source}.{block}', f'{target}.{block}', dims, hidden))
        in_channels = dims
    if sizes.is_tracker:
        rules.update(corner_rules(in_channels, sizes.corner_channels))
    if sizes.score_head:
        rules.update(score_prediction_rules('score_branch', in_channels))
    return {rename(name): rule for name, rule in rules.items()}


def _block_rules(source: str, target: str, dims: int, hidden: int) -> dict[str, Rule]:
    """One transformer block."""
    rules = {}
    for norm in ('norm1', 'norm2'):
        rules.update(affine(f'{source}.{norm}', f'{target}.{norm}', (dims,)))
    for ours in ('query', 'key', 'value'):
        published, part = f'{source}.attn.conv_proj_{ours[0]}', f'{target}.attn.{ours}'
        rules[f'{published}.conv.weight'] = Rule(f'{part}.conv.weight', (dims, 1, 3, 3))
        rules.update(batch_norm(f'{published}.bn', f'{part}.bn', dims))
        linear = f'{source}.attn.proj_{ours[0]}'
        rules.update(affine(linear, f'{part}.linear', (dims, dims)))
    rules.update(affine(f'{source}.attn.proj', f'{target}.attn.proj', (dims, dims)))
    rules.update(affine(f'{source}.mlp.fc1', f'{target}.fc1', (hidden, dims)))
    rules.update(affine(f'{source}.mlp.fc2', f'{target}.fc2', (dims, hidden)))
    return rules


def _measure_ours(state: StateDict) -> CvtSizes:
    stages = count_of(state, 'backbone.stages.')
    embeds = [shape_of(state, f'backbone.stages.{i}.embed.weight', 4) for i in range(stages)]
    hidden, dims = shape_of(state, 'backbone.stages.0.blocks.0.fc1.weight', 2)
    backbone = CvtSizes(
        tuple(shape[0] for shape in embeds),
        tuple(count_of(state, f'backbone.stages.{i}.blocks.') for i in range(stages)),
        tuple(shape[2] for shape in embeds),
        hidden / dims,
    )
    corner = 'box_head.top_left.convs.0.0.weight'
    if corner not in state:
        return backbone
    return _with_heads(backbone, state, corner, 'score_head.score_token')


def _layout(
    rename: Rename, marks: tuple[str, ...], idle: tuple[str, ...], note: str = ''
) -> Layout:
    return Layout(
        marks=marks,
        measure=partial(_measure, rename=rename),
        rules=partial(_rules, rename=rename),
        dropped=dict.fromkeys(map(rename, idle), ''),
        note=note,
    )


# The classifier of the pre-training, which no tracker runs.
_IDLE = tuple(f'backbone.{part}.{kind}' for part in ('norm', 'head') for kind in ('weight', 'bias'))

_PORTED = 'backbone.stage0.blocks.0.mlp.layers.'  # a name that no other tracker has
_ACTIVATION = (
    'MMTracking 0.x ran these weights with the exact GELU; here they run with the QuickGELU that '
    'they were trained with. For its outputs: model.backbone.act_cfg.type=GELU.'
)

MIXFORMER_CVT = System(
    'MixFormer-CvT',
    layouts=(
        _layout(
            _names_of_mmtracking, ('backbone.stage0.blocks.0.mlp.layers.',), _IDLE, _ACTIVATION
        ),
        _layout(_published_names, ('backbone.stage0.',), _IDLE),
        # A CvT as it was trained on ImageNet, from which the first stage starts.
        _layout(_names_of_pretraining, ('stage0.',), (*_IDLE, 'backbone.stage2.cls_token')),
    ),
    marks=('backbone.stages.0.blocks.0.attn.query.conv.',),
    measure=_measure_ours,
)
