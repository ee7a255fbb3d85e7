"""Messages of the TraX protocol, through which the VOT toolkit and a tracker talk.

Written from the public specification (https://trax.readthedocs.io, «TraX protocol specification»);
nothing of the reference library is used. A message is one line::

    @@TRAX:initialize "file:///data/00000001.jpg" "10,20,30,40" "key=value"

with a fixed number of arguments, which depends on the kind, and then any number of properties.
Lines without the prefix are no messages. This is version 1 of the protocol: one object, one image
per frame, and both come with ``initialize``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

PREFIX = '@@TRAX:'
VERSION = 1
# Number of arguments of each kind, and who sends it.
_ARGUMENTS = {
    'hello': 0,  # tracker
    'initialize': 2,  # toolkit: image and region
    'frame': 1,  # toolkit: image
    'state': 1,  # tracker: region
    'quit': 0,  # both
}
_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_ESCAPE = re.compile(r'\\(.)')
_KEY = re.compile(r'[A-Za-z0-9._]{1,64}')


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: ``'hello'``, ``'initialize'``, ``'frame'``, ``'state'`` or ``'quit'``.
        arguments: As many as the kind has.
        properties: Named values.
    """

    kind: str
    arguments: tuple[str, ...] = ()
    properties: Mapping[str, str] = {}


def parse_message(line: str) -> Message | None:
    """Read one line.

    Returns:
        The message, or None for a line that is none.

    Raises:
        ValueError: If the line begins as a message and is not a valid one.
    """
    if not line.startswith(PREFIX):
        return None
    kind, _, rest = line[len(PREFIX) :].rstrip().partition(' ')
    if kind not in _ARGUMENTS:
        raise ValueError(
            f'got the TraX message {kind!r}, expected one of {", ".join(_ARGUMENTS)}; the toolkit '
            f'has to speak version {VERSION} of the protocol.'
        )
    values = _split(rest)
    wanted = _ARGUMENTS[kind]
    if len(values) < wanted:
        raise ValueError(
            f'the TraX message {kind!r} has {len(values)} arguments, expected {wanted}: {rest!r}.'
        )
    properties = {}
    for value in values[wanted:]:
        key, found, text = value.partition('=')
        if not found or not _KEY.fullmatch(key):
            raise ValueError(
                f'the TraX message {kind!r} has {value!r} after its {wanted} arguments, expected '
                'KEY=VALUE with a key of letters, digits, dots and underscores.'
            )
        properties[key] = text
    return Message(kind, tuple(values[:wanted]), properties)


def format_message(message: Message) -> str:
    """Write one line, with its newline.

    Raises:
        ValueError: If the message has another number of arguments than its kind, or a key that
            the protocol does not allow.
    """
    wanted = _ARGUMENTS[message.kind]
    if len(message.arguments) != wanted:
        raise ValueError(
            f'the TraX message {message.kind!r} got {len(message.arguments)} arguments, expected '
            f'{wanted}.'
        )
    for key in message.properties:
        if not _KEY.fullmatch(key):
            raise ValueError(
                f'a TraX property is called {key!r}, expected 1 to 64 letters, digits, dots and '
                'underscores.'
            )
    pairs = [f'{key}={value}' for key, value in message.properties.items()]
    words = [PREFIX + message.kind, *(_quote(value) for value in [*message.arguments, *pairs])]
    return ' '.join(words) + '\n'


def _split(text: str) -> list[str]:
    """Values between spaces, quoted or not."""
    values, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(
                f'the arguments {text!r} of a TraX message cannot be read from character '
                f'{position} on, expected values between double quotes.'
            )
        quoted, plain = match.groups()
        values.append(_ESCAPE.sub(_unescape, quoted) if plain is None else plain)
        position = match.end()
    return values


def _unescape(match: re.Match) -> str:
    return '\n' if match.group(1) == 'n' else match.group(1)


def _quote(value: str) -> str:
    escaped = value.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
    return f'"{escaped}"'
