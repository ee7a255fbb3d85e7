"""Serves the page on this computer until it is told to stop; asks nothing of the network."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..apis import Tracker

_LARGEST_UPLOAD = '500mb'
_LONGEST_QUEUE = 20  # clicks that wait
_MOST_PAGES = 50  # whose clips and results are kept


def check_gradio() -> None:
    """Raise ImportError, which says what to install, where there is no Gradio."""
    if find_spec('gradio') is None:
        raise ImportError(
            'the web page needs Gradio, which is not installed: '
            "pip install 'mmtrack_mixformerv2[demo]'"
        )


def find_port(host: str, port: int) -> int:
    """A port that can be listened on.

    Args:
        host: Name or address of this computer.
        port: 0 for any.

    Raises:
        OSError: If it is in use, may not be used, or the host is not this computer.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise OSError(
                f'cannot listen on port {port} of {host} ({getattr(error, "strerror", error)}); '
                'choose another one with --port, or --port 0 for any that is free'
            ) from error
        return probe.getsockname()[1]


def serve(
    tracker: Tracker,
    *,
    host: str,
    port: int,
    max_frames: int,
    open_browser: bool,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; then all files of its runs are removed.

    Args:
        tracker: Takes BGR frames.
        host: Where to listen; ``'127.0.0.1'`` is for this computer only.
        port: As :func:`find_port` gave it.
        max_frames: Of a clip, so many are tracked.
        open_browser: Whether to show the page.

    Raises:
        ImportError: If Gradio is not installed.
    """
    check_gradio()
    with tempfile.TemporaryDirectory(prefix='mixformerv2_demo_', ignore_cleanup_errors=True) as one:
        _set_environment(Path(one))
        from .page import build_page, launch_options

        ended = threading.Event()
        page = build_page(tracker, Path(one), max_frames, ended)
        page.queue(default_concurrency_limit=1, max_size=_LONGEST_QUEUE, api_open=False)
        page.launch(
            server_name=host,
            server_port=port,
            max_file_size=_LARGEST_UPLOAD,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            show_error=True,
            state_session_capacity=_MOST_PAGES,
            **launch_options(),
        )
        try:
            address = f'http://{_shown_host(host)}:{port}'
            print(f'{address}  (Ctrl-C ends)', flush=True)
            if open_browser:
                webbrowser.open(address)
            _wait_for_signal(ended)
        finally:
            ended.set()
            page.close(verbose=False)
    print('ended', flush=True)


def _set_environment(folder: Path) -> None:
    """Settings that Gradio and OpenCV read from the environment of this process."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder / 'gradio'),
        GRADIO_ANALYTICS_ENABLED='False',
        HF_HUB_OFFLINE='1',
        # An uploaded file may be a list of addresses: FFmpeg is to open nothing but files.
        OPENCV_FFMPEG_CAPTURE_OPTIONS='protocol_whitelist;file',
        OPENCV_FFMPEG_LOGLEVEL='-8',
    )
    # Gradio asks itself over HTTP whether it has started, which is no matter for a proxy.
    for name in ('no_proxy', 'NO_PROXY'):
        others = os.environ.get(name)
        os.environ[name] = ','.join(filter(None, [others, 'localhost,127.0.0.1,::1']))
    import cv2

    if hasattr(cv2, 'setLogLevel'):
        cv2.setLogLevel(0)


def _shown_host(host: str) -> str:
    shown = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)
    return f'[{shown}]' if ':' in shown else shown


def _wait_for_signal(ended: threading.Event) -> None:
    """Wait for the first signal, and set the event; the second one ends the process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(*_: object) -> None:
        ended.set()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        signal.signal(number, note)
    # Windows delivers signals to a waiting thread only after the wait.
    while not ended.wait(1.0 if sys.platform == 'win32' else None):
        pass
