"""Export a tracker, and compare the export with torch. See --help."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tabulate import tabulate

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.command_line import at_least, parse_box
from mmtrack_mixformerv2.deployment.calibration import DEFAULT_COUNT, draw_crops
from mmtrack_mixformerv2.deployment.export import (
    REPORT,
    Target,
    can_run,
    check_target,
    export,
    files_of,
    measure,
)
from mmtrack_mixformerv2.deployment.onnx_export import build_onnx
from mmtrack_mixformerv2.deployment.parity import (
    BOUNDS,
    Clip,
    Parity,
    read_clip,
    record,
    refreshing,
    render_clip,
)
from mmtrack_mixformerv2.deployment.quantization import quantize
from mmtrack_mixformerv2.deployment.tensorrt import build_engines, trtexec_commands
from mmtrack_mixformerv2.engine import add_config_options, read_config
from mmtrack_mixformerv2.runtime.model_info import BACKENDS, DTYPES

DESCRIPTION = """Export a tracker for a runtime: a folder with two graphs, `template` (crops to a
cache, as keys and values) and `search` (crop and cache to box, edge distributions and score, as far
as the tracker has them), that needs neither torch nor OpenMMLab. Crops are RGB bytes; sizes,
factors, the template policy and a hash of the weights are in the files.

Then the export tracks a clip beside the model in float32, and a table shows how far they differ:
step by step on the same crops, and each following its own boxes. If a box is further off than the
bound, step by step, the exit status is 1; the files stay."""
EXAMPLES = """examples:
  python tools/deployment/export.py CONFIG CHECKPOINT
  python tools/deployment/export.py CONFIG CHECKPOINT --backend onnxruntime openvino \\
      --clip clip.mp4 --init 316,139,112,116
  python tools/deployment/export.py CONFIG CHECKPOINT --backend openvino --dtype int8 \\
      --calibration data/sequences
  python tools/deployment/export.py CONFIG CHECKPOINT --backend tensorrt --dtype float16
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='test config')
    add('checkpoint', help='its weights')
    add(
        '--backend',
        nargs='+',
        choices=BACKENDS,
        default=['onnxruntime'],
        help='what is going to run it (default onnxruntime)',
    )
    add(
        '--dtype',
        nargs='+',
        choices=DTYPES,
        default=['float32'],
        help='what is computed in (default float32, which is exact): onnxruntime has float32 and '
        'int8, openvino all, tensorrt all but int8',
    )
    add(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for the files; of several backends or dtypes, each gets a folder '
        'BACKEND-DTYPE in it (default: work_dirs/exported/NAME-BACKEND-DTYPE)',
    )
    add('--name', help='of the model, in the files (default: name of the config)')
    add_config_options(parser)
    _add_check(parser.add_argument_group('check'))
    group = parser.add_argument_group('int8')
    group.add_argument(
        '--calibration',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='folders of sequences to calibrate on, with frames and groundtruth.txt',
    )
    group.add_argument(
        '--samples',
        type=at_least(1),
        default=DEFAULT_COUNT,
        metavar='N',
        help=f'frames that are drawn from them (default {DEFAULT_COUNT})',
    )
    args = parser.parse_args(argv)
    if (args.clip is None) != (args.init is None):
        parser.error('--clip and --init go together')
    if ('int8' in args.dtype) != (args.calibration is not None):
        parser.error('--dtype int8 and --calibration go together: it needs sequences of your own')
    return args


def _add_check(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        '--clip',
        metavar='PATH',
        help='a video, or a folder of pictures in order of name (default: a rendered one)',
    )
    add('--init', type=parse_box, metavar='X,Y,W,H', help='the target in its first frame, pixels')
    add('--frames', type=at_least(2), default=60, metavar='N', help='of the clip (default 60)')
    bounds = ', '.join(f'{dtype} {bound:g}' for dtype, bound in BOUNDS.items())
    add(
        '--bound',
        type=float,
        metavar='PX',
        help=f'how far an edge of a box may be off, in pixels of the crop (default: {bounds})',
    )


def choose_targets(args: argparse.Namespace) -> list[Target]:
    """What to export, and where to; checked."""
    pairs = list(dict.fromkeys(product(args.backend, args.dtype)))
    targets = []
    for backend, dtype in pairs:
        folder = args.out
        if folder is None:
            folder = Path('work_dirs/exported') / f'{args.name}-{backend}-{dtype}'
        elif len(pairs) > 1:
            folder = folder / f'{backend}-{dtype}'
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(
                f'{there} is a file; give --out a folder for the exported files'
            )
        targets.append(Target(backend, dtype, folder))
        check_target(targets[-1])
    return targets


def table(parities: dict[Target, Parity | None]) -> str:
    """One line per export."""
    rows = []
    for target, parity in parities.items():
        cells = ['-'] * 9
        if parity is not None:
            score = '-' if parity.score is None else f'{parity.score.largest:.1e}'
            pairs = [parity.crop, parity.frame, parity.free]
            numbers = [f'{x:.1e}' for one in pairs for x in (one or [float('nan')] * 2)]
            cells = [*numbers[:4], score, *numbers[4:], f'{parity.bound:g}']
            cells.append('yes' if parity.passed else 'NO')
        rows.append([target.backend, target.dtype, *cells])
    headers = ['backend', 'dtype', 'crop px, max', 'mean', 'frame px, max', 'mean', 'score, max']
    headers += ['free px, max', 'mean', 'bound', 'within']
    align = ('left', 'left', *['right'] * 9)
    return tabulate(rows, headers, colalign=align, disable_numparse=True)


def run(args: argparse.Namespace) -> bool:
    """Export and compare; whether all are within the bound."""
    args.name = args.name or Path(args.config).stem
    targets = choose_targets(args)
    model = load_tracker(read_config(args.config, args.cfg_options), args.checkpoint).cpu()
    clip = read_clip(args.clip, args.init, frames=args.frames) if args.clip else None
    crops = ()
    if args.calibration:
        crops = draw_crops(
            args.calibration,
            search_size=model.backbone.search_size,
            template_size=model.backbone.template_size,
            settings=model.loop.settings,
            count=args.samples,
        )
    say('tracing the graphs and comparing them with torch')
    exact = build_onnx(model)
    say(f'they agree to {exact.difference:.0e} of the largest value')
    graphs = dict.fromkeys(args.dtype, exact)
    if crops:
        say(f'finding the ranges of int8 on {len(crops)} samples')
        graphs['int8'] = quantize(model, exact, crops)
    if clip is None:
        say('rendering a clip')
        clip = render_clip(args.frames)
    say(f'tracking {len(clip.frames)} frames ({clip.source}) with torch in float32')
    loop = refreshing(model.loop, clip)
    steps = record(loop, clip)
    parities = {}
    for target in targets:
        say(f'exporting to {target.folder}')
        export(model, target, name=args.name, graphs=graphs[target.dtype])
        if target.backend == 'tensorrt':
            prepare_engines(target)
        parities[target] = measure(loop, target, clip, steps, bound=args.bound)
    report(parities, clip)
    return all(parity is None or parity.passed for parity in parities.values())


def prepare_engines(target: Target) -> None:
    """Build TensorRT's engines, or say how to."""
    if can_run('tensorrt'):
        say("building TensorRT's engines, which takes minutes")
        build_engines(target.folder)
    else:
        say(
            'there is no TensorRT in this onnxruntime, so nothing was built or compared with it; '
            'ONNX Runtime builds engines when they are first used (backend tensorrt). For programs '
            'that use TensorRT itself, run on their GPU:'
        )
        print('\n'.join(trtexec_commands(target.folder)))


def report(parities: dict[Target, Parity | None], clip: Clip) -> None:
    """Print the table and the files."""
    print(
        f'\nDifferences from torch in float32 over {len(clip.frames)} frames ({clip.source}): '
        'step by step on the same\ncrops, in pixels of the crop and of the frame, and with both '
        'running freely, in pixels of the frame.\n'
    )
    print(table(parities), end='\n\n')
    for target, parity in parities.items():
        sizes = ', '.join(
            f'{p.name} {p.stat().st_size / 1e6:.1f} MB' for p in files_of(target.folder)
        )
        print(f'{target.folder}: {sizes}, {REPORT}')
        if parity is not None and not parity.passed:
            print(
                f'  {target.backend} in {target.dtype} is {parity.crop.largest:.2g} px off, bound '
                f'{parity.bound:g}: the files are kept, do not rely on them; look at single '
                'differences with --clip, or export in float32.'
            )


def say(what: str) -> None:
    """Progress."""
    print(f'[{time.strftime("%H:%M:%S")}] {what}', flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Export, compare and print."""
    args = parse_args(argv)
    try:
        passed = run(args)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    sys.exit(0 if passed else 1)


if __name__ == '__main__':
    main()
