"""Measure what a tracker says when its target is out of sight: tracked, uncertain or lost.

The tracker follows every sequence of the data set of CONFIG twice: as published, and with the
policy of states that the API has. The data set has to say in which frames the target is not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch
from mmengine.config import DictAction
from tabulate import tabulate

from mmtrack_mixformerv2.calibration import (
    StateMeasures,
    measure_states,
    observe_all,
    open_test,
    with_policy,
)
from mmtrack_mixformerv2.calibration.states import COME_BACK, MIN_HIDDEN
from mmtrack_mixformerv2.command_line import at_least
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.engine.launching import add_config_options
from mmtrack_mixformerv2.evaluation.result_files import write_file
from mmtrack_mixformerv2.tracking import StatePolicy

EPILOG = """examples:
  python tools/render_sequences.py --out data/occlusion-test --val 60 --val-frames 80 --seed 8 \\
      --difficulty occlusion
  python tools/analysis_tools/measure_states.py CONFIG CHECKPOINT --data-root data/occlusion-test
  python tools/analysis_tools/measure_states.py CONFIG CHECKPOINT --policy patience=6 lost_below=0.2

docs/states.md says what the states mean and how to read the table.
"""
# Name, attribute, and how it is written.
ROWS = (
    ('success AUC, frames with the target in sight', 'success', 'percent'),
    (f'target out of sight for {MIN_HIDDEN} frames or more, times', 'events', 'count'),
    ('... said lost at least once', 'events_lost', 'percent'),
    ('... frames until then, median', 'delay', 'count'),
    ('... frames in which it said lost', 'said_lost', 'percent'),
    ('box on the target, but said lost, frames', 'false_lost', 'percent'),
    ('target in sight, but said lost, frames', 'visible_lost', 'percent'),
    (f'target in sight again for {COME_BACK} frames, times', 'returns', 'count'),
    (f'... box on it within {COME_BACK} frames', 'came_back', 'percent'),
    ('... and said tracked or uncertain', 'came_back_tracked', 'percent'),
    ('... frames until the box is on it, median', 'back_delay', 'count'),
    ('updates of templates', 'updates', 'count'),
    ('... with a frame in which the box was off the target', 'wrong_updates', 'count'),
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config of a test')
    add('checkpoint', help='weights, or a name from the model zoo')
    add('--data-root', help='folder of the data set, in the place of that in the config')
    add(
        '--policy',
        nargs='+',
        action=DictAction,
        default={},
        metavar='NAME=VALUE',
        help=f'other values of the policy: {", ".join(f.name for f in fields(StatePolicy))}',
    )
    add_config_options(parser, example='model.test_cfg.num_online_templates=1')
    add('--json', metavar='FILE', help='also write everything measured as JSON')
    add('--threads', type=at_least(1), help='threads of torch (default: as torch decides)')
    args = parser.parse_args(argv)
    if args.json and not Path(args.json).parent.is_dir():
        parser.error(f'--json {args.json}: there is no folder {Path(args.json).parent}')
    return args


def run(args: argparse.Namespace) -> dict[str, StateMeasures]:
    """Track with and without the policy."""
    config = read_config(args.config, args.cfg_options)
    policy = {'off, as published': None, 'on': StatePolicy(**args.policy)}
    tracker, table = open_test(config, args.checkpoint, args.data_root)
    return {
        name: measure_states(observe_all(with_policy(tracker, one), table, f'policy {name}'))
        for name, one in policy.items()
    }


def show(value: float, kind: str, applies: bool) -> str:
    """A number as the table has it; `-` where it says nothing."""
    if not applies or value != value:
        return '-'
    return f'{100 * value:.1f} %' if kind == 'percent' else f'{value:g}'


def table_text(found: dict[str, StateMeasures]) -> str:
    """One line per measure, one column per policy."""
    says_lost = {'events_lost', 'delay', 'said_lost', 'false_lost', 'visible_lost'}
    rows = [
        [title]
        + [
            show(getattr(one, name), kind, name not in says_lost or policy == 'on')
            for policy, one in found.items()
        ]
        for title, name, kind in ROWS
    ]
    align = ('left', *['right'] * len(found))
    return tabulate(rows, ['policy', *found], colalign=align, disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        found = run(args)
    except (OSError, TypeError, ValueError) as error:
        sys.exit(f'error: {error}')
    first = next(iter(found.values()))
    print(
        f'{first.sequences} sequences, {first.visible_frames} tracked frames with the target in '
        f'sight, {first.hidden_frames} in which it is gone for a while'
    )
    print(table_text(found))
    if args.json:
        rows = {name: one.as_dict() for name, one in found.items()}
        write_file(args.json, json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    main()
