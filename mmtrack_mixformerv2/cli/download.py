"""``mixformerv2 download``: fetch weights of the model zoo, or list its models."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import zoo

EPILOG = """examples:
  mixformerv2 download                      list the models, and where their weights are
  mixformerv2 download mixformerv2-tiny     print the path of verified weights
  mixformerv2 download mixformerv2-b --from mixformerv2_base.pth.tar
                                            convert and verify a file of the authors; from then
                                            on `mixformerv2-b` stands for it everywhere
environment:
  MIXFORMERV2_HOME      folder of the files (default ~/.cache/mixformerv2)
  MIXFORMERV2_MIRRORS   addresses of folders, separated by spaces, to ask first
  MIXFORMERV2_OFFLINE   1 forbids to use the network
  MIXFORMERV2_INDEX     more index files, as model-index.yml: models of your own

A download that was cut off goes on where it ended. Exit codes: 0 all is there, 1 an error, 2 wrong
options, 130 Ctrl-C.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = EPILOG
    parser.add_argument('names', nargs='*', metavar='NAME', help='models (default: list them)')
    parser.add_argument('--list', action='store_true', help='list the models')
    parser.add_argument(
        '--from',
        dest='file',
        type=Path,
        metavar='FILE',
        help='take this file, which was downloaded in another way, and verify it',
    )
    parser.add_argument(
        '--mirror',
        action='append',
        default=[],
        metavar='URL',
        help='address of a folder to ask for the file first; repeat it for more',
    )
    parser.add_argument(
        '--cache',
        type=Path,
        metavar='DIR',
        help='folder of the files (default: MIXFORMERV2_HOME, or ~/.cache/mixformerv2)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--quiet', action='store_true', help='no progress bar')


def run(args: argparse.Namespace) -> int:
    """List models, take a file, or download; gives the exit code."""
    if args.list and (args.names or args.file):
        args.parser.error('--list goes without a NAME and without --from')
    if args.file and len(args.names) != 1:
        args.parser.error(f'--from FILE needs one NAME, and {len(args.names)} were given')
    if not args.names:
        print_models(args)
        return 0
    models = [zoo.find_model(name) for name in args.names]  # all, before the first download
    rows = []
    for model in models:
        if args.file:
            path, notes = take(model, args.file, args.cache)
            for note in notes:
                print(note, file=sys.stderr)
        else:
            path = zoo.fetch_weights(
                model.name, progress=not args.quiet, cache=args.cache, mirrors=args.mirror
            )
        rows.append({'name': model.name, 'path': str(path)})
    print(json.dumps(rows, indent=2) if args.json else '\n'.join(row['path'] for row in rows))
    if args.cache and any(Path(row['path']).is_relative_to(args.cache) for row in rows):
        print(f'to load them by name, set MIXFORMERV2_HOME={args.cache}', file=sys.stderr)
    return 0


def take(model: zoo.ZooModel, file: Path, cache: Path | None) -> tuple[Path, list[str]]:
    """Put a file into the cache; its path there, and what to say about it."""
    if model.weights is not None:
        return zoo.take_file(model, file, cache), []
    taken = zoo.convert_weights(model, file, cache)
    notes = [
        f'{file} holds {taken.system}, {taken.parameters:,} parameters, and fits {model.config}',
        *taken.notes,
    ]
    return taken.path, notes


def print_models(args: argparse.Namespace) -> None:
    """The table of all models, or the same as JSON."""
    rows = [describe(model, args.cache) for model in zoo.list_models()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    lines = [('name', 'parameters', 'MiB', 'weights')]
    for row in rows:
        parameters = row['parameters']
        cells = [f'{parameters:,}' if isinstance(parameters, int) else '-']
        cells.append(f'{row["bytes"] / 2**20:.1f}' if row['bytes'] else '-')
        where = {
            'package': 'in the package',
            'cache': row['path'],
            'network': row['url'],
            'authors': f'published by the authors: {row["published_at"]}'
            if row['published_at']
            else 'of the authors, no address is known',
        }
        lines.append((row['name'], *cells, where[row['weights']]))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for name, parameters, size, where in lines:
        print(f'{name:{widths[0]}}  {parameters:>{widths[1]}}  {size:>{widths[2]}}  {where}')
    if any(row['weights'] == 'authors' for row in rows):
        print('\n`mixformerv2 download NAME` says what to do with weights of the authors.')


def describe(model: zoo.ZooModel, cache: Path | None) -> dict[str, Any]:
    """What JSON says about a model."""
    path = where = None
    if isinstance(model.weights, Path):
        path, where = model.weights, 'package'
    else:
        path = zoo.cached_path(model, cache)
        where = 'cache' if path.exists() else 'authors' if model.weights is None else 'network'
        path = path if where == 'cache' else None
    size = path.stat().st_size if path is not None and path.is_file() else model.size
    return {
        'name': model.name,
        'collection': model.collection,
        'config': None if model.config is None else str(model.config),
        'parameters': model.metadata.get('Parameters'),
        'weights': where,
        'path': None if path is None else str(path),
        'url': model.weights if isinstance(model.weights, str) else None,
        'published_at': model.published_at,
        'sha256': model.sha256,
        'bytes': size,
    }
