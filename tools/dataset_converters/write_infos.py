#!/usr/bin/env python
"""Check the files of a benchmark, and write the list of its sequences that data sets read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmtrack_mixformerv2.datasets.info_files import (
    BENCHMARKS,
    Conversion,
    convert,
    describe,
    read_names,
    write_info_file,
)

EPILOG = """\
Named are, with file and line: missing and unreadable frames, too few or too many lines, lines that
are no boxes, boxes that cannot be, labels of absence that do not fit, sequences of the official
list that are missing. If something is broken nothing is written, unless --skip-broken is given.

benchmark     ROOT has                                   splits (all that are there, unless named)
  lasot         LaSOTBenchmark/airplane/airplane-1         test train; all
  lasot_ext     atv/atv-1                                  test
  got10k        train/GOT-10k_Train_000001, train/list.txt test val train; train_vot
  trackingnet   TEST/frames, TEST/anno, TRAIN_0/frames     test train
  uav123        data_seq/UAV123/bike1, anno/UAV123         test
  otb100        data/Basketball/img                        test
  tnl2k         advSamp_Baseball_game_002-Done/imgs        test
  nfs30, nfs240 airboard_1/30/airboard_1, or for nfs30     test
                sequences/airboard_1, anno/airboard_1.txt
  folder        any sequences; only checked: no list is    test
                needed

train_vot is the training set of GOT-10k without the 1,000 videos that VOT forbids. VOT publishes
their names as list0_prohibited_1000.txt; give that file as --exclude.

exit status: 0 all is sound, 1 something is broken or missing, 2 the check could not be made, or the
file is there with other content

examples:
  python tools/dataset_converters/write_infos.py lasot data/LaSOT_full
  python tools/dataset_converters/write_infos.py got10k data/GOT10k --split val --workers 8 --decode
  python tools/dataset_converters/write_infos.py folder my-sequences
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('benchmark', metavar='BENCHMARK', choices=BENCHMARKS, help='see below')
    parser.add_argument('root', metavar='ROOT', type=Path, help='folder of the benchmark')
    parser.add_argument('--split', help='part of the benchmark; see below')
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='default: ROOT/annotations/..., as configs have it'
    )
    parser.add_argument('--check-only', action='store_true', help='write nothing')
    parser.add_argument(
        '--skip-broken', action='store_true', help='list the sound sequences, if others are broken'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace a file that has other content'
    )
    parser.add_argument(
        '--exclude', type=Path, metavar='FILE', help='names of sequences to leave out, one per line'
    )
    parser.add_argument(
        '--workers', type=int, default=4, metavar='N', help='sequences at once (default 4)'
    )
    parser.add_argument(
        '--decode',
        action='store_true',
        help='decode every frame; else only the ends of its file are looked at',
    )
    args = parser.parse_args(argv)
    benchmark = BENCHMARKS[args.benchmark]
    if args.split not in (None, *benchmark.splits):
        parser.error(f'--split is {args.split}, expected one of {", ".join(benchmark.splits)}')
    if args.split in benchmark.exclude and not args.exclude:
        parser.error(f'--split {args.split} needs --exclude: a file with the names to leave out')
    if args.out and None in benchmark.splits.values():
        parser.error(f'{args.benchmark} needs no list, so there is nothing to write: leave --out')
    if args.split is None and len(benchmark.splits) > 1:
        for option in ('out', 'exclude'):
            if getattr(args, option):
                names = ', '.join(benchmark.splits)
                parser.error(f'--{option} is for one split; add --split with one of {names}')
    if args.workers < 1:
        parser.error(f'--workers is {args.workers}, expected at least 1')
    return args


def convert_splits(args: argparse.Namespace) -> dict[str, Conversion]:
    """Checks the split that was asked for, or all that are there."""
    benchmark = BENCHMARKS[args.benchmark]
    exclude = read_names(args.exclude) if args.exclude else []
    usual = [split for split in benchmark.splits if split not in benchmark.on_request]
    splits = [args.split] if args.split else usual
    found, absent = {}, []
    for split in splits:
        try:
            found[split] = convert(
                args.benchmark,
                args.root,
                split,
                exclude=exclude,
                decode=args.decode,
                workers=args.workers,
            )
        except FileNotFoundError as error:
            absent.append(error)
    if not found:
        raise absent[0]
    for error in absent:
        print(f'left out: {error}')
    return found


def write(args: argparse.Namespace, split: str, conversion: Conversion) -> None:
    """Writes the info file of a split, if it should be, and says so."""
    name = BENCHMARKS[args.benchmark].splits[split]
    if args.check_only or name is None:
        return
    if not conversion.is_whole and not args.skip_broken:
        print('nothing was written; --skip-broken lists the sound sequences')
        return
    path = args.out or args.root / 'annotations' / f'{name}_infos.txt'
    written = write_info_file(conversion, path, force=args.force)
    print(f'{"written" if written else "there already, with the same content"}: {path}')


def main(argv: Sequence[str] | None = None) -> int:
    """Check, report, write."""
    args = parse_args(argv)
    try:
        conversions = convert_splits(args)
        for split, conversion in conversions.items():
            print(describe(conversion))
            write(args, split, conversion)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return int(not all(conversion.is_whole for conversion in conversions.values()))


if __name__ == '__main__':
    sys.exit(main())
