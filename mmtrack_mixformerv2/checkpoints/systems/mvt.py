"""MVT: the names of its published trainer, and of the MobileViT that its training starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import isqrt

from torch import Tensor

from .heads import center_rules, tower_channels
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

_STRIDE = 16
_HEADS = 4  # of the published models, whatever their width
_MLP_RATIO = 2

# The inverted residuals: published name, ours, which of the widths goes in and out.
_RESIDUALS = (
    ('layer_1.0', 'alone.1', 0, 1),
    ('layer_2.0', 'alone.2', 1, 2),
    ('layer_2.1', 'alone.3', 2, 2),
    ('layer_2.2', 'alone.4', 2, 2),
    ('layer_3.0', 'alone.5', 2, 3),
    ('layer_4.0', 'down', 3, 4),
)
# The blocks with attention: published name, ours.
_BLOCKS = (('layer_3.1', 'mix1'), ('layer_4.1', 'mix2'))


@dataclass(frozen=True)
class MVTSizes(TrackerSizes):
    """What the shapes of the weights of an MVT or a bare MobileViT say about it.

    Neither the number of attention heads nor the size of the search region is among them: no shape
    shows them. The published models have four heads and search regions of 256 pixels.

    Attributes:
        widths: Channels of the maps at stride 2 (twice), 4, 8 and 16.
        dims: Token widths of the two blocks with attention.
        depths: Their numbers of encoder layers.
        expansion: Hidden width of the inverted residuals over their input.
        template_size: Side of the template in pixels; None for a bare MobileViT.
        neck_channels: Width of the tokens that the head reads; None for a bare MobileViT.
        channels: Width of the first convolutions of the head; None for a bare MobileViT.
    """

    widths: tuple[int, ...]
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    expansion: int
    template_size: int | None = None
    neck_channels: int | None = None
    channels: int | None = None

    @property
    def title(self) -> str:
        """System and variant in a few words."""
        return 'MVT' if self.is_tracker else 'a MobileViT backbone'

    @property
    def details(self) -> str:
        """Sizes in a line."""
        widths, dims, depths = (
            '-'.join(map(str, values)) for values in (self.widths, self.dims, self.depths)
        )
        words = [f'maps of {widths} channels', f'{depths} layers of width {dims}']
        if self.is_tracker:
            words.append(f'template {self.template_size} pixels')
            words.append(f'centre head of {self.channels} channels')
        return ', '.join(words)

    @property
    def is_tracker(self) -> bool:
        """Whether there is a box head."""
        return self.channels is not None

    @property
    def config(self) -> str | None:
        """Configs that fit; there are some for the published sizes."""
        return 'configs/mvt/mvt_test-*.py' if self == RELEASED else None

    @property
    def base_config(self) -> str:
        """A config that :meth:`settings` make fit."""
        return f'configs/mvt/mvt_{"test-*" if self.is_tracker else "1xb128-100e_got10k"}.py'

    def settings(self, num_heads: int | None = None) -> dict[str, object]:
        """Settings that make :attr:`base_config` fit.

        Args:
            num_heads: Attention heads; None for four.

        Raises:
            ValueError: If they do not divide the token widths.
        """
        num_heads = _HEADS if num_heads is None else num_heads
        if num_heads < 1 or any(width % num_heads for width in self.dims):
            raise ValueError(f'{num_heads} heads do not divide the token widths {self.dims}.')
        settings = {
            'model.backbone.widths': list(self.widths),
            'model.backbone.dims': list(self.dims),
            'model.backbone.depths': list(self.depths),
            'model.backbone.num_heads': num_heads,
            'model.backbone.expansion': self.expansion,
            'model.neck.in_channels': self.widths[-1],
        }
        if self.is_tracker:
            settings |= {
                'model.backbone.template_size': self.template_size,
                'model.neck.out_channels': self.neck_channels,
                'model.neck.template_tokens': (self.template_size // _STRIDE) ** 2,
                'model.box_head.in_channels': self.neck_channels,
                'model.box_head.channels': self.channels,
            }
        return settings


RELEASED = MVTSizes((16, 32, 64, 96, 128), (144, 192), (2, 4), 4, 128, 256, 256)


def _measure(state: StateDict, prefix: str) -> MVTSizes:
    """Sizes of the backbone from published names, which have this prefix."""
    first, _, _, _ = shape_of(state, f'{prefix}conv_1.block.conv.weight', 4)
    hidden, _, _, _ = shape_of(state, f'{prefix}layer_1.0.block.exp_1x1.block.conv.weight', 4)
    widths = [first]
    for source, _, before, after in _RESIDUALS:
        if after != before:
            name = f'{prefix}{source}.block.red_1x1.block.conv.weight'
            widths.append(shape_of(state, name, 4)[0])
    blocks = [f'{prefix}{source}' for source, _ in _BLOCKS]
    local = 'local_rep.conv_1x1.block.conv.weight'
    dims = [shape_of(state, f'{block}.{local}', 4)[0] for block in blocks]
    # The last entry of each list is a norm.
    depths = [count_of(state, f'{block}.global_rep.') - 1 for block in blocks]
    return MVTSizes(tuple(widths), tuple(dims), tuple(depths), max(1, hidden // first))


def _measure_tracker(state: StateDict) -> MVTSizes:
    cells = shape_of(state, 'feature_fusor.pw_corr.CA_layer.fc1.weight', 4)[0]
    return replace(
        _measure(state, 'backbone.'),
        template_size=_template_size(cells),
        neck_channels=shape_of(state, 'feature_fusor.adj_layer.weight', 4)[0],
        channels=tower_channels(state, 'ctr'),
    )


def _template_size(cells: int) -> int:
    if isqrt(cells) ** 2 != cells:
        raise ValueError(f'the neck compares with {cells} template cells, expected a square grid.')
    return isqrt(cells) * _STRIDE


def _measure_ours(state: StateDict) -> MVTSizes:
    """Sizes from our names."""
    widths = [shape_of(state, 'backbone.alone.0.conv.weight', 4)[0]]
    for _, ours, before, after in _RESIDUALS:
        if after != before:
            name = f'backbone.{ours}.linear_conv.conv.weight'
            widths.append(shape_of(state, name, 4)[0])
    hidden = shape_of(state, 'backbone.alone.1.expand_conv.conv.weight', 4)[0]
    blocks = [f'backbone.{ours}' for _, ours in _BLOCKS]
    sizes = MVTSizes(
        tuple(widths),
        tuple(shape_of(state, f'{block}.local_proj.weight', 4)[0] for block in blocks),
        tuple(count_of(state, f'{block}.layers.') for block in blocks),
        max(1, hidden // widths[0]),
    )
    if not any(name.startswith('box_head.') for name in state):
        return sizes
    return replace(
        sizes,
        template_size=_template_size(shape_of(state, 'neck.attention1.weight', 2)[0]),
        neck_channels=shape_of(state, 'neck.project.weight', 2)[0],
        channels=shape_of(state, 'box_head.score.convs.0.0.weight', 4)[0],
    )


def _backbone_rules(sizes: MVTSizes, prefix: str) -> dict[str, Rule]:
    unit = partial(_unit, prefix=prefix)
    rules = unit('conv_1.block', 'alone.0', (sizes.widths[0], 3, 3, 3))
    for source, target, before, after in _RESIDUALS:
        wide, narrow = sizes.widths[before], sizes.widths[after]
        hidden = sizes.expansion * wide
        parts = {
            'exp_1x1': ('expand_conv', (hidden, wide, 1, 1)),
            'conv_3x3': ('depthwise_conv', (hidden, 1, 3, 3)),
            'red_1x1': ('linear_conv', (narrow, hidden, 1, 1)),
        }
        for part, (ours, shape) in parts.items():
            rules |= unit(f'{source}.block.{part}.block', f'{target}.{ours}', shape)
    for (source, target), c, dims, depth in zip(
        _BLOCKS, sizes.widths[3:], sizes.dims, sizes.depths
    ):
        rules |= unit(f'{source}.local_rep.conv_3x3.block', f'{target}.local_conv', (c, c, 3, 3))
        local = f'{prefix}{source}.local_rep.conv_1x1.block.conv.weight'
        rules[local] = Rule(f'backbone.{target}.local_proj.weight', (dims, c, 1, 1))
        rules |= _encoder_rules(f'{prefix}{source}.global_rep', f'backbone.{target}', dims, depth)
        rules |= unit(f'{source}.conv_proj.block', f'{target}.proj', (c, dims, 1, 1))
        rules |= unit(f'{source}.fusion.block', f'{target}.fusion', (c, 2 * c, 3, 3))
    return rules


def _unit(source: str, target: str, shape: tuple[int, ...], prefix: str) -> dict[str, Rule]:
    """A convolution of the backbone without bias, and its batch norm."""
    source, target = f'{prefix}{source}', f'backbone.{target}'
    return {
        f'{source}.conv.weight': Rule(f'{target}.conv.weight', shape),
        **batch_norm(f'{source}.norm', f'{target}.bn', shape[0]),
    }


def _encoder_rules(source: str, target: str, dims: int, depth: int) -> dict[str, Rule]:
    hidden = _MLP_RATIO * dims
    parts = {
        'pre_norm_mha.0': ('norm1', (dims,)),
        'pre_norm_mha.1.qkv_proj': ('qkv', (3 * dims, dims)),
        'pre_norm_mha.1.out_proj': ('proj', (dims, dims)),
        'pre_norm_ffn.0': ('norm2', (dims,)),
        'pre_norm_ffn.1': ('fc1', (hidden, dims)),
        'pre_norm_ffn.4': ('fc2', (dims, hidden)),
    }
    rules = {}
    for i in range(depth):
        for part, (ours, shape) in parts.items():
            rules |= affine(f'{source}.{i}.{part}', f'{target}.layers.{i}.{ours}', shape)
    return rules | affine(f'{source}.{depth}', f'{target}.norm', (dims,))


def _tracker_rules(sizes: MVTSizes) -> dict[str, Rule]:
    rules, width = _backbone_rules(sizes, 'backbone.'), sizes.widths[-1]
    for branch, ours in (('x', 'search_norm'), ('z', 'template_norm')):
        rules |= batch_norm(f'neck.BN_{branch}', f'neck.{ours}', width)
    cells = (sizes.template_size // _STRIDE) ** 2
    fusion = {
        'pw_corr.CA_layer.fc1': ('attention1', cells),
        'pw_corr.CA_layer.fc2': ('attention2', cells),
        'adj_layer': ('project', sizes.neck_channels),
    }
    for part, (ours, out_channels) in fusion.items():
        shape = (out_channels, cells, 1, 1)
        for name, rule in affine(f'feature_fusor.{part}', f'neck.{ours}', shape).items():
            rules[name] = replace(rule, change=_as_matrix) if len(rule.shape) == 4 else rule
    return rules | center_rules(sizes.neck_channels, sizes.channels)


def _as_matrix(kernel: Tensor) -> Tensor:
    """A 1x1 convolution as a linear layer."""
    return kernel.flatten(1)


MVT = System(
    'MVT',
    layouts=(
        Layout(
            marks=('backbone.conv_1.', 'feature_fusor.'),
            measure=_measure_tracker,
            rules=_tracker_rules,
        ),
        # A MobileViT as it was trained on ImageNet, from which the training starts.
        Layout(
            marks=('conv_1.block.',),
            measure=partial(_measure, prefix=''),
            rules=partial(_backbone_rules, prefix=''),
            dropped=dict.fromkeys(('layer_5.*', 'conv_1x1_exp.*', 'classifier.*'), ''),
        ),
    ),
    marks=('backbone.alone.', 'neck.attention1.'),
    measure=_measure_ours,
)
