"""Box heads that several systems publish under the same names: corner head and centre head."""

from __future__ import annotations

from .layout import Rule, StateDict, affine, conv_unit, shape_of

# Towers of the centre head: published name, our name, channels of its map.
_TOWERS = (('ctr', 'score', 1), ('size', 'size', 2), ('offset', 'offset', 2))


def tower_channels(state: StateDict, tower: str) -> int:
    """Width of the first convolution of a published head.

    Args:
        state: Published weights.
        tower: ``'tl'`` for a corner head, ``'ctr'`` for a centre head.

    Raises:
        ValueError: If it cannot be halved three times.
    """
    name = f'box_head.conv1_{tower}.0.weight'
    channels = shape_of(state, name, 4)[0]
    if channels % 8:
        raise ValueError(f'{name!r} has {channels} output channels, expected a multiple of eight.')
    return channels


def center_rules(dims: int, channels: int) -> dict[str, Rule]:
    """Rules of the published centre head of MVT and FERMT.

    Args:
        dims: Width of its input.
        channels: Width of the first convolution of a tower.
    """
    widths = [dims, channels, channels // 2, channels // 4, channels // 8]
    rules = {}
    for tower, ours, out_channels in _TOWERS:
        for index, (wide, narrow) in enumerate(zip(widths, widths[1:])):
            source = f'box_head.conv{index + 1}_{tower}'
            rules.update(conv_unit(source, f'box_head.{ours}.convs.{index}', wide, narrow))
        shape = (out_channels, channels // 8, 1, 1)
        rules.update(affine(f'box_head.conv5_{tower}', f'box_head.{ours}.predict', shape))
    return rules


def corner_rules(dims: int, channels: int, design: str = 'plain') -> dict[str, Rule]:
    """Rules of the published corner head of MixFormer, MixViT and FERMT.

    Args:
        dims: Width of its input.
        channels: Width of its first convolution.
        design: ``'plain'`` or ``'pyramid'``.
    """
    c = channels
    widths = [dims, c, c // 2, c // 4, c // 8]
    # Chains of 3x3 convolutions: published name, our name, widths.
    chains = [('conv{number}_{corner}', 'convs.{index}', widths)]
    if design == 'pyramid':
        chains += [
            ('adjust1_{corner}', 'lateral2', [dims, c // 2]),
            ('adjust2_{corner}', 'lateral4', [dims, c // 4]),
            ('adjust3_{corner}.{index}', 'map4.{index}', [*widths[2:], 1]),
            ('adjust4_{corner}.{index}', 'map2.{index}', [*widths[3:], 1]),
        ]
    rules = {}
    for corner, branch in (('tl', 'top_left'), ('br', 'bottom_right')):
        for published, ours, chain in chains:
            for index, (wide, narrow) in enumerate(zip(chain, chain[1:])):
                source = published.format(corner=corner, index=index, number=index + 1)
                target = f'{branch}.{ours.format(index=index)}'
                rules.update(conv_unit(f'box_head.{source}', f'box_head.{target}', wide, narrow))
        source, target = f'box_head.conv5_{corner}', f'box_head.{branch}.predict'
        rules.update(affine(source, target, (1, c // 8, 1, 1)))
    return rules
