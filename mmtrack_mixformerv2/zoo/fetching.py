"""From the name of a model to a file on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import posixpath
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from ..files import file_sha256
from . import settings
from .archives import content_of, extract_archive
from .downloading import PATIENCE, Patience, RemoteFile, download
from .errors import NotHostedError, OfflineError, StorageError, WrongFileError, ZooError
from .index import ZooModel, find_model
from .storage import make_folder, storage_errors

# Exported models hardly compress; an archive that grows more is not one.
_MAX_GROWTH = 20
_SUFFIXES = ('.pth', '.pt', '.tar', '.bin', '.safetensors', '.ckpt', '.onnx', '.xml')
_WAIT = 3600.0  # seconds for another process
_log = logging.getLogger(__name__)


def resolve_checkpoint(checkpoint: str | os.PathLike) -> Path | str:
    """What a checkpoint argument stands for: a file, an address, or a model of the zoo.

    Args:
        checkpoint: A path that exists is taken as it is, and so is an address (``https://...``).

    Returns:
        The path, which need not exist if it looks like one, or the address.

    Raises:
        UnknownModelError: If it is no path and no model has the name.
        ZooError: If the weights of the model are not to be had.
    """
    text = str(checkpoint)
    if '://' in text:
        return text
    path = Path(text)
    looks_like_path = path.suffix in _SUFFIXES or path.name != text or text.startswith('~')
    if looks_like_path or path.exists():
        return path
    return fetch_weights(text)


def fetch_weights(
    name: str,
    *,
    progress: bool = True,
    cache: str | os.PathLike | None = None,
    mirrors: Sequence[str] = (),
    patience: Patience = PATIENCE,
) -> Path:
    """The verified weights of a model: from the package, from the cache, or from the network.

    Args:
        name: Of the model.
        progress: Whether to show a bar while downloading, if the output is a terminal.
        cache: Folder of downloaded files, see :func:`.settings.cache_folder`.
        mirrors: Addresses of folders to ask for the file before its own address.
        patience: How long to try.

    Returns:
        The file, or the folder of an exported model.

    Raises:
        UnknownModelError: If no model has the name.
        NotHostedError: If its authors publish it and no such file was taken into the cache yet.
        WrongFileError: If a file of the package or in the cache is not what it should be.
        DownloadError: If it cannot be downloaded.
        OfflineError: If it would have to be, and the network is forbidden.
        StorageError: If it cannot be written.
    """
    model = find_model(name)
    if isinstance(model.weights, Path):
        return _packaged(model)
    path = cached_path(model, cache)
    if model.weights is None:
        return _converted(model, path)
    if (found := cached_weights(model, cache)) is not None:
        return found
    if settings.offline():
        raise OfflineError(
            f'{model.name} is not in {path.parent}, and {settings.OFFLINE} forbids to download '
            f'{model.weights}. Unset it, or take a file that you have: '
            f'mixformerv2 download {model.name} --from FILE'
        )
    folders = settings.mirrors(mirrors)
    file_name = posixpath.basename(urlsplit(model.weights).path)
    urls = [*(f'{folder}/{file_name}' for folder in folders), model.weights]
    remote = RemoteFile(model.name, urls, model.sha256, model.size)
    with lock(path):
        if (found := cached_weights(model, cache)) is not None:  # another process was faster
            return found
        target = _archive_path(model, path)
        download(remote, target, progress=progress, patience=patience)
        return _unpacked(model, target, path)


def cached_path(model: ZooModel, cache: str | os.PathLike | None = None) -> Path:
    """Where the weights of a model are kept that do not come with the package; need not exist."""
    folder = settings.cache_folder(cache)
    if model.weights is None:
        return folder / f'{model.name}.pth'
    kind = model.archive_kind
    suffix = '' if kind else Path(urlsplit(model.weights).path).suffix or '.pth'
    return folder / f'{model.name}-{model.sha256[:8]}{suffix}'


def cached_weights(model: ZooModel, cache: str | os.PathLike | None = None) -> Path | None:
    """The weights of a model that were downloaded or converted, if they are whole.

    A downloaded file that is damaged counts as none; it is replaced by the next download.

    Raises:
        WrongFileError: If a converted file is damaged.
    """
    path = cached_path(model, cache)
    if model.weights is None:
        return _converted(model, path) if path.is_file() else None
    if model.archive_kind:
        return content_of(path) if path.is_dir() else None
    if not path.is_file():
        return None
    if wrong := _difference(path, model.sha256, model.size):
        _log.warning('%s is damaged (%s) and is fetched again.', path, wrong)
        return None
    return path


def take_file(model: ZooModel, file: Path, cache: str | os.PathLike | None = None) -> Path:
    """Take a file into the cache that is what would be downloaded.

    Returns:
        The weights in the cache.

    Raises:
        FileNotFoundError: If there is no such file.
        WrongFileError: If it is another file.
        ArchiveError: If it is an archive that cannot be unpacked.
        StorageError: If the cache cannot be written.
    """
    if not isinstance(model.weights, str):
        raise ZooError(f'the weights of {model.name} come with the package: no file is needed.')
    if not file.is_file():
        raise FileNotFoundError(f'there is no file {file}')
    if wrong := _difference(file, model.sha256, model.size):
        raise WrongFileError(
            f'{file} is not the file of {model.name}: {wrong}. Download {model.weights} again.'
        )
    path = cached_path(model, cache)
    with lock(path):
        target = _archive_path(model, path)
        partial = target.with_name(target.name + '.partial')
        with storage_errors(partial, model.size):
            try:
                shutil.copyfile(file, partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        return _unpacked(model, target, path)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Keep other processes away from a file of the cache, whose folder is created.

    The operating system holds the lock, so that nothing is left behind by a process that is killed.

    Raises:
        StorageError: If the folder cannot be written, or another process takes too long.
    """
    make_folder(path.parent)
    guard = FileLock(path.with_name(path.name + '.lock'))
    try:
        _acquire(guard, 0)
    except Timeout:
        _log.warning('Another process is fetching %s; waiting for it.', path.name)
        try:
            _acquire(guard, _WAIT)
        except Timeout:
            raise StorageError(
                f'another process has held {guard.lock_file} for an hour; end it and try again.'
            ) from None
    try:
        yield
    finally:
        guard.release()


def _acquire(guard: FileLock, timeout: float) -> None:
    try:
        guard.acquire(timeout=timeout)
    except Timeout:
        raise
    except OSError as error:
        with storage_errors(Path(guard.lock_file), 0):
            raise error


def not_hosted(model: ZooModel) -> NotHostedError:
    """What to do for weights that only their authors have."""
    first = f'download {model.published_file}; where it is, says {model.published_at}'
    if not model.published_at:
        first = f'get {model.published_file}, as the published trainer writes it, or train it anew'
    return NotHostedError(
        f'the weights of {model.name} come from its authors and are not hosted here:\n'
        f'  1. {first}\n'
        f'  2. mixformerv2 download {model.name} --from {model.published_file}\n'
        f'The second step converts and verifies the file; then the name {model.name} works '
        'wherever a checkpoint is taken.'
    )


def checksum_path(path: Path) -> Path:
    """Where the SHA-256 of a converted file is kept, as ``sha256sum --check`` reads it."""
    return path.with_name(path.name + '.sha256')


def _packaged(model: ZooModel) -> Path:
    path = model.weights
    if not path.is_file():
        raise WrongFileError(f'{path}, the weights of {model.name}, is missing; install it again.')
    if wrong := _difference(path, model.sha256, model.size):
        raise WrongFileError(
            f'{path} is not the file that {model.index} describes: {wrong}. Install the package '
            'again; whoever changed the weights on purpose runs '
            'tools/model_converters/refresh_metafiles.py.'
        )
    return path


def _converted(model: ZooModel, path: Path) -> Path:
    if not path.is_file():
        raise not_hosted(model)
    sums = checksum_path(path)
    expected = sums.read_text(encoding='utf-8').split()[:1] if sums.is_file() else []
    if expected != [file_sha256(path)]:
        raise WrongFileError(
            f'{path} is damaged, or no conversion of this machine wrote it; convert again: '
            f'mixformerv2 download {model.name} --from {model.published_file}'
        )
    return path


def _archive_path(model: ZooModel, path: Path) -> Path:
    return path.with_name(path.name + (model.archive_kind or ''))


def _unpacked(model: ZooModel, file: Path, path: Path) -> Path:
    """The weights, of which a file has come that may be an archive."""
    if not model.archive_kind:
        return path
    try:
        return extract_archive(file, path, max_bytes=_MAX_GROWTH * model.size)
    finally:
        file.unlink(missing_ok=True)


def _difference(path: Path, sha256: str | None, size: int | None) -> str:
    """How a file differs from what it should be; '' if it does not."""
    found = path.stat().st_size
    if size not in (None, found):
        return f'it has {found} bytes, expected {size}'
    if sha256 is not None and (digest := file_sha256(path)) != sha256:
        return f'its SHA-256 is {digest[:12]}..., expected {sha256[:12]}...'
    return ''
