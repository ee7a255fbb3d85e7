"""Downloads that can be cut off: resumed, checked, and complete before they get their name.

A file grows as ``NAME.part``; beside it ``NAME.part.json`` remembers the address that it came from
and the server's validator, so that a later attempt, or a later process, asks for the rest only. An
answer with the rest must fit to the byte; any other answer starts over. Whatever servers do, the
size is never exceeded and the SHA-256 decides.
"""

from __future__ import annotations

import email.message
import http.client
import json
import logging
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from ..files import file_sha256, replace_file
from ..version import __version__
from .errors import DownloadError
from .storage import MIB, check_space, storage_errors, write_all

_BLOCK = 1 << 18
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A file to download.

    Attributes:
        name: What to call it in messages.
        urls: Where it is, in the order in which to ask.
        sha256: Of its bytes, 64 hexadecimal digits.
        size: In bytes.
    """

    name: str
    urls: Sequence[str]
    sha256: str
    size: int


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: Per address.
        timeout: Seconds without a byte after which a connection counts as dead.
        pause: Seconds before the second attempt; doubled before each further one, 30 at most.
    """

    attempts: int = 5
    timeout: float = 30.0
    pause: float = 1.0


PATIENCE = Patience()


class _TryAgain(Exception):
    """This attempt failed; another one at the same address may succeed."""


class _NotHere(Exception):
    """This address does not have the file."""


def download(
    remote: RemoteFile,
    destination: Path,
    *,
    progress: bool = True,
    patience: Patience = PATIENCE,
) -> Path:
    """Download a file, or the rest of it.

    One process at a time may do that for a destination.

    Args:
        remote: The file.
        destination: Gets the file when it is complete and its SHA-256 is right, not before.
        progress: Whether to show a bar, if the output is a terminal.
        patience: How long to try.

    Returns:
        ``destination``.

    Raises:
        DownloadError: If no address has the file; what came is kept for the next call.
        StorageError: If it cannot be written.
    """
    part = _Part(destination, remote)
    failures = []
    with tqdm(
        total=remote.size,
        desc=remote.name,
        unit='B',
        unit_scale=True,
        unit_divisor=1024,
        disable=None if progress else True,  # None: where the output is no terminal
    ) as bar:
        for url in remote.urls:
            try:
                _from_address(url, part, bar, patience)
            except _NotHere as error:
                failures.append(f'{url}: {error}')
                continue
            part.finish(destination)
            return destination
    raise DownloadError(_failure(remote, failures, part))


def _failure(remote: RemoteFile, failures: Sequence[str], part: _Part) -> str:
    lines = [f'{remote.name} could not be downloaded:', *failures]
    if part.size:
        lines.append(
            f'{part.size / MIB:.1f} of {remote.size / MIB:.1f} MiB are kept in {part.path}; the '
            'same command goes on from there.'
        )
    lines.append(
        'Check the network, or name another source with --mirror or MIXFORMERV2_MIRRORS. A copy '
        f'of the file will do: mixformerv2 download {remote.name} --from FILE'
    )
    return '\n  '.join(lines)


def _from_address(url: str, part: _Part, bar: tqdm, patience: Patience) -> None:
    """Complete the file from one address.

    Raises:
        _NotHere: If that fails.
    """
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(min(patience.pause * 2 ** (attempt - 1), 30.0))
        resumed = part.size > 0
        try:
            _attempt(url, part, bar, patience.timeout)
        except _TryAgain as error:
            reason = str(error)
            _log.info('%s: %s', url, reason)
            continue
        found = file_sha256(part.path)
        if found == part.remote.sha256:
            return
        part.clear()
        reason = f'sent {found[:12]}... (SHA-256), expected {part.remote.sha256[:12]}...'
        if not resumed:  # else the pieces may be of two versions of the file
            raise _NotHere(f'{reason}: another file')
    raise _NotHere(f'{reason} ({patience.attempts} attempts)')


def _attempt(url: str, part: _Part, bar: tqdm, timeout: float) -> None:
    """Ask once for what is missing, and append what comes.

    Raises:
        _TryAgain: If the file is not complete then.
        _NotHere: If it will never be.
    """
    remote = part.remote
    if part.size > remote.size:
        part.clear()
    if part.size == remote.size:
        return
    check_space(part.path, remote.size - part.size)
    try:
        response = urllib.request.urlopen(_request(url, part), timeout=timeout)
    except urllib.error.HTTPError as error:
        _explain_status(error, part)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _explain_connection(error)
    with response:
        _start(response.status, response.headers, part)
        part.remember(url, response.headers)
        _append(response, part, bar)


def _request(url: str, part: _Part) -> urllib.request.Request:
    headers = {'User-Agent': f'mmtrack_mixformerv2/{__version__}', 'Accept-Encoding': 'identity'}
    if part.size:
        headers['Range'] = f'bytes={part.size}-'
        if validator := part.validator(url):
            headers['If-Range'] = validator
    return urllib.request.Request(url, headers=headers)


def _explain_status(error: urllib.error.HTTPError, part: _Part) -> NoReturn:
    """Raise what an answer without the file means."""
    with error:
        reason = f'HTTP {error.code} {error.reason}'
    if error.code == 416 and part.size:  # the part is no part of what is there now
        part.clear()
        raise _TryAgain(reason) from error
    raise (_TryAgain if error.code in _TEMPORARY else _NotHere)(reason) from error


def _explain_connection(error: Exception) -> NoReturn:
    """Raise what a connection that did not come about means."""
    cause = getattr(error, 'reason', error)
    if isinstance(cause, socket.gaierror):
        raise _NotHere(f'the host cannot be found ({cause}); is there a network?') from error
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise _NotHere(f'its certificate is not valid: {cause.verify_message}') from error
    if isinstance(cause, TimeoutError):
        raise _TryAgain('no answer in time') from error
    if isinstance(error, (ValueError, http.client.InvalidURL)):
        raise _NotHere(f'it is no address: {error}') from error
    raise _TryAgain(str(cause) or type(cause).__name__) from error


def _start(status: int, headers: email.message.Message, part: _Part) -> None:
    """Find out whether an answer continues the part or begins the file anew, and how long it is."""
    encoding = headers.get('Content-Encoding', 'identity').strip().lower()
    if encoding != 'identity':
        raise _NotHere(f'answers with the Content-Encoding {encoding}')
    if headers.get_content_type() == 'text/html':
        raise _NotHere('answers with a web page')
    if status not in (200, 206):
        raise _NotHere(f'HTTP {status}')
    start = part.size if status == 206 else 0
    length = headers.get('Content-Length', '').strip()
    if length not in ('', str(part.remote.size - start)):
        raise _NotHere(f'announces {length} bytes, expected {part.remote.size - start}')
    if status == 200:
        part.clear()
    elif not _continues(headers.get('Content-Range', ''), start, part.remote.size):
        part.clear()
        raise _TryAgain(f'answers with the range {headers.get("Content-Range")!r}')


def _continues(content_range: str, start: int, size: int) -> bool:
    match = re.fullmatch(r'bytes (\d+)-(\d+)/(\d+|\*)', content_range.strip())
    return bool(match) and match.groups() in (
        (str(start), str(size - 1), str(size)),
        (str(start), str(size - 1), '*'),
    )


def _append(response: http.client.HTTPResponse, part: _Part, bar: tqdm) -> None:
    """Write what comes, never more than is missing."""
    size = part.size
    with storage_errors(part.path, part.remote.size), part.path.open('ab', buffering=0) as file:
        bar.n = size
        while size < part.remote.size:
            block = _read(response, min(_BLOCK, part.remote.size - size))
            if not block:
                raise _TryAgain(f'the connection ended after {size} of {part.remote.size} bytes')
            size += len(block)
            write_all(file, block)
            bar.update(size - bar.n)
    if _read(response, 1):
        part.clear()
        raise _NotHere(f'sends more than the {part.remote.size} bytes of the file')


def _read(response: http.client.HTTPResponse, count: int) -> bytes:
    try:
        return response.read1(count)  # what is there: a silent connection must not lose it
    except TimeoutError as error:
        raise _TryAgain('the connection was silent for too long') from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f'the connection broke ({error or type(error).__name__})') from error


class _Part:
    """The part of a file that is there, and where it came from."""

    def __init__(self, destination: Path, remote: RemoteFile) -> None:
        self.remote = remote
        self.path = destination.with_name(destination.name + '.part')
        self._notes = destination.with_name(destination.name + '.part.json')

    @property
    def size(self) -> int:
        """Bytes that are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def validator(self, url: str) -> str | None:
        """What makes the server of an address tell whether its file is still that of the part."""
        notes = self._read_notes()
        return notes.get('validator') if notes.get('url') == url else None

    def remember(self, url: str, headers: email.message.Message) -> None:
        """Note where the next bytes come from."""
        etag = headers.get('ETag', '')
        validator = etag if etag.startswith('"') else headers.get('Last-Modified')
        notes = {'url': url, 'validator': validator}
        if self.size and self._read_notes() != notes:
            notes['validator'] = None  # pieces of two sources; only the SHA-256 tells then
        with storage_errors(self.path, self.remote.size):
            replace_file(self._notes, json.dumps(notes).encode())

    def clear(self) -> None:
        """Start over."""
        with storage_errors(self.path, self.remote.size):
            self.path.unlink(missing_ok=True)

    def finish(self, destination: Path) -> None:
        """Give the file its name."""
        with storage_errors(self.path, self.remote.size):
            self.path.replace(destination)
            self._notes.unlink(missing_ok=True)

    def _read_notes(self) -> dict[str, str | None]:
        try:
            notes = json.loads(self._notes.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}
