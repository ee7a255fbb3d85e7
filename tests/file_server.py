"""A real HTTP server of files that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """How one request is answered; by default as a good server does.

    Attributes:
        status: In place of 200 or 206.
        body: Sent in place of the file.
        cut: The connection ends after so many bytes.
        ranges: Whether a wanted range is heeded.
        validators: Whether there is an ETag.
        headers: Replace those of a good answer; None leaves one out.
        hang: The connection stays open and silent in the end.
    """

    status: int | None = None
    body: bytes | None = None
    cut: int | None = None
    ranges: bool = True
    validators: bool = True
    headers: dict[str, str | None] = field(default_factory=dict)
    hang: bool = False


class FileServer(ThreadingHTTPServer):
    """Serves :attr:`files`, by path.

    Attributes:
        files: Path to content.
        answers: How the next requests are answered; afterwards well.
        requests: Paths and headers of those that came.
        sent: Bytes of content.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.answers: deque[Answer] = deque()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        """Address of a file."""
        return f'http://127.0.0.1:{self.server_port}/{path}'


@contextmanager
def serve() -> Iterator[FileServer]:
    """A server, as long as the context lasts."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, dict(self.headers)))
        answer = server.answers.popleft() if server.answers else Answer()
        content = server.files.get(self.path.lstrip('/')) if answer.body is None else answer.body
        if content is None or (answer.status or 200) >= 400:
            self.send_error(answer.status or 404)
            return
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {'Content-Type': 'application/octet-stream'}
        if answer.validators:
            headers['ETag'] = etag
        wanted = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start, status = 0, 200
        if wanted and answer.ranges and self.headers.get('If-Range', etag) == etag:
            start, status = int(wanted[1]), 206
            headers['Content-Range'] = f'bytes {start}-{len(content) - 1}/{len(content)}'
        headers['Content-Length'] = str(len(content) - start)
        self.send_response(answer.status or status)
        for name, value in {**headers, **answer.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        body = content[start:][: answer.cut]
        server.sent += len(body)
        with suppress(ConnectionError):  # a client may have seen enough
            self.wfile.write(body)
        if answer.hang:
            self.wfile.flush()
            server.closing.wait()

    def log_message(self, *args: object) -> None:
        """Print nothing."""
