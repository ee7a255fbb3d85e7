"""Show how much a tracker's numbers depend on the rules of the evaluation.

Sequences and results are drawn, and scored by the protocols of this package, by MMTracking's metric
and, if it is installed, by the GOT-10k toolkit. The tables are those of docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmtrack_mixformerv2.evaluation.toolkit_comparison import (
    Table,
    compare_got10k,
    compare_ope,
    compare_whole_pixels,
    draw_tracks,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seed', type=int, default=0, help='of all that is drawn (default 0)')
    return parser.parse_args(argv)


def markdown(table: Table) -> str:
    """A table as it stands in a document."""
    title, *rows = (f'| {" | ".join(row)} |' for row in table)
    return '\n'.join([title, '|---' * len(table[0]) + '|', *rows])


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, score, print."""
    seed = parse_args(argv).seed
    tracks = draw_tracks(seed=seed)
    print('Success / normalised precision / precision, in percent:\n')
    print(markdown(compare_ope(tracks, seed)))
    print('\nGOT-10k, in percent:\n')
    print(markdown(compare_got10k(tracks, seed)))
    print("\nLaSOT's success, in percent:\n")
    print(markdown(compare_whole_pixels(seed)))


if __name__ == '__main__':
    main()
