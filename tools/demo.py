"""Track with the tiny tracker, measure it, and draw what it does.

Renders 20 sequences that no training has seen (once), tracks them, scores the tracker and two
baselines with the same metric, and writes a video and a strip of pictures. A video of yours is
tracked by ``mixformerv2 track``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from tabulate import tabulate
from tqdm import tqdm

# At module top level: spawned workers import this file again and need it as well.
from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.comparison import TrackRecord, build_test_set, measure_tracker
from mmtrack_mixformerv2.datasets import read_frame
from mmtrack_mixformerv2.drawing import Mark, draw_boxes, make_legend, write_strip
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.synthetic import (
    PRESETS,
    RenderSettings,
    find_photographs,
    make_difficulty,
    write_dataset,
)
from mmtrack_mixformerv2.tracking import OpenCVTracker, StillBox
from mmtrack_mixformerv2.video import write_video

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/mixformerv2/mixformerv2-tiny_test-synthetic.py'
TEST_SET = ROOT / 'configs/_base_/datasets/synthetic_test.py'
CHECKPOINT = ROOT / 'weights/mixformerv2-tiny_synthetic.pth'

# As in the header of CONFIG; the trainings of this repository use other seeds.
HELD_OUT_SEED = 3
STRIP_SIZE = (6, 6)  # rows (sequences) and columns (frames)
TILE_WIDTH = 240
COLORS = {
    'truth': (80, 220, 80),
    'model': (40, 60, 255),
    'opencv': (255, 170, 60),
    'still': (170, 170, 170),
}
METRICS = {
    'sot/success': 'success AUC',
    'sot/norm_precision': 'norm precision',
    'sot/precision': 'precision',
}
NOTE = 'In percent; a frame whose target is not visible counts as missed, as in LaSOT.'
EPILOG = """examples:
  python tools/demo.py
  python tools/demo.py --difficulty hard --sequences 10
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--config', default=str(CONFIG), help='config of a test (default: the tiny tracker)')
    add('--checkpoint', default=str(CHECKPOINT), help='its weights (default: the tiny tracker)')
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/demo'),
        help='folder for what is written '
        '(default: work_dirs/demo); files of an earlier call are replaced',
    )
    add('--sequences', type=int, default=20, metavar='N', help='how many (default 20)')
    add('--frames', type=int, default=60, metavar='N', help='frames of each (default 60, >= 20)')
    add('--difficulty', choices=PRESETS, default='medium', help='(default medium)')
    add('--seed', type=int, default=HELD_OUT_SEED, help='of the sequences')
    add(
        '--workers',
        type=int,
        default=min(4, os.cpu_count() or 1),
        metavar='N',
        help='processes that render (default: one per core, at most 4)',
    )
    args = parser.parse_args(argv)
    if args.sequences < 1:
        parser.error(f'--sequences is {args.sequences}, expected at least 1')
    return args


def render(args: argparse.Namespace) -> Path:
    """Render the held-out sequences, unless they are there; gives their folder."""
    photographs = find_photographs()
    settings = RenderSettings(
        seed=args.seed,
        difficulty=make_difficulty(args.difficulty),
        frames={'train': 20, 'val': args.frames},
    )
    # Other settings, or another version of the renderer, go to another folder.
    record = json.dumps(settings.as_record(photographs), sort_keys=True)
    folder = args.out / 'data' / hashlib.sha256(record.encode()).hexdigest()[:8]
    report = write_dataset(folder, settings, {'val': args.sequences}, photographs, args.workers)
    print(
        f'{args.sequences} held-out sequences of {args.frames} frames in {folder} '
        f'({report.rendered} rendered, {report.kept} kept)'
    )
    return folder


def compare(tracker: torch.nn.Module, name: str, data: Path) -> tuple[list[TrackRecord], object]:
    """Run the model and the baselines; gives their records and the data set."""
    dataset, new_scorer = build_test_set(Config.fromfile(TEST_SET), str(data))
    records = [measure_tracker(tracker, dataset, new_scorer(), name)]
    for baseline in (OpenCVTracker(), StillBox()):
        records.append(measure_tracker(baseline, dataset, new_scorer()))
    return records, dataset


def summarize(records: Sequence[TrackRecord]) -> str:
    """A table of the metrics in percent, and of the speed without reading the frames."""
    rows = []
    for record in records:
        speed = record.frames_per_second
        metrics = [f'{record.metrics[key]:.1f}' for key in METRICS]
        rows.append([record.name, *metrics, f'{speed:.0f}' if speed < 10000 else '-'])
    headers = ['tracker', *METRICS.values(), 'frames/s']
    return tabulate(rows, headers, colalign=('left', *['right'] * 4), disable_numparse=True)


def draw_comparison(records: Sequence[TrackRecord], dataset, out: Path) -> list[Path]:
    """Write a video of all sequences and a strip of some; gives the files."""
    marks = [
        Mark(record.name, COLORS[key]) for record, key in zip(records, ('model', 'opencv', 'still'))
    ]
    marks.append(Mark('annotation', COLORS['truth']))
    truths = [dataset.get_bboxes_from_video(video) for video in range(dataset.num_videos)]
    paths = [dataset.get_img_infos_from_video(video)['img_paths'] for video in range(len(truths))]

    def picture(video: int, index: int, width: int) -> np.ndarray:
        truth = truths[video][index]
        boxes = [record.boxes_xywh[video][index] for record in records]
        boxes.append(truth if truth[2] > 0 and truth[3] > 0 else None)
        text = f'sequence {video + 1}, frame {index}'
        return draw_boxes(read_frame(paths[video][index]), boxes, marks, width, text)

    def film() -> Iterator[np.ndarray]:
        legend = make_legend(marks, 2 * TILE_WIDTH)
        for video in tqdm(range(len(truths)), desc='video', unit='seq'):
            for index in range(len(paths[video])):
                yield np.concatenate([legend, picture(video, index, 2 * TILE_WIDTH)])

    rows = [
        [picture(video, index, TILE_WIDTH) for index in spread(len(paths[video]), STRIP_SIZE[1])]
        for video in spread(len(truths), STRIP_SIZE[0])
    ]
    write_strip(out / 'strip.png', rows, marks)
    return [write_video(out / 'demo', film()), out / 'strip.png']


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices below ``count``, evenly spread, first and last included."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, wanted))})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demonstration."""
    args = parse_args(argv)
    try:
        # What is wrong with the config or the checkpoint shows before anything is rendered.
        model = load_tracker(read_config(args.config), args.checkpoint)
        name = Path(args.config).stem.split('_')[0]
        records, dataset = compare(model, name, render(args))
        print(f'\n{summarize(records)}\n{NOTE}\n')
        files = draw_comparison(records, dataset, args.out)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print('written: ' + ', '.join(map(str, files)))


if __name__ == '__main__':
    main()
