"""Check the installation and, if they are given, a checkpoint and a data set.

Says for each thing that was looked at whether it is ok, and how to mend it if it is not. Nothing
is changed. A data set may be given without a checkpoint: a folder that is no exported model is
taken for one.

exit status: 0 fine, perhaps with warnings; 1 there are problems; 2 wrong usage
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..doctor import Report, findings_of
from ..doctor.dataset import NAMES
from ..doctor.findings import TITLES

_GRAPHS = ('template.onnx', 'search.onnx', 'template.xml', 'search.xml')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help='file of weights, folder of an exported model, or name of the model zoo',
    )
    parser.add_argument(
        'data_root', nargs='?', metavar='DATA_ROOT', help='folder of a benchmark or of sequences'
    )
    parser.add_argument(
        '--config', metavar='CONFIG', help='config of the checkpoint (default: look for it)'
    )
    parser.add_argument(
        '--benchmark',
        metavar='NAME',
        choices=NAMES,
        help=f'what DATA_ROOT should be (default: look): {", ".join(NAMES)}',
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        help='write a document for scripts; - prints it instead of the text',
    )


def run(args: argparse.Namespace) -> int:
    """Examine, print, and give the exit code."""
    checkpoint, data_root = _sort_out(args)
    report, section = Report(), None
    for finding in findings_of(checkpoint, data_root, config=args.config, benchmark=args.benchmark):
        report.findings.append(finding)
        if args.json == '-':
            continue
        if finding.section != section:
            print(f'{chr(10) if section else ""}{TITLES[finding.section]}')
            section = finding.section
        print('\n'.join(finding.lines()), flush=True)
    print(report.as_json() if args.json == '-' else f'\n{report.summary()}')
    if args.json not in (None, '-'):
        Path(args.json).write_text(report.as_json() + '\n', encoding='utf-8')
    return report.exit_code


def _sort_out(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """Which of the arguments is what; wrong usage ends here."""
    checkpoint, data_root = args.checkpoint, args.data_root
    if data_root is None and checkpoint is not None:
        alone = args.benchmark is not None and args.config is None
        if alone or _is_data(Path(checkpoint).expanduser()):
            checkpoint, data_root = None, checkpoint
    if args.config is not None and checkpoint is None:
        args.parser.error('--config is of a checkpoint; give CHECKPOINT too')
    if args.config is not None and not Path(args.config).expanduser().is_file():
        args.parser.error(f'--config {args.config}: there is no such file')
    if args.benchmark is not None and data_root is None:
        args.parser.error('--benchmark is of a data set; give DATA_ROOT too')
    if args.json not in (None, '-') and not Path(args.json).absolute().parent.is_dir():
        args.parser.error(f'--json {args.json}: there is no such folder')
    return checkpoint, data_root


def _is_data(path: Path) -> bool:
    """Whether a folder is neither an exported model nor one of checkpoints."""
    return (
        path.is_dir()
        and not any((path / name).exists() for name in _GRAPHS)
        and not any(path.glob('*.pth'))
    )
