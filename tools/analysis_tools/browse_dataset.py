#!/usr/bin/env python
"""Draw what a network is trained on: template and search crops with their labels, as packed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmtrack_mixformerv2.datasets import SampledTripletDataset, SampleKey, describe_sample
from mmtrack_mixformerv2.datasets.identity import as_list, sample_label
from mmtrack_mixformerv2.datasets.inspection import (
    SampleStatistics,
    build_training_set,
    find_seed,
)
from mmtrack_mixformerv2.drawing import (
    Mark,
    draw_boxes,
    hatch,
    make_caption,
    stack,
    write_strip,
)
from mmtrack_mixformerv2.engine import add_config_options, read_config

SHEET_SIZE = (1400, 1100)  # width and height in pixels that a sheet does not exceed by much
SEARCH_WIDTH = 256  # crops are magnified, by a whole number, to about this
LABEL = Mark('label', (80, 220, 80))
NEGATIVE = Mark('box of a negative sample', (40, 60, 255))
PADDING = Mark('padding', (255, 120, 200))
GAP = 6

EPILOG = """\
Each picture has the templates on the left, the search region on the right, and the annotated box.
Hatched parts are padding: the network sees black there. Samples are those of a training with the
same seed, in the same order, whatever its number of workers. A file samples.txt names the frames.

With score labels, a negative sample shows its box in red: it is not the target of the templates.

examples:
  python tools/analysis_tools/browse_dataset.py CONFIG --out work_dirs/samples
  python tools/analysis_tools/browse_dataset.py CONFIG --out work_dirs/samples --epoch 3 --num 200
  python tools/analysis_tools/browse_dataset.py CONFIG --out work_dirs/samples \\
      --cfg-options train_dataloader.dataset.weights=0,0,0,1
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', metavar='CONFIG', help='config of a training')
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder for the sheets; those of an earlier call with the same numbers are replaced',
    )
    parser.add_argument('--num', type=int, default=24, metavar='N', help='samples (default 24)')
    parser.add_argument('--epoch', type=int, default=0, help='from 0 (default 0)')
    parser.add_argument(
        '--seed', type=int, help='of the samples (default: that of the config, else 0)'
    )
    add_config_options(parser, example='train_dataloader.dataset.max_gap=50')
    args = parser.parse_args(argv)
    for name, least in (('num', 1), ('epoch', 0), ('seed', 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name} is {value}, expected at least {least}')
    return args


def draw_sample(packed: dict) -> np.ndarray:
    """One picture of a packed sample: templates, search region and caption."""
    inputs, sample = packed['inputs'], packed['data_samples']
    search = inputs['search_img'].numpy()[0]
    scale = max(1, round(SEARCH_WIDTH / search.shape[-1]))
    label = sample_label(sample)
    templates = [
        draw_crop(crop, box, mask, LABEL, scale)
        for crop, box, mask in zip(
            inputs['img'].numpy(),
            sample.gt_instances.bboxes.tolist(),
            sample.padding_mask.numpy(),
        )
    ]
    search = draw_crop(
        search,
        sample.search_gt_instances.bboxes[0].tolist(),
        sample.search_padding_mask.numpy()[0],
        NEGATIVE if label == 0 else LABEL,
        scale,
    )
    gap = np.full((GAP, GAP, 3), 24, np.uint8)
    picture = stack([stack(templates, 0), gap, search, gap, gap], 1)
    return stack([picture, make_caption(caption(sample, label), picture.shape[1]), gap], 0)


def draw_crop(
    crop: np.ndarray, box_xyxy: Sequence[float], mask: np.ndarray, mark: Mark, scale: int
) -> np.ndarray:
    """A crop ``(3, size, size)``, magnified without smoothing, with its box and its padding."""
    size = crop.shape[-1] * scale
    picture = np.repeat(np.repeat(crop.transpose(1, 2, 0), scale, 0), scale, 1)
    hatch(picture, np.repeat(np.repeat(mask, scale, 0), scale, 1), PADDING.color)
    x1, y1, x2, y2 = (value * scale for value in box_xyxy)
    return draw_boxes(picture, [(x1, y1, x2 - x1, y2 - y1)], [mark], size)


def caption(sample, label: int | None) -> list[str]:
    """Two lines: which sample it is, and which frames of which videos it shows."""
    meta = sample.metainfo
    sign = {None: '', 0: ': negative', 1: ': positive'}[label]
    origin = f'dataset {meta["dataset_id"]} video {as_list(meta["video_id"])[0]}: '
    search = f'dataset {meta["search_dataset_id"]} video {meta["search_video_id"]}: '
    frames = ','.join(map(str, as_list(meta['frame_id'])))
    return [
        f'sample {meta["sample_key"].index}{sign}',
        f'{origin}{frames} > {"" if search == origin else search}{meta["search_frame_id"]}',
    ]


def write_sheets(
    dataset: SampledTripletDataset, keys: Sequence[SampleKey], out: Path
) -> tuple[list[Path], SampleStatistics]:
    """Draw the samples of some keys; gives the files and what was counted."""
    statistics, files, descriptions = SampleStatistics(), [], []
    pictures: list[np.ndarray] = []
    for number, key in enumerate(tqdm(keys, unit='sample')):
        packed = dataset[key]
        statistics.add(packed)
        descriptions.append(describe_sample(packed['data_samples']))
        pictures.append(draw_sample(packed))
        height, width = pictures[0].shape[:2]
        columns, rows = max(1, SHEET_SIZE[0] // width), max(1, SHEET_SIZE[1] // height)
        if len(pictures) == columns * rows or number + 1 == len(keys):
            first = keys[number + 1 - len(pictures)]
            name = f'seed{key.seed}_epoch{key.epoch}_{first.index:06d}-{key.index:06d}.png'
            table = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
            marks = [LABEL, NEGATIVE, PADDING] if statistics.labels else [LABEL, PADDING]
            write_strip(out / name, table, marks)
            files.append(out / name)
            pictures = []
    (out / 'samples.txt').write_text('\n'.join(descriptions) + '\n')
    return [*files, out / 'samples.txt'], statistics


def main(argv: Sequence[str] | None = None) -> None:
    """Check the inputs, then draw."""
    args = parse_args(argv)
    cv2.setNumThreads(1)
    try:
        cfg = read_config(args.config, args.cfg_options)
        if args.out.exists() and not args.out.is_dir():
            raise ValueError(f'--out {args.out} is a file, expected a folder')
        dataset = build_training_set(cfg)
        seed = find_seed(cfg) if args.seed is None else args.seed
        keys = [SampleKey(seed, args.epoch, index) for index in range(args.num)]
        files, statistics = write_sheets(dataset, keys, args.out)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        sys.exit(f'error: {error}')
    print(f'seed {seed}, epoch {args.epoch}, {statistics}')
    print('written: ' + ', '.join(map(str, files)))


if __name__ == '__main__':
    main()
