"""A tracker that the VOT toolkit drives; the toolkit starts it, see docs/vot.md.

Talks TraX over the standard input and output; everything else is printed to the standard error
output. tools/vot/workspace.py writes the command line into a workspace.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch import nn

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.engine import add_config_options, read_config
from mmtrack_mixformerv2.vot import REGIONS, serve, toolkit_streams


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the tracker')
    parser.add_argument('checkpoint', help='file with the weights')
    parser.add_argument(
        '--region',
        choices=REGIONS,
        default='rectangle',
        help='what to ask the toolkit for and to answer; mask: begin with the box around a mask, '
        'answer with filled boxes (default rectangle)',
    )
    add_config_options(parser)
    return parser.parse_args()


def main() -> int:
    """Serve one process of the toolkit."""
    args = parse_args()

    def load() -> nn.Module:
        return load_tracker(read_config(args.config, args.cfg_options), args.checkpoint)

    with toolkit_streams() as (incoming, outgoing):
        return serve(load, incoming, outgoing, name=Path(args.config).stem, region=args.region)


if __name__ == '__main__':
    sys.exit(main())
