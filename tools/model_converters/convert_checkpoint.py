#!/usr/bin/env python
"""Convert published weights to a file that --checkpoint and load_from take."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from mmtrack_mixformerv2 import __version__
from mmtrack_mixformerv2.checkpoints import (
    Checkpoint,
    Conversion,
    Sizes,
    check_destination,
    convert_state_dict,
    fitting_config,
    model_settings,
    read_checkpoint,
    write_checkpoint,
)

EPILOG = """\
what it takes:
  MixFormerV2     the released .pth.tar files, and what the published trainer writes
  MixFormer-CvT   the same of the CvT models of MixFormer, and the files of MMTracking 0.x
  MixViT          the same of its ViT models, plain and pyramidal corner head; --keep-score for the
                  score prediction module, which a tracker needs and a teacher does not
  MVT, FERMT      what their published trainers write
  MAE ViT         pre-trained ViT weights (e.g. ViT-B), to start training from

The system and its sizes are told from the names and shapes of the weights. Nothing that is
pickled in the file is executed, so files of strangers are safe to convert. Names that are missing
or unknown stop the conversion, and then nothing is written.

examples:
  python tools/model_converters/convert_checkpoint.py \\
      mixformerv2_base.pth.tar checkpoints/mixformerv2-b.pth
  python tools/test.py configs/mixformerv2/mixformerv2-b_test-lasot.py \\
      checkpoints/mixformerv2-b.pth
  python tools/model_converters/convert_checkpoint.py \\
      mixformer_vit_large_online.pth.tar work_dirs/mixvit-l-pyramid384/epoch_500.pth
"""

# Of batch norms; no parameters.
STATISTICS = ('.running_mean', '.running_var', '.num_batches_tracked')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='published checkpoint')
    parser.add_argument('dst', metavar='DST', type=Path, help='file to write, e.g. name.pth')
    parser.add_argument('--force', action='store_true', help='replace DST if it exists')
    parser.add_argument(
        '--num-heads',
        type=int,
        help='attention heads, for the printed settings only: no shape tells them (default: one '
        'per 64 channels, 16 in FERMT, as in the published models)',
    )
    parser.add_argument(
        '--keep-score',
        action='store_true',
        help="also convert MixViT's score prediction module, for a tracker that judges its boxes "
        '(default: leave it out, as a teacher needs none); other score heads are always converted',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read, convert, write, and say what came out."""
    args = parse_args(argv)
    try:
        if args.dst.exists() and args.src.exists() and args.dst.samefile(args.src):
            raise FileExistsError(f'SRC and DST are the same file, {args.src}.')
        check_destination(args.dst, force=args.force)
        checkpoint = read_checkpoint(args.src)
        conversion = convert_state_dict(checkpoint.state_dict, keep_score=args.keep_score)
        report = describe(checkpoint, conversion, args.num_heads)
        meta = {
            'system': conversion.system,
            'sizes': asdict(conversion.sizes),
            'dropped': list(conversion.dropped),
            'notes': list(conversion.notes),
            'source': {'file': args.src.name, **checkpoint.info},
            'mmtrack_mixformerv2': __version__,
        }
        write_checkpoint(conversion.state_dict, meta, args.dst, force=args.force)
    except (OSError, ValueError) as error:
        print(f'convert_checkpoint: {error}', file=sys.stderr)
        return 1
    print(report)
    print(f'written:     {args.dst} ({args.dst.stat().st_size / 2**20:.1f} MiB)')
    return 0


def describe(checkpoint: Checkpoint, conversion: Conversion, num_heads: int | None) -> str:
    """What was read, what was left out, and which config fits."""
    sizes, state = conversion.sizes, conversion.state_dict
    lines = [f'system:      {sizes.title}', f'sizes:       {sizes.details}']
    counts = [tensor.numel() for name, tensor in state.items() if not name.endswith(STATISTICS)]
    lines.append(f'parameters:  {sum(counts):,} in {len(counts)} tensors')
    if 'epoch' in checkpoint.info:
        lines.append(f'epoch:       {checkpoint.info["epoch"]!r}')
    if checkpoint.ignored:
        count = len(checkpoint.ignored)
        lines.append(
            f'not run:     {count} pickled classes or functions, e.g. {checkpoint.ignored[0]}'
        )
    if conversion.dropped:
        names = (name.removeprefix('backbone.') for name in conversion.dropped)
        parts = dict.fromkeys(name.split('.')[0] for name in names)
        lines.append(f'dropped:     {len(conversion.dropped)} tensors of {", ".join(parts)}')
    lines += [f'note:        {note}' for note in conversion.notes]
    config = fitting_config(sizes)
    settings = model_settings(sizes, num_heads)
    if config and settings == model_settings(sizes):
        return '\n'.join([*lines, f'config:      {config}'])
    if not sizes.is_tracker:
        lines.append('use:         to start a training from, with model.backbone.init_cfg')
        lines.append("  dict(type='Pretrained', checkpoint=DST, prefix='backbone.')")
    lines.append(f'config:      {sizes.base_config} with')
    lines.append(f'  --cfg-options {" ".join(f"{k}={_text(v)}" for k, v in settings.items())}')
    if isinstance(sizes, Sizes) and 'model.backbone.num_heads' not in settings:
        lines.append('  and model.backbone.num_heads=?, which no shape tells (see --num-heads)')
    return '\n'.join(lines)


def _text(value: object) -> str:
    """A setting as ``--cfg-options`` reads it."""
    if isinstance(value, (list, tuple)):
        return f'[{",".join(map(_text, value))}]'
    return repr(value)


if __name__ == '__main__':
    sys.exit(main())
