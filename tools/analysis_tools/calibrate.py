"""Calibrate the confidence of a tracker: how far can its score be taken at its word?

The tracker follows every sequence of the data set of CONFIG, as published, without states. On one
part of the sequences, a logistic regression of `the box is on the target` (seen, and an overlap of
0.5 or more) is fitted on the score and the spread of the edge distributions; on the other part, the
score and the fitted confidence are measured. The last lines go into a config.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from mmtrack_mixformerv2.calibration import (
    Samples,
    brier_score,
    expected_calibration_error,
    fit_confidence,
    gather_samples,
    observe_all,
    open_test,
    rank_quality,
    reliability,
    reliability_figure,
    split_sequences,
    with_policy,
)
from mmtrack_mixformerv2.command_line import at_least
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.evaluation.result_files import write_file
from mmtrack_mixformerv2.tracking import ConfidenceModel

EPILOG = """examples:
  python tools/render_sequences.py --out data/occlusion-fit --val 60 --val-frames 80 --seed 6 \\
      --difficulty occlusion
  python tools/analysis_tools/calibrate.py CONFIG CHECKPOINT --data-root data/occlusion-fit
  python tools/analysis_tools/calibrate.py CONFIG CHECKPOINT --plot reliability.png --json fit.json

CONFIG is that of a test whose data set has the box of every frame; best one of your own videos,
with targets that disappear at times (docs/states.md).
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config of a test')
    add('checkpoint', help='weights, or a name from the model zoo')
    add('--data-root', help='folder of the data set, in the place of that in the config')
    add('--share', type=float, default=0.5, help='of the sequences to fit on (default 0.5)')
    add('--seed', type=int, default=0, help='of the split into two parts (default 0)')
    add('--bins', type=at_least(2), default=15, help='of the reliability diagram (default 15)')
    add('--note', help='what it was calibrated on, for the config (default: number and folder)')
    add('--plot', metavar='FILE', help='draw a reliability diagram: .png, .svg or .pdf')
    add('--json', metavar='FILE', help='also write everything measured as JSON')
    add('--threads', type=at_least(1), help='threads of torch (default: as torch decides)')
    args = parser.parse_args(argv)
    if not 0 < args.share < 1:
        parser.error(f'--share is {args.share}, expected a number between 0 and 1')
    for name in ('plot', 'json'):
        file = getattr(args, name)
        if file and not Path(file).parent.is_dir():
            parser.error(f'--{name} {file}: there is no folder {Path(file).parent}')
    return args


def measure(confidences: np.ndarray, right: np.ndarray, bins: int) -> dict[str, float]:
    """What is in the table, for one kind of confidence."""
    return {
        'ece': expected_calibration_error(confidences, right, bins),
        'brier': brier_score(confidences, right),
        'auroc': rank_quality(confidences, right),
    }


def kinds_of_confidence(samples: Samples, model: ConfidenceModel) -> dict[str, np.ndarray]:
    """The score as it is, if there is one, and what the calibration makes of it."""
    before = {} if np.isnan(samples.scores).any() else {'score as it is': samples.scores}
    return {**before, 'calibrated': samples.confidences(model)}


def settings_text(model: ConfidenceModel) -> str:
    """The line of a config."""
    return (
        f'test_cfg=dict(confidence=dict(bias={model.bias}, score={model.score}, '
        f'spread={model.spread}, calibrated_on={model.calibrated_on!r}))'
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Track, fit and measure."""
    tracker, table = open_test(read_config(args.config), args.checkpoint, args.data_root)
    fit_on, held_out = split_sequences(len(table), args.share, args.seed)
    runs = observe_all(with_policy(tracker, None), table)
    fitting, held = (gather_samples([runs[i] for i in part]) for part in (fit_on, held_out))
    folder = Path(table.dataset.data_root or 'a data set').name
    model = fit_confidence(fitting, args.note or f'{len(fit_on)} sequences of {folder}')
    kinds = kinds_of_confidence(held, model)
    if args.plot:
        found = {name: reliability(one, held.right, args.bins) for name, one in kinds.items()}
        reliability_figure(found).savefig(args.plot, dpi=90)
    return {
        'model': model,
        'sequences': (len(fit_on), len(held_out)),
        'frames': (len(fitting.right), len(held.right)),
        'right': (float(fitting.right.mean()), float(held.right.mean())),
        'measures': {n: measure(one, held.right, args.bins) for n, one in kinds.items()},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Calibrate and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        found = run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    for part, index in (('fitted', 0), ('measured', 1)):
        print(
            f'{part} on {found["sequences"][index]} sequences, {found["frames"][index]} frames, '
            f'{100 * found["right"][index]:.1f} % of the boxes right'
        )
    rows = [
        [name, f'{100 * one["ece"]:.2f} %', f'{one["brier"]:.4f}', f'{one["auroc"]:.4f}']
        for name, one in found['measures'].items()
    ]
    align = ('left', 'right', 'right', 'right')
    headers = ['confidence', 'calibration error', 'Brier score', 'AUROC']
    print(tabulate(rows, headers, colalign=align, disable_numparse=True))
    print(f'\nfor the model in the config:\n  {settings_text(found["model"])}')
    if args.json:
        write_file(args.json, json.dumps({**found, 'model': vars(found['model'])}, indent=2) + '\n')


if __name__ == '__main__':
    main()
