"""Measure how fast a training config could train here: its data, its step, its memory.

Nothing is trained and no checkpoint is read: the weights are random, which costs the same. What is
compared runs in turns, so the ratios hold on a machine that does other things as well.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from tabulate import tabulate

# At module top level: spawned data loader workers import this file again and need it as well.
from mmtrack_mixformerv2.benchmark import (
    LoaderSpeed,
    MemoryPeak,
    PipelineCost,
    StepSpeed,
    available_cores,
    crop_settings,
    describe_machine,
    fill_data,
    has_teacher,
    measure_loaders,
    measure_memory,
    measure_pipelines,
    measure_steps,
    training_data,
)
from mmtrack_mixformerv2.command_line import at_least
from mmtrack_mixformerv2.datasets import check_data_files
from mmtrack_mixformerv2.engine import add_config_options, read_config, use_mixed_precision
from mmtrack_mixformerv2.models.distillation import teacher_settings
from mmtrack_mixformerv2.synthetic import (
    RenderSettings,
    find_photographs,
    make_difficulty,
    write_dataset,
)

PARTS = ('pipeline', 'step', 'memory')
EPILOG = """\
what is printed:
  pipeline  CPU milliseconds per sample in one process and one thread, from the JPEG files to the
            input of the network, stage by stage; then the samples per second of the data loader
            with worker processes, and what the training process spends on receiving them
  step      samples per second of forward, losses, backward and optimizer; with a teacher in the
            config, the same student without it as well
  memory    the largest memory of all tensors in a step; with a teacher, also of the student's
            training and the teacher's prediction by themselves, and the ratio of the step to the
            sum of these two

examples:
  python tools/analysis_tools/benchmark_train.py CONFIG --render
  python tools/analysis_tools/benchmark_train.py CONFIG --what pipeline --baseline-pipeline
  python tools/analysis_tools/benchmark_train.py CONFIG --what step,memory --batch-size 8 --amp
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of a training')
    add(
        '--what',
        type=parse_parts,
        default=list(PARTS),
        metavar='PART,...',
        help=f'some of {",".join(PARTS)} (default: all)',
    )
    add('--batch-size', type=at_least(1), metavar='N', help="default: the config's")
    add(
        '--seconds',
        type=positive,
        default=10.0,
        metavar='S',
        help='how long to measure each thing, warm-up not included (default 10)',
    )
    add('--threads', type=at_least(1), metavar='N', help="of the step on a CPU (default: torch's)")
    add('--device', choices=['cpu', 'cuda'], help='of the step (default: cuda if there is one)')
    add('--amp', action='store_true', help='mixed precision, as tools/train.py --amp')
    add('--json', type=Path, metavar='FILE', help='also write the numbers to a file')
    add_config_options(parser)
    group = parser.add_argument_group('data')
    add = group.add_argument
    add(
        '--baseline-pipeline',
        action='store_true',
        help="measure the training pipeline of mmtrack's STARK side by side, on the same frames",
    )
    add(
        '--workers',
        type=at_least(0),
        metavar='N',
        help="processes of the data loader (default: the config's, at least 1 and at most one per "
        'core); 0 leaves that measurement out',
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        '--data',
        type=Path,
        metavar='DIR',
        help="rendered sequences to read in place of the config's data, a folder that "
        'tools/render_sequences.py wrote',
    )
    source.add_argument(
        '--render',
        action='store_true',
        help='render some sequences into a temporary folder and read those',
    )
    add(
        '--render-size',
        type=at_least(64),
        nargs=2,
        default=(640, 480),
        metavar=('W', 'H'),
        help='frame size for --render (default 640 480)',
    )
    add(
        '--render-sequences',
        type=at_least(1),
        default=12,
        metavar='N',
        help='sequences of 40 frames for --render (default 12)',
    )
    return parser.parse_args(argv)


def parse_parts(text: str) -> list[str]:
    """Names between commas."""
    names = text.split(',')
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(
            f'{", ".join(map(repr, unknown))} is not among {", ".join(PARTS)}'
        )
    return names


def positive(text: str) -> float:
    """Type of an option: a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0')
    return value


def read_training(args: argparse.Namespace) -> Config:
    """The config, if it is one of a training whose data is there.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If it is another config, or the machine lacks what was asked for.
    """
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('--device cuda, but torch finds no GPU here')
    if args.json is not None and not args.json.parent.is_dir():
        raise FileNotFoundError(f'--json {args.json}: there is no folder {args.json.parent}')
    cfg = read_config(args.config, args.cfg_options)
    needed = ('model', 'train_dataloader', 'optim_wrapper')
    if missing := [name for name in needed if cfg.get(name) is None]:
        raise ValueError(f'{args.config} has no {" and no ".join(missing)}; use a training config')
    if 'search_size' not in (cfg.model.get('backbone') or {}):
        raise ValueError(
            f'the model of {args.config} is a {cfg.model.get("type")!r}, expected a tracker with '
            'search_size and template_size in its backbone'
        )
    if args.amp:
        use_mixed_precision(cfg)
    if args.data is not None:
        fill_data(cfg, args.data)
    if has_teacher(cfg) and args.what != ['pipeline']:
        teacher_settings(cfg.model.teacher)
    if 'pipeline' in args.what:
        check_data(cfg, args)
    return cfg


def check_data(cfg: Config, args: argparse.Namespace) -> None:
    """Look for what the measurements of the data need.

    Raises:
        FileNotFoundError: If the data is not there.
        ValueError: If its config is for other datasets or transforms.
    """
    data = training_data(cfg)
    if args.baseline_pipeline:
        crop_settings(data)
    if not args.render:
        try:
            check_data_files(data)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{error} To measure without that data, use --render or --data.'
            ) from error


@contextmanager
def data_of(cfg: Config, args: argparse.Namespace) -> Iterator[None]:
    """Inside of the block, the data of the config is there."""
    if not (args.render and 'pipeline' in args.what):
        yield
        return
    width, height = args.render_size
    settings = RenderSettings(
        seed=0,
        difficulty=make_difficulty('medium'),
        frames=dict(train=40, val=40),
        size=(width, height),
    )
    with TemporaryDirectory() as folder:
        counts = dict(train=args.render_sequences)
        write_dataset(folder, settings, counts, find_photographs(), progress=False)
        fill_data(cfg, folder)
        print(f'{args.render_sequences} rendered sequences of {width} x {height} pixels')
        yield


def measure_pipeline(cfg: Config, args: argparse.Namespace, batch_size: int) -> dict:
    """Measure the data, print the tables; gives the numbers."""
    with redirect_stdout(io.StringIO()):  # mmtrack's datasets print that they load
        costs = measure_pipelines(cfg, batch_size, args.seconds, args.baseline_pipeline)
    print(f'\n{pipeline_table(costs)}')
    results = dict(single_process={name: asdict(cost) for name, cost in costs.items()})
    workers = args.workers
    if workers is None:
        workers = max(1, min(cfg.train_dataloader.get('num_workers', 0), available_cores()))
    if workers:
        with redirect_stdout(io.StringIO()):
            speeds = measure_loaders(cfg, batch_size, workers, args.seconds, args.baseline_pipeline)
        print(f'\n{loader_table(speeds, workers)}')
        results.update(workers=workers, loader={n: asdict(speed) for n, speed in speeds.items()})
    return results


def pipeline_table(costs: dict[str, PipelineCost]) -> str:
    """CPU time by stage; with two pipelines also how many times more the second takes."""
    columns = list(costs.values())

    def row(label: str, values: list[float], digits: int = 2) -> list[str]:
        ratio = [f'{values[1] / values[0]:.1f}'] if len(values) > 1 and values[0] > 0 else []
        return [label, *(f'{value:.{digits}f}' for value in values), *ratio]

    rows = [row(stage, [cost.stages[stage] for cost in columns]) for stage in columns[0].stages]
    rows.append(row('all', [cost.total for cost in columns]))
    rows.append(row('all but decode', [cost.total - cost.stages['decode'] for cost in columns]))
    rows.append(['samples/s', *(f'{1000 / cost.total:.0f}' for cost in columns)])
    headers = ['CPU ms per sample, one thread', *costs, *['times'] * (len(costs) - 1)]
    return table(rows, headers)


def loader_table(speeds: dict[str, LoaderSpeed], workers: int) -> str:
    """Samples per second, and the time of the training process."""
    rows = [
        [name, f'{speed.samples_per_second:.0f}', f'{speed.main_process:.2f}']
        for name, speed in speeds.items()
    ]
    processes = f'{workers} worker{"s" if workers > 1 else ""}'
    return table(rows, [f'data loader, {processes}', 'samples/s', 'CPU ms of the training process'])


def step_table(speeds: dict[str, StepSpeed], batch_size: int) -> str:
    """One line per training."""
    rows = [
        [
            name,
            f'{speed.samples_per_second:.3g}',
            f'{speed.cpu:.3g}',
            f'{speed.times:.2f}',
        ]
        for name, speed in speeds.items()
    ]
    headers = [f'training step, batch of {batch_size}', 'samples/s', 'CPU ms per sample', 'times']
    if len(speeds) == 1:
        rows, headers = [row[:3] for row in rows], headers[:3]
    return table(rows, headers)


def feeding(pipeline: dict, speed: StepSpeed) -> str:
    """How many processes have to load data so that the step does not wait."""
    cost = next(iter(pipeline['single_process'].values()))
    each = 1000 / (cost['total'] - cost['stages']['normalise'])
    count = math.ceil(speed.samples_per_second / each)
    return (
        f'one process that loads data makes {each:.0f} samples/s, so {count} '
        f'{"keep" if count > 1 else "keeps"} the step busy'
    )


def memory_table(peak: MemoryPeak, batch_size: int) -> str:
    """One line per situation, and the ratio."""
    rows = [['training step of the student alone', f'{peak.student / 2**20:.1f}']]
    if peak.ratio is not None:
        rows += [
            ['prediction of the teacher alone', f'{peak.teacher / 2**20:.1f}'],
            ['training step with the teacher', f'{peak.step / 2**20:.1f}'],
            ['step / (student + teacher)', f'{peak.ratio:.2f}'],
        ]
    return table(rows, [f'peak memory, batch of {batch_size}', 'MiB'])


def table(rows: list[list[str]], headers: list[str]) -> str:
    """Text on the left, numbers on the right."""
    align = ('left', *['right'] * (len(headers) - 1))
    return tabulate(rows, headers, colalign=align, disable_numparse=True)


def measure(cfg: Config, args: argparse.Namespace) -> dict:
    """Measure and print what was asked for; gives the numbers."""
    device = torch.device(args.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    batch_size = args.batch_size or cfg.train_dataloader.batch_size
    if args.threads:
        torch.set_num_threads(args.threads)
    results = dict(config=args.config, machine=describe_machine(device), batch_size=batch_size)
    print(results['machine'])
    with data_of(cfg, args):
        if 'pipeline' in args.what:
            results['pipeline'] = measure_pipeline(cfg, args, batch_size)
    if 'step' in args.what:
        speeds = measure_steps(cfg, batch_size, args.seconds, device)
        print(f'\n{step_table(speeds, batch_size)}')
        if 'pipeline' in results:
            print(feeding(results['pipeline'], next(iter(speeds.values()))))
        results['step'] = {name: asdict(speed) for name, speed in speeds.items()}
    if 'memory' in args.what:
        peak = measure_memory(cfg, batch_size, device)
        print(f'\n{memory_table(peak, batch_size)}')
        results['memory'] = {**asdict(peak), 'ratio': peak.ratio}
    return results


def main(argv: Sequence[str] | None = None) -> None:
    """Check the inputs, measure, print."""
    args = parse_args(argv)
    init_default_scope('mmtrack')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    try:
        results = measure(read_training(args), args)
        if args.json is not None:
            args.json.write_text(json.dumps(results, indent=2) + '\n')
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
