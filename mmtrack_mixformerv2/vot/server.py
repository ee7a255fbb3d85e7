"""The tracker's side of a TraX conversation: the VOT toolkit asks, a tracker answers.

The toolkit starts a process for each sequence and experiment and talks to it over its standard
input and output, or over a port that the environment variable ``TRAX_SOCKET`` names. In the words
of the protocol the tracker is the server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from ..datasets import read_frame
from ..tracking import TrackResult
from .regions import format_filled_box, format_rectangle, region_to_box
from .trax import VERSION, Message, format_message, parse_message

REGIONS = ('rectangle', 'mask')
_FILE = 'file://'
_LONGEST_REASON = 2000  # characters; it becomes one line of a log


class Tracker(Protocol):
    """What is served: a :class:`~..tracking.SequenceTracker` or whatever has its two methods."""

    def init(self, frame: np.ndarray, box_xywh: np.ndarray) -> Any:
        """Start a sequence; RGB uint8 ``(height, width, 3)`` and x, y, width, height in pixels."""

    def track(self, frame: np.ndarray, state: Any) -> TrackResult:
        """Find the target in the next frame."""


def serve(
    load: Callable[[], Tracker],
    incoming: TextIO,
    outgoing: TextIO,
    *,
    name: str = 'tracker',
    region: str = 'rectangle',
) -> int:
    """Answer until the toolkit ends the conversation.

    Whatever goes wrong is told to the toolkit, which shows it and stops; the traceback goes to
    the standard error output, which the toolkit keeps in its log.

    Args:
        load: Gives the tracker; called before the first message, so that no frame waits for it.
        incoming: Lines from the toolkit.
        outgoing: Lines to the toolkit.
        name: Of the tracker, for the toolkit.
        region: What to ask for and to answer: ``'rectangle'``, or ``'mask'`` to begin with the box
            around a mask and to answer boxes as filled masks.

    Returns:
        Exit code of the process: 0, or 1 after an error.

    Raises:
        ValueError: If ``region`` is unknown.
    """
    if region not in REGIONS:
        raise ValueError(f'region is {region!r}, expected one of {", ".join(REGIONS)}')

    def send(kind: str, *arguments: str, properties: Mapping[str, str] | None = None) -> None:
        outgoing.write(format_message(Message(kind, arguments, properties or {})))
        outgoing.flush()

    hello = {
        'trax.version': str(VERSION),
        'trax.name': name,
        'trax.region': region,
        'trax.image': 'path',
    }
    greeted = False
    try:
        tracker = load()
        send('hello', properties=hello)
        greeted = True
        for answer, properties in _converse(tracker, incoming, region):
            send('state', answer, properties=properties)
    except Exception as error:  # whatever it is, the toolkit has to know
        traceback.print_exc()
        reason = ' '.join(str(error).split()) or type(error).__name__
        with contextlib.suppress(OSError):  # the toolkit may be gone
            if not greeted:
                send('hello', properties=hello)
            send('quit', properties={'trax.reason': reason[:_LONGEST_REASON]})
        return 1
    return 0


def _converse(
    tracker: Tracker, incoming: TextIO, region: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Regions and properties to send, one for each request of the toolkit."""
    state: Any = None
    for line in incoming:
        message = parse_message(line)
        if message is None:
            continue
        if message.kind == 'quit':
            return
        if message.kind == 'initialize':
            image, target = message.arguments
            frame, box = _read_image(image), region_to_box(target)
            state, score = tracker.init(frame, box), None
        elif message.kind == 'frame' and state is not None:
            frame = _read_image(message.arguments[0])
            box, score, *_ = tracker.track(frame, state)
        else:
            raise ValueError(
                f'the toolkit sent {message.kind!r}, expected '
                f'{"frame, " if state is not None else ""}initialize or quit.'
            )
        answer = (
            format_rectangle(box)
            if region == 'rectangle'
            else format_filled_box(box, *frame.shape[:2])
        )
        yield answer, {} if score is None else {'confidence': f'{score:.6f}'}


def _read_image(image: str) -> np.ndarray:
    """RGB view ``(height, width, 3)`` of the file that a message names."""
    if not image.startswith(_FILE):
        raise ValueError(
            f'the toolkit sent the image {image[:60]!r}, expected a path that begins with {_FILE}'
        )
    path = image[len(_FILE) :]
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'the toolkit named the image {path!r}, which is no file; look into the folder '
            'sequences of the workspace.'
        )
    return read_frame(path)[..., ::-1]


@contextlib.contextmanager
def toolkit_streams() -> Iterator[tuple[TextIO, TextIO]]:
    """The two streams that lead to the toolkit.

    While they are open, everything else that this process prints goes to the standard error
    output, also what libraries print from C.
    """
    if port := os.environ.get('TRAX_SOCKET'):
        with (
            socket.create_connection(('127.0.0.1', int(port))) as connection,
            connection.makefile('r', encoding='utf-8') as incoming,
            connection.makefile('w', encoding='utf-8') as outgoing,
        ):
            yield incoming, outgoing
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, 'w', encoding='utf-8', closefd=False) as outgoing:
            yield sys.stdin, outgoing
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
