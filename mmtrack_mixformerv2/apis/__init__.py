"""Trackers for programs: ``Tracker`` with init and update, and OpenMMLab's names.

:class:`Tracker` can be imported without torch and OpenMMLab, and then opens exported models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .tracker import Tracker, open_tracker

if TYPE_CHECKING:
    from .loading import inference_sot, init_model, load_tracker

__all__ = ['Tracker', 'inference_sot', 'init_model', 'load_tracker', 'open_tracker']


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from .. import register

    register()
    from . import loading

    return getattr(loading, name)
