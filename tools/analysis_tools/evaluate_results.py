"""Score result files of one or several trackers, without running a tracker.

RESULTS is a folder, or a zip file, with a tracker's boxes for the sequences of the CONFIG's test
set, in the benchmark's own format: this package's or published raw results. The numbers are those
of the benchmark's own evaluation. For GOT-10k's test set and TrackingNet, whose boxes only their
servers have, the files are compared with the servers' rules.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from mmtrack_mixformerv2.comparison import build_test_set
from mmtrack_mixformerv2.engine import read_config
from mmtrack_mixformerv2.evaluation import SequenceTable
from mmtrack_mixformerv2.evaluation.plots import plot_curves
from mmtrack_mixformerv2.evaluation.protocols import Protocol, get_protocol
from mmtrack_mixformerv2.evaluation.report import Report, score_folder
from mmtrack_mixformerv2.evaluation.report_files import (
    attribute_table,
    notes_text,
    read_report,
    sequence_table,
    summary_table,
    unscored_text,
    write_csv,
    write_report,
)
from mmtrack_mixformerv2.evaluation.submissions import (
    SERVERS,
    check_submission,
    write_submission,
)

EPILOG = """examples (with CONFIG=configs/mixformerv2/mixformerv2-b_test-lasot.py):
  one tracker, as tools/test.py left it, with the numbers of every sequence:
    python tools/analysis_tools/evaluate_results.py $CONFIG \\
        work_dirs/mixformerv2-b_test-lasot/results --per-sequence
  two trackers side by side, with plots, JSON and CSV in the folder lasot:
    python tools/analysis_tools/evaluate_results.py $CONFIG \\
        runs/b/results downloads/stark.zip --names MixFormerV2-B STARK --attributes --out lasot
  before an upload:
    python tools/analysis_tools/evaluate_results.py \\
        configs/mixformerv2/mixformerv2-b_test-trackingnet.py results.zip
  with a rule that is not LaSOT's:
    python tools/analysis_tools/evaluate_results.py $CONFIG runs/b/results \\
        --protocol lasot:positive_corner=False

The exit code is 1 if a file is missing or does not fit its sequence; each is named. Then there are
no numbers, unless --allow-missing is given.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of a test; says which data set and protocol')
    add('results', nargs='+', metavar='RESULTS', help='folder or zip file of a tracker')
    add('--names', nargs='+', metavar='NAME', help='names of the trackers (default: by the files)')
    add('--data-root', help='folder of the data set, in the place of that in the config')
    add(
        '--protocol',
        help='protocol, perhaps with other rules: NAME[:RULE=VALUE ...] (default: that of the '
        "config's BenchmarkMetric)",
    )
    add('--per-sequence', action='store_true', help='print the numbers of every sequence')
    add('--attributes', action='store_true', help='print, and plot, the numbers by attribute')
    add(
        '--allow-missing',
        action='store_true',
        help='score the sequences that can be scored; the numbers are labelled as partial',
    )
    add('--out', metavar='DIR', help='write JSON, CSV, plots and zip files for servers there')
    args = parser.parse_args(argv)
    args.names = args.names or [default_name(path) for path in args.results]
    if len(args.names) != len(args.results):
        parser.error(f'--names: {len(args.names)} names for {len(args.results)} RESULTS')
    if len({slug(name) for name in args.names}) < len(args.names):
        parser.error(f'the names {", ".join(args.names)} are too much alike; use --names')
    return args


def default_name(path: str) -> str:
    """Name of a tracker: of its folder or zip file, or of the folder around 'results'."""
    path = Path(path).resolve()
    name = path.stem if path.suffix == '.zip' else path.name
    return path.parent.name if name == 'results' else name


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r'[^\w.+-]+', '_', name)


def protocol_of(cfg: Config) -> Protocol:
    """The protocol that the test of a config scores by."""
    evaluators = cfg.get('test_evaluator') or []
    for metric in [evaluators] if isinstance(evaluators, Mapping) else evaluators:
        if metric.get('type') == 'BenchmarkMetric':
            return get_protocol(metric.protocol)
    raise ValueError(f'{cfg.filename} has no BenchmarkMetric in test_evaluator; use --protocol')


def check_reports(reports: Sequence[Report]) -> bool:
    """Name what could not be scored; whether everything could."""
    for report in reports:
        for note in notes_text(report).splitlines():
            print(f'note: {note}', file=sys.stderr)
        if report.unscored:
            print(
                f'{report.label}; these have no usable result:\n{unscored_text(report)}',
                file=sys.stderr,
            )
    return all(report.complete for report in reports)


def check_out(args: argparse.Namespace, protocol: Protocol) -> None:
    """Make sure that the reports of other trackers or protocols are not written over."""
    for name in args.names if args.out else ():
        path = Path(args.out) / f'{slug(name)}.json'
        if path.exists():
            there = read_report(path)
            if (there.tracker, there.protocol) != (name, protocol.name):
                raise ValueError(
                    f'{path} has the results of {there.tracker!r} by protocol {there.protocol!r}, '
                    f'and these are of {name!r} by {protocol.name!r}; use another --out'
                )


def write_all(reports: Sequence[Report], out: Path, attributes: bool) -> None:
    """JSON and CSV of each tracker, plots of all."""
    for report in reports:
        write_report(report, out / f'{slug(report.tracker)}.json')
        write_csv(report, out / slug(report.tracker))
    plot_curves(reports, out / 'all')
    names = {group.name for report in reports for group in report.attributes}
    for name in sorted(names) if attributes else ():
        plot_curves(reports, out / 'attributes' / slug(name), name)
    print(f'written to {out}')


def prepare_submissions(args: argparse.Namespace, table: SequenceTable, protocol: Protocol) -> bool:
    """Compare results with the rules of their server; whether all of them keep these."""
    kept = True
    for name, path in zip(args.names, args.results):
        problems = check_submission(path, table, protocol)
        if problems:
            kept = False
            print(f'{name} cannot be sent:', *problems, sep='\n', file=sys.stderr)
        else:
            print(f'{name} keeps the rules of {SERVERS[protocol.name].address}')
            if args.out:
                target = Path(args.out) / f'{slug(name)}.zip'
                write_submission(path, table, protocol, target)
                print(f'written to {target}')
    return kept


def main(argv: Sequence[str] | None = None) -> None:
    """Score and print."""
    args = parse_args(argv)
    try:
        cfg = read_config(args.config)
        protocol = get_protocol(args.protocol) if args.protocol else protocol_of(cfg)
        table = SequenceTable(build_test_set(cfg, args.data_root)[0])
        if protocol.kind == 'server':
            sys.exit(not prepare_submissions(args, table, protocol))
        check_out(args, protocol)
        reports = [
            score_folder(path, table, protocol, name)
            for name, path in zip(args.names, args.results)
        ]
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    complete = check_reports(reports)
    if not complete and not (args.allow_missing and all(one.sequences for one in reports)):
        sys.exit(1)
    print(f'{protocol.title}, in percent')
    print(summary_table(reports))
    if args.attributes:
        print(f'\n{attribute_table(reports) or "the data set names no attributes"}')
    if args.per_sequence:
        print(f'\n{sequence_table(reports)}')
    if args.out:
        try:
            write_all(reports, Path(args.out), args.attributes)
        except OSError as error:
            sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
