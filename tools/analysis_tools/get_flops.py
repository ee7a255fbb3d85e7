#!/usr/bin/env python
"""Print the parameters of a tracker and the multiply-adds of a frame, with and without cache."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from mmtrack_mixformerv2.analysis import Analysis, FrameCost, ParameterCount, analyse
from mmtrack_mixformerv2.engine import add_config_options, read_config

EPILOG = """\
multiply-adds count matrix products and convolutions: one is a multiplication and an addition, so
FLOPs as other tools print them are about twice as many. Sums, norms, activations and softmax are
not counted. "as published" is what the authors' own tracker does for a frame: it encodes templates
every time (MVT: behind its stem; MixFormer-CvT with several online templates: behind the
convolutions) and finishes tokens that nothing reads. Papers that count layers leave the products of
activations out.

example:
  python tools/analysis_tools/get_flops.py configs/mixformerv2/mixformerv2-b_test-lasot.py
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', metavar='CONFIG', help='config of the tracker')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Build the model, count, and print."""
    args = parse_args(argv)
    try:
        analysis = analyse(read_config(args.config, args.cfg_options))
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f'get_flops: {error}', file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(as_dict(analysis), indent=2))
        return 0
    print(parameter_table(analysis.parameters))
    print(
        f'\nmultiply-adds of a frame (search {analysis.search_size} px, {analysis.num_templates} '
        f'templates of {analysis.template_size} px)'
    )
    print(cost_table(analysis.cost))
    return 0


def as_dict(analysis: Analysis) -> dict:
    """Everything counted, for ``--json``."""
    counted, cost = asdict(analysis), analysis.cost
    sums = {'with_cache': cost.with_cache, 'without_cache': cost.without_cache}
    return {**counted, 'cost': {**counted['cost'], **sums}}


def parameter_table(parameters: dict[str, ParameterCount]) -> str:
    """One line per part."""
    lines = [f'{"parameters":16}{"all":>14}{"trainable":>14}']
    for name, count in parameters.items():
        lines.append(f'{name:16}{count.total:>14,}{count.trainable:>14,}')
    return '\n'.join(lines)


def cost_table(cost: FrameCost) -> str:
    """One line per step, and the two sums."""
    rows = {
        'templates': (cost.templates, 'encode_template, once per change of a template'),
        'search': (cost.search, 'encode_search, every frame'),
        'neck, heads': (cost.heads, 'every frame'),
        'without cache': (cost.without_cache, 'templates encoded every frame'),
        'with cache': (cost.with_cache, 'templates encoded before'),
    }
    lines = [f'{name:16}{count / 1e9:>12.3f} G  {note}' for name, (count, note) in rows.items()]
    if cost.published is not None:
        rest = cost.published - cost.published_attention
        lines.append(
            f'{"as published":16}{cost.published / 1e9:>12.3f} G  every frame of the published '
            f'tracker;\n{"":16}{rest / 1e9:>12.3f} G  without products of activations with each '
            'other (attention)'
        )
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
