"""Make a workspace of the VOT toolkit, or add a tracker to one. See docs/vot.md.

The tracker asks for what the stack has: boxes, or masks, which it answers with filled boxes. The
data of the stack is downloaded by the toolkit's first command; --rendered N puts rendered
sequences in its place, to try everything.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from mmtrack_mixformerv2.engine import ConfigOptions, read_config
from mmtrack_mixformerv2.vot import (
    add_tracker,
    region_of,
    write_rendered_sequences,
    write_workspace,
)
from mmtrack_mixformerv2.zoo import resolve_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TRACK = Path(__file__).resolve().with_name('track.py')
TOOLKIT = '.venv-vot/bin/vot'
EPILOG = """examples:
  python tools/vot/workspace.py work_dirs/vot2022 vot2022/shorttermbox CONFIG weights.pth --name s
  python tools/vot/workspace.py work_dirs/try vot2020/shortterm CONFIG weights.pth --rendered 2
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('folder', type=Path, help='the workspace')
    add('stack', help='stack of the toolkit, e.g. vot2020/shortterm or vot2022/shorttermbox')
    add('config', help='config of the tracker')
    add('checkpoint', help='file with the weights, or a name of the model zoo')
    add('--name', help='of the tracker in the toolkit (default: the name of the config)')
    add('--rendered', type=int, metavar='N', help='render N sequences instead of a download')
    add('--frames', type=int, default=150, metavar='N', help='of a rendered sequence (150)')
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='passed to track.py')
    return parser.parse_args(argv)


def check_inputs(args: argparse.Namespace) -> None:
    """Find mistakes now, not in the toolkit's log.

    Raises:
        FileNotFoundError: If the config or the weights are not there.
        ValueError: If the config cannot be read, or the weights of a name are not to be had.
    """
    parser = argparse.ArgumentParser(usage='workspace.py ... [--cfg-options KEY=VALUE ...]')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    read_config(args.config, parser.parse_args(options).cfg_options)
    if not Path(resolve_checkpoint(args.checkpoint)).is_file():
        raise FileNotFoundError(f'the checkpoint {args.checkpoint} does not exist')


def command_line(args: argparse.Namespace) -> list[str]:
    """How the toolkit starts the tracker."""
    files = (args.config, resolve_checkpoint(args.checkpoint))
    paths = [str(Path(path).resolve()) for path in files]
    command = [sys.executable, str(TRACK), *paths, '--region', region_of(args.stack)]
    return [*command, '--cfg-options', *args.cfg_options] if args.cfg_options else command


def main(argv: list[str] | None = None) -> None:
    """Check, write, and say how to go on."""
    args = parse_args(argv)
    name = args.name or Path(args.config).stem
    try:
        check_inputs(args)
        write_workspace(args.folder, args.stack)
        add_tracker(args.folder, name, command_line(args), label=name)
        if args.rendered is not None:
            masks = region_of(args.stack) == 'mask'
            sequences = args.folder / 'sequences'
            write_rendered_sequences(sequences, args.rendered, masks=masks, num_frames=args.frames)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(f'{name} is in the workspace {args.folder} of {args.stack}. Next:')
    if not (ROOT / TOOLKIT).is_file():
        print('  make vot')
    for action in ('evaluate', 'analysis', 'pack'):
        print(f'  {TOOLKIT} {action} --workspace {shlex.quote(str(args.folder))} {name}')


if __name__ == '__main__':
    main()
