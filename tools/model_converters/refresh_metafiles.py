#!/usr/bin/env python
"""Write the SHA-256 and size of weights into the metafiles that name them.

Run it after a file in weights/ was replaced. Another file name goes into Weights by hand before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmtrack_mixformerv2.zoo import resource_root
from mmtrack_mixformerv2.zoo.metafiles import refresh_metafiles


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'index', nargs='?', type=Path, help='index file (default: model-index.yml of this package)'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compare, write, and say what changed."""
    args = parse_args(argv)
    try:
        changed = refresh_metafiles(args.index or resource_root() / 'model-index.yml')
    except (OSError, ValueError) as error:
        print(f'refresh_metafiles: {error}', file=sys.stderr)
        return 1
    print(f'changed: {", ".join(changed)}' if changed else 'all are up to date')
    return 0


if __name__ == '__main__':
    sys.exit(main())
