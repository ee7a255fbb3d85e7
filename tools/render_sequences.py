"""Render tracking sequences of our own making, in GOT-10k's layout.

Nothing has to be downloaded: targets, backgrounds, distractors and occluders are drawn, with
textures cut from the photographs that ship inside installed packages (scikit-learn, matplotlib,
scikit-image) or from your own.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mmtrack_mixformerv2.synthetic import (
    PRESETS,
    Difficulty,
    RenderSettings,
    find_photographs,
    make_difficulty,
    write_dataset,
)

EPILOG = """
examples:
  a training set of short sequences and 20 longer ones to evaluate on:
    python tools/render_sequences.py --out data/synthetic --train 2000 --val 20 --workers 2
  harder turns, but no occlusion, and textures from your own pictures:
    python tools/render_sequences.py --out data/turns --train 500 --rotation 90 --occlusion 0 \\
        --photos ~/Pictures
  targets that disappear wholly for a while, and come back:
    python tools/render_sequences.py --out data/occlusion --val 60 --val-frames 80 \\
        --difficulty occlusion

An interrupted run is resumed by repeating the command, and more sequences are added by raising
--train or --val: what is there already is kept. A folder that holds anything else, or sequences of
other settings, is refused. The same settings and photographs give the same files, whatever the
number of workers.

in a config of mmtrack:
  dict(type='GOT10kDataset', ann_file='data/synthetic/annotations/got10k_train_infos.txt',
       data_prefix=dict(img_path='data/synthetic'), test_mode=False, ...)
"""

OPTION_HELP = dict(
    motion='typical displacement per frame, in target sizes',
    scale='largest change of log size',
    aspect='largest change of log aspect ratio',
    rotation='largest in-plane turn to either side, degrees',
    deformation='wobble of soft targets, share of half the target',
    occlusion='probability that an occluder passes, per 20 frames',
    leaving='probability that the target leaves the frame once',
    distractors='largest number of moving look-alikes',
    blur='motion blur and defocus, 0 to 1',
    illumination='change of light over the sequence, 0 to 1',
    clutter='structure and objects in the background, 0 to 1',
    camera='pan, zoom and roll of the camera, 0 to 1',
    noise='standard deviation of the sensor noise, gray levels',
    size_min='smallest mean target size, share of the square root of the area of the frame',
    size_max='largest mean target size, in the same unit',
    hiding='probability that the target is wholly out of sight for 8 to 25 frames, per 60 frames',
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=Path, required=True, help='output folder')
    parser.add_argument(
        '--train', type=int, default=0, metavar='N', help='sequences to train on (default 0)'
    )
    parser.add_argument(
        '--val',
        type=int,
        default=0,
        metavar='N',
        help='sequences to evaluate on (default 0); no '
        'sequence of the other split is ever among them',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--train-frames',
        type=int,
        default=24,
        metavar='N',
        help='frames per training sequence, at least 20 (default 24; hard ones want 36, since '
        'samplers skip sequences with fewer than 20 visible frames)',
    )
    parser.add_argument(
        '--val-frames',
        type=int,
        default=60,
        metavar='N',
        help='frames per evaluation sequence (default 60)',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(320, 240),
        metavar=('W', 'H'),
        help='frame size in pixels (default 320 240)',
    )
    parser.add_argument('--quality', type=int, default=85, help='JPEG quality (default 85)')
    parser.add_argument(
        '--photos',
        type=Path,
        metavar='DIR',
        help='folder with photographs to cut textures from (default: those in installed packages)',
    )
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument(
        '--difficulty',
        choices=PRESETS,
        default='medium',
        help='preset (default medium); the options below replace single values of it',
    )
    group = parser.add_argument_group(
        f'single options of the difficulty, with the values of {" / ".join(PRESETS)}'
    )
    for field in fields(Difficulty):
        values = ' / '.join(f'{getattr(preset, field.name):g}' for preset in PRESETS.values())
        kind = int if field.name == 'distractors' else float
        group.add_argument(
            f'--{field.name.replace("_", "-")}',
            type=kind,
            metavar='X',
            help=f'{OPTION_HELP[field.name]} ({values})',
        )
    args = parser.parse_args(argv)
    if args.train + args.val < 1:
        parser.error('nothing to render: give --train N, --val N or both')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    overrides = {
        field.name: getattr(args, field.name)
        for field in fields(Difficulty)
        if getattr(args, field.name) is not None
    }
    try:
        settings = RenderSettings(
            args.seed,
            make_difficulty(args.difficulty, **overrides),
            dict(train=args.train_frames, val=args.val_frames),
            tuple(args.size),
            args.quality,
        )
        photographs = find_photographs(args.photos)
        names = (
            ', '.join(path.name for path in photographs) or 'none found, procedural textures only'
        )
        print(f'photographs: {names}')
        report = write_dataset(
            args.out, settings, dict(train=args.train, val=args.val), photographs, args.workers
        )
    except (ValueError, OSError) as error:
        print(f'render_sequences: {error}', file=sys.stderr)
        return 2
    print(
        f'{report.rendered} sequences rendered ({report.frames} frames in {report.seconds:.1f} s, '
        f'{report.frames_per_second:.0f} frames/s), {report.kept} kept, in {args.out}'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
