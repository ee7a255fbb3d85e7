"""A camera of the network, for tests: Motion JPEG over HTTP, from a thread of this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


@contextmanager
def serve_frames(frames: Sequence[np.ndarray], *, endless: bool = False) -> Iterator[str]:
    """Address of a stream of these frames (uint8 BGR), over and over if it is to have no end."""
    parts = [_part(frame) for frame in frames]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
            self.end_headers()
            try:
                for part in itertools.cycle(parts) if endless else parts:
                    self.wfile.write(part)
            except OSError:  # who watched has gone
                return

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}/live.mjpg'
        finally:
            server.shutdown()
            thread.join()


def _part(frame: np.ndarray) -> bytes:
    code = cv2.imencode('.jpg', frame)[1].tobytes()
    head = f'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(code)}\r\n\r\n'
    return head.encode() + code + b'\r\n'
