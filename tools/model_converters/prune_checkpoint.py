#!/usr/bin/env python
"""Make the weights of a tracker those of a smaller one: fewer layers, narrower MLPs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmtrack_mixformerv2 import __version__
from mmtrack_mixformerv2.checkpoints import (
    check_destination,
    depth_of,
    first_layers,
    keep_layers,
    mlp_ratios,
    other_layers,
    reduce_mlp,
    skip_layers,
    write_checkpoint,
)
from mmtrack_mixformerv2.checkpoints.shrink import check_prunable
from mmtrack_mixformerv2.engine.strict_load_hook import bare_weights

EPILOG = """\
IN is a MixFormerV2 or a MixViT; other systems are refused. Layers are counted from zero. Those that
are left keep their order and are numbered densely; everything else in the model stays as it is. OUT
holds weights only, no state of a training.

which layers (MixFormerV2, section 3.3, Tables 3e and 8b):
  --drop 0,3,6,9   what the published code removes of 12; the training that fades them out before
                   (DepthPruningHook) does the same by itself at its end
  --skip 4         4 layers at even distances: 2, 5, 8 and 11 of 12 ("Tea-skip")
  --first 4        layers 0 to 3 ("Tea-fir")

A training can do the same when it starts, without another file: see ShrinkParentHook. Published
files are converted first, with tools/model_converters/convert_checkpoint.py.

examples:
  python tools/model_converters/prune_checkpoint.py \\
      work_dirs/st1/epoch_500.pth checkpoints/8-layers.pth --drop 0,3,6,9
  python tools/model_converters/prune_checkpoint.py \\
      checkpoints/8-layers.pth checkpoints/small.pth --skip 4 --mlp-ratio 1 --mlp-units norm
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='IN', type=Path, help='checkpoint of this toolbox')
    parser.add_argument('dst', metavar='OUT', type=Path, help='file to write, e.g. name.pth')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--drop', type=_layers, metavar='I,J,...', help='layers to leave out')
    which.add_argument('--keep', type=_layers, metavar='I,J,...', help='layers to keep')
    which.add_argument('--first', type=int, metavar='K', help='keep the first K layers')
    which.add_argument('--skip', type=int, metavar='K', help='keep K layers at even distances')
    parser.add_argument(
        '--mlp-ratio',
        type=_ratio,
        metavar='R',
        help='cut the MLPs to R hidden units per channel, e.g. 1.0 (default: leave them)',
    )
    parser.add_argument(
        '--mlp-units',
        choices=['first', 'norm'],
        default='first',
        help='hidden units that stay: the first ones, as in the paper, or those with the largest '
        'product of the norms of their incoming and outgoing weights (default: first)',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    args = parser.parse_args(argv)
    if {args.drop, args.keep, args.first, args.skip, args.mlp_ratio} == {None}:
        parser.error('say what to cut: --drop, --keep, --first, --skip or --mlp-ratio')
    return args


def main(argv: list[str] | None = None) -> int:
    """Read, cut, write, and say what came out."""
    args = parse_args(argv)
    try:
        if args.dst.exists() and args.src.exists() and args.dst.samefile(args.src):
            raise FileExistsError(f'IN and OUT are the same file, {args.src}.')
        check_destination(args.dst, force=args.force)
        state = read_weights(args.src)
        layers = kept_layers(args, depth_of(state))
        smaller = keep_layers(state, layers)
        if args.mlp_ratio is not None:
            dims = smaller['backbone.patch_embed.weight'].shape[0]
            smaller = reduce_mlp(smaller, int(dims * args.mlp_ratio), args.mlp_units)
        before, after = describe(state), describe(smaller)
        meta = {
            'source': args.src.name,
            'layers': layers,
            'mlp_ratios': mlp_ratios(smaller),
            'mlp_units': args.mlp_units,
            'mmtrack_mixformerv2': __version__,
        }
        write_checkpoint(smaller, meta, args.dst, force=args.force)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'read:      {args.src}: {before}')
    print(f'kept:      layers {", ".join(map(str, layers))}')
    print(f'written:   {args.dst}: {after} ({args.dst.stat().st_size / 2**20:.1f} MiB)')
    print(f'settings:  the config of {args.src.name}, with')
    ratio = _short(mlp_ratios(smaller)).replace(' ', '')
    print(f'  --cfg-options model.backbone.depth={len(layers)} model.backbone.mlp_ratio={ratio}')
    return 0


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The state dict of a checkpoint of this toolbox.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds something else, such as published weights or
            another system than MixFormerV2 and MixViT, or values that are NaN or infinite.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu', logger='silent')
    state = bare_weights(checkpoint, str(path))
    check_prunable(state, str(path))
    if 'backbone.patch_embed.weight' not in state:
        raise ValueError(
            f'{path} holds no weights of this toolbox (none is named backbone.patch_embed.weight). '
            'Convert published files first, with tools/model_converters/convert_checkpoint.py.'
        )
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f'{path}: {name} is a {type(value).__name__}; expected a tensor.')
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f'{path}: {name} has values that are NaN or infinite.')
    return state


def kept_layers(args: argparse.Namespace, depth: int) -> list[int]:
    """Layers of ``depth`` that the command line keeps, ascending."""
    if args.first is not None:
        return first_layers(depth, args.first)
    if args.skip is not None:
        return skip_layers(depth, args.skip)
    if args.keep is not None:
        return sorted(args.keep)
    return other_layers(depth, args.drop or ())


def describe(state: Mapping[str, Tensor]) -> str:
    """Sizes of the weights in a line."""
    parameters = sum(value.numel() for value in state.values())
    return (
        f'depth {depth_of(state)}, MLP ratio {_short(mlp_ratios(state))}, {parameters:,} parameters'
    )


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no list of layers; expected numbers with commas, as 0,3,6,9'
        ) from None


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 0 < ratio < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is no ratio; expected a number above 0, as 1.0')
    return ratio


def _short(ratios: list[float]) -> str:
    """The one ratio of all layers, or each."""
    return str(ratios[0] if len(set(ratios)) == 1 else ratios)


if __name__ == '__main__':
    sys.exit(main())
