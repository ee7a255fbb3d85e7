"""Measure what the stages of a chain of trainings ended with, side by side.

Each CONFIG is a training; the tracker that its last checkpoint holds follows every sequence of the
data set, and all of them in turns a part of one sequence, for the speed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from tabulate import tabulate

from mmtrack_mixformerv2.analysis import analyse
from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.comparison import build_test_set, measure_speed, measure_tracker
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.engine.chain import read_stage
from mmtrack_mixformerv2.models.distillation import tracker_settings

TEST_SET = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets/synthetic_test.py'
METRIC_NAMES = {
    'sot/success': 'success AUC',
    'sot/norm_precision': 'norm precision',
    'sot/precision': 'precision',
}
EPILOG = """examples:
  python tools/analysis_tools/compare_stages.py configs/mixformerv2/tiny/*.py
  python tools/analysis_tools/compare_stages.py STAGE1 STAGE2 --work-root runs/seed1 \\
      --data-root data/other-sequences --json table.json

In percent; a frame whose target is not visible counts as missed, as in LaSOT. Speed is
the median over rounds in which every tracker follows the same frames, without reading them; the
factor is to the first CONFIG.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('configs', nargs='+', metavar='CONFIG', help='configs of trainings that are finished')
    add(
        '--work-root',
        default='work_dirs',
        help='folder with the folders of the trainings (default: work_dirs)',
    )
    add(
        '--test-set',
        default=str(TEST_SET),
        help='config with test_dataloader and test_evaluator (default: rendered sequences)',
    )
    add('--data-root', help='folder of the data set, in the place of that in the config')
    add('--rounds', type=int, default=7, help='rounds of the speed measurement (default 7)')
    add('--threads', type=int, help='threads of torch (default: as torch decides)')
    add('--json', metavar='FILE', help='also write everything measured as JSON')
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f'--rounds is {args.rounds}, expected at least 1')
    if args.json and not Path(args.json).parent.is_dir():
        parser.error(f'--json {args.json}: there is no folder {Path(args.json).parent}')
    return args


def load_stage(config: str, work_root: str) -> tuple[torch.nn.Module, dict]:
    """The tracker that a training ended with, and its sizes."""
    stage = read_stage(config, work_root=work_root)
    if not stage.finished:
        raise FileNotFoundError(
            f'{stage.name} is not finished ({stage.state}); {stage.final} is to be its last '
            f'checkpoint. Run: python tools/train.py {config} --resume'
        )
    plain = Config(dict(model=tracker_settings(read_config(config))))
    tracker, analysis = load_tracker(plain, str(stage.final)), analyse(plain)
    blocks = tracker.backbone.blocks
    return tracker, {
        'stage': stage.name,
        'layers': len(blocks),
        'mlp_ratio': blocks[0].mlp.fc1.out_features / tracker.backbone.embed_dims,
        'parameters': analysis.parameters['all'].total,
        'multiply_adds': analysis.cost.with_cache,
    }


def table(rows: Sequence[dict]) -> str:
    """One line per stage."""
    first = rows[0]['frames_per_second']
    cells = [
        [
            row['stage'],
            row['layers'],
            f'{row["mlp_ratio"]:g}',
            f'{row["parameters"]:,}',
            f'{row["multiply_adds"] / 1e6:.1f} M',
            *(f'{row[name]:.1f}' for name in METRIC_NAMES),
            f'{row["frames_per_second"]:.0f} ({row["frames_per_second"] / first:.2f}x)',
        ]
        for row in rows
    ]
    headers = ['stage', 'layers', 'MLP', 'parameters', 'multiply-adds', *METRIC_NAMES.values()]
    align = ('left', *['right'] * 8)
    return tabulate(cells, [*headers, 'frames/s'], colalign=align, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        loaded = [load_stage(config, args.work_root) for config in args.configs]
        dataset, new_scorer = build_test_set(read_config(args.test_set), args.data_root)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    rows = []
    for tracker, row in loaded:
        record = measure_tracker(tracker, dataset, new_scorer(), row['stage'])
        rows.append({**row, **{name: record.metrics[name] for name in METRIC_NAMES}})
    speeds = measure_speed([tracker for tracker, _ in loaded], dataset, args.rounds)
    for row, speed in zip(rows, speeds):
        row['frames_per_second'] = speed
    threads = torch.get_num_threads()
    print(f'\n{dataset.num_videos} sequences, {len(dataset)} frames, {threads} threads of torch')
    print(table(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    main()
