"""What can be wrong with an exported model and with what runs it."""

from __future__ import annotations

import importlib
from types import ModuleType


class BackendNotInstalled(ImportError):
    """A runtime, or a part of one, is missing; the message has the command that installs it."""


class ExportedModelError(ValueError):
    """Files of an exported model are missing, damaged, of another version, or no pair."""


class CacheMismatch(ValueError):
    """Templates were encoded by another model than the one that is to search with them."""


def import_runtime(module: str) -> ModuleType:
    """Import a runtime whose package is called as its module is.

    Raises:
        BackendNotInstalled: If it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendNotInstalled(
            f'{module} cannot be imported ({error}); install it with\n'
            f'    python -m pip install {module}'
        ) from error
