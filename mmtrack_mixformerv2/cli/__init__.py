"""The command line ``mixformerv2``: one module for each command, imported when it is called.

Such a module has a docstring, which is the description, ``add_arguments(parser)`` and
``run(args)``, which gives the exit code. What a user can mend is raised as OSError, ValueError,
ImportError or RuntimeError, and becomes a line of text here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ..version import __version__

COMMANDS = {
    'track': 'follow targets through a video, a folder, a camera or a stream',
    'report': 'explain a track in one HTML page',
    'compare': 'models side by side: size, speed on this machine, accuracy',
    'demo': 'a web page to try a tracker on',
    'download': 'fetch weights of the model zoo',
    'doctor': 'check the installation, a checkpoint, a data set',
}
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

EPILOG = """examples:
  mixformerv2 track clip.mp4 --init 316,139,112,116
  mixformerv2 report clip.mp4 --init 316,139,112,116 --out report.html
  mixformerv2 COMMAND --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; None for those of the process.

    Returns:
        0; 1 where something failed, 130 after Ctrl-C. Wrong usage ends with SystemExit, 2.
    """
    args = parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # of a reader such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        if os.environ.get('MIXFORMERV2_TRACEBACK'):
            raise
        print(f'error: {explain(error)}', file=sys.stderr)
        return FAILED


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; only the module of the command that is called is imported."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog='mixformerv2',
        description='MixFormerV2 trackers: try, explain, fetch and check them.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    for name, summary in COMMANDS.items():
        wanted = name in argv[:1]
        module = import_module(f'.{name}', __name__) if wanted else None
        command = commands.add_parser(
            name,
            help=summary,
            description=(module.__doc__ or summary) if module else summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module:
            module.add_arguments(command)
            command.set_defaults(run=module.run, parser=command, argv=argv)
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        args.parser.error(f'unrecognized arguments: {" ".join(unknown)}')
    return args


def explain(error: Exception) -> str:
    """What an error says to a user: an error of the system with its file."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{error.filename}: {error.strerror}'
    return str(error) or type(error).__name__
