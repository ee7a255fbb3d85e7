"""Models that have names: where their configs and weights are, and how they get here.

Needs neither torch nor OpenMMLab, except :func:`convert_weights`.
"""

from .archives import extract_archive
from .downloading import Patience, RemoteFile, download
from .errors import (
    ArchiveError,
    DownloadError,
    NotHostedError,
    OfflineError,
    StorageError,
    UnknownModelError,
    WrongFileError,
    ZooError,
)
from .fetching import (
    cached_path,
    cached_weights,
    fetch_weights,
    resolve_checkpoint,
    take_file,
)
from .index import ZooModel, find_model, is_zoo_name, list_models, read_index, resource_root
from .published import convert_weights
from .settings import cache_folder

__all__ = [
    'ArchiveError',
    'DownloadError',
    'NotHostedError',
    'OfflineError',
    'Patience',
    'RemoteFile',
    'StorageError',
    'UnknownModelError',
    'WrongFileError',
    'ZooError',
    'ZooModel',
    'cache_folder',
    'cached_path',
    'cached_weights',
    'convert_weights',
    'download',
    'extract_archive',
    'fetch_weights',
    'find_model',
    'is_zoo_name',
    'list_models',
    'read_index',
    'resolve_checkpoint',
    'resource_root',
    'take_file',
]
