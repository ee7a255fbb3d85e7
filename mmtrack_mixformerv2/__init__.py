"""MixFormerV2 for MMTracking 1.x; importing it registers mmtrack's parts and ours.

Without OpenMMLab and torch, :mod:`.runtime` and :mod:`.tracking` are there for exported models.
"""

from importlib.util import find_spec
from typing import NoReturn

from .version import __version__

__all__ = ['__version__']

if find_spec('mmengine') is not None:
    from .compat import ensure_mmtrack

    ensure_mmtrack()

    from mmtrack.utils import register_all_modules

    from . import datasets, engine, evaluation, models

    # mmtrack fills its registries only on request. The default scope is left to whoever builds.
    register_all_modules(init_default_scope=False)

    __all__ += ['datasets', 'engine', 'evaluation', 'models']
else:

    def __getattr__(name: str) -> NoReturn:
        if name in ('datasets', 'engine', 'evaluation', 'models'):
            raise ImportError(
                f'mmtrack_mixformerv2.{name} needs MMTracking, which is not installed; exported '
                'models run without it (mmtrack_mixformerv2.runtime). To install it:\n'
                '    python -m pip install "mmtrack_mixformerv2[full]"\n'
                '    python -m pip install --no-deps mmtrack==1.0.0rc1 mmcv-lite==2.1.0'
            )
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
