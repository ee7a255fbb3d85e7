"""``mixformerv2 demo``: a web page to try a tracker on, served on this computer.

Choose a clip, mark an object in its first frame, track it, and look at the result. Nothing leaves
the computer. Needs Gradio: pip install 'mmtrack_mixformerv2[demo]'
"""

from __future__ import annotations

import argparse

from ..command_line import add_model_options, at_least

_LARGEST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_model_options(parser.add_argument)
    parser.add_argument(
        '--port', type=_parse_port, default=7860, help='0 takes any that is free (default 7860)'
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; 0.0.0.0 lets other computers use the page, too (default '
        '127.0.0.1, this computer only)',
    )
    parser.add_argument('--no-browser', action='store_true', help='do not open a browser')
    parser.add_argument(
        '--max-frames',
        type=at_least(2),
        default=300,
        metavar='N',
        help='of a clip, track the first N frames (default 300)',
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; gives the exit code."""
    from ..web.server import check_gradio, find_port, serve

    check_gradio()  # before the model is loaded, which takes a while
    port = find_port(args.host, args.port)
    from ..apis import Tracker

    print(f'loading {args.model} ...', flush=True)
    tracker = Tracker(args.model, args.checkpoint, color='bgr')
    serve(
        tracker,
        host=args.host,
        port=port,
        max_frames=args.max_frames,
        open_browser=not args.no_browser,
    )
    return 0


def _parse_port(text: str) -> int:
    port = at_least(0)(text)
    if port > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f'{text!r} is above {_LARGEST_PORT}')
    return port
