#!/usr/bin/env python
"""Make a training checkpoint small: weights only, in half precision, without auxiliaries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmtrack_mixformerv2 import __version__
from mmtrack_mixformerv2.checkpoints import (
    check_destination,
    publish_state_dict,
    read_checkpoint,
    write_checkpoint,
)
from mmtrack_mixformerv2.zoo import resolve_checkpoint

EPILOG = """\
examples:
  python tools/model_converters/publish_model.py work_dirs/my_run/epoch_36.pth weights/mine.pth
  python tools/model_converters/publish_model.py work_dirs/my_run/epoch_36.pth mine.pth --float32
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='checkpoint of a training')
    parser.add_argument('dst', metavar='DST', type=Path, help='file to write, e.g. name.pth')
    parser.add_argument('--force', action='store_true', help='replace DST if it exists')
    parser.add_argument(
        '--float32',
        action='store_true',
        help='keep the precision (default: halve it, except of the fixed position tables)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read, strip and write."""
    args = parse_args(argv)
    try:
        check_destination(args.dst, force=args.force)
        state = read_checkpoint(resolve_checkpoint(args.src)).state_dict
        kept = publish_state_dict(state, half=not args.float32)
        meta = {'source': args.src.name, 'mmtrack_mixformerv2': __version__}
        write_checkpoint(kept, meta, args.dst, force=args.force)
    except (OSError, ValueError) as error:
        print(f'publish_model: {error}', file=sys.stderr)
        return 1
    print(
        f'{args.dst}: {len(kept)} tensors, {args.dst.stat().st_size / 2**20:.2f} MiB '
        f'({len(state) - len(kept)} auxiliary tensors dropped)'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
