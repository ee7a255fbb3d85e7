"""MixFormerV2 for MMTracking 1.x; importing it registers mmtrack's parts and ours.

Without OpenMMLab and torch, :mod:`.runtime` and :mod:`.tracking` are there for exported models.
The command ``mixformerv2`` imports OpenMMLab when it needs it: that takes seconds.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import datasets, engine, evaluation, models
    from .apis import Tracker

__all__ = ['Tracker', '__version__', 'datasets', 'engine', 'evaluation', 'models', 'register']

_PARTS = ('datasets', 'engine', 'evaluation', 'models')
_COMMAND = 'mixformerv2_cli'  # the module that the command begins with


def register() -> None:
    """Make MMTracking importable, and fill its registries with its parts and ours.

    Importing this package does it, except within the command ``mixformerv2`` and for ``python -m``;
    another time it does nothing.

    Raises:
        ImportError: If a package is missing; the message names the command that installs it.
    """
    if find_spec('mmengine') is None:
        raise _not_installed('this')
    from .compat import ensure_mmtrack

    ensure_mmtrack()

    from mmtrack.utils import register_all_modules

    for name in _PARTS:
        importlib.import_module(f'.{name}', __name__)

    # mmtrack fills its registries only on request. The default scope is left to whoever builds.
    register_all_modules(init_default_scope=False)


def __getattr__(name: str) -> Any:
    if name == 'Tracker':
        from .apis import Tracker

        return Tracker
    if name in _PARTS:
        if find_spec('mmengine') is None:
            raise _not_installed(f'{__name__}.{name}')
        register()
        return sys.modules[f'{__name__}.{name}']
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _not_installed(what: str) -> ImportError:
    return ImportError(
        f'{what} needs MMTracking, which is not installed; exported models run without it '
        '(mmtrack_mixformerv2.runtime). To install it:\n'
        '    python -m pip install "mmtrack_mixformerv2[full]"\n'
        '    python -m pip install --no-deps mmtrack==1.0.0rc1 mmcv-lite==2.1.0'
    )


# `python -m` shows itself in this way while it imports the package of the module that it will run.
_as_command = _COMMAND in sys.modules or sys.argv[:1] == ['-m']

if find_spec('mmengine') is not None and not _as_command:
    register()
