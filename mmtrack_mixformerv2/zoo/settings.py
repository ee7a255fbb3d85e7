"""Where downloaded files are kept and where they come from: the environment's say.

``MIXFORMERV2_HOME``
    Folder of downloaded and converted weights; else ``$XDG_CACHE_HOME/mixformerv2``, else
    ``~/.cache/mixformerv2``.
``MIXFORMERV2_MIRRORS``
    Addresses of folders, separated by spaces, that are asked for a file before its own address.
``MIXFORMERV2_OFFLINE``
    ``1`` forbids all use of the network.
``MIXFORMERV2_INDEX``
    More index files, separated as in ``PATH``: models of your own under names of your own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .errors import ZooError

HOME = 'MIXFORMERV2_HOME'
MIRRORS = 'MIXFORMERV2_MIRRORS'
OFFLINE = 'MIXFORMERV2_OFFLINE'
INDEX = 'MIXFORMERV2_INDEX'


def cache_folder(folder: str | os.PathLike | None = None) -> Path:
    """Folder of downloaded and converted weights; need not exist.

    Args:
        folder: In place of what the environment says.
    """
    if folder is not None:
        return Path(folder).expanduser()
    if home := os.environ.get(HOME):
        return Path(home).expanduser()
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'mixformerv2'


def offline() -> bool:
    """Whether the network is forbidden."""
    return os.environ.get(OFFLINE, '').strip().lower() not in ('', '0', 'no', 'false', 'off')


def mirrors(given: Sequence[str] = ()) -> list[str]:
    """Addresses to ask first: those given, then those of the environment.

    Raises:
        ZooError: If one is no address.
    """
    found = [*given, *os.environ.get(MIRRORS, '').split()]
    for mirror in found:
        check_address(mirror, 'the mirror')
    return list(dict.fromkeys(mirror.rstrip('/') for mirror in found))


def index_files() -> list[Path]:
    """Index files besides that of the package."""
    return [Path(p).expanduser() for p in os.environ.get(INDEX, '').split(os.pathsep) if p]


def check_address(url: str, what: str) -> None:
    """Make sure that something can be downloaded from an address.

    Raises:
        ZooError: If it is no address of the web.
    """
    parts = urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.netloc:
        raise ZooError(f'{what} is {url!r}; expected an address such as https://host/folder.')
