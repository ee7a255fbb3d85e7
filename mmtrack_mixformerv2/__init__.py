"""MixFormerV2 for MMTracking 1.x; importing it registers mmtrack's parts and ours."""

from .compat import ensure_mmtrack
from .version import __version__

ensure_mmtrack()

from mmtrack.utils import register_all_modules  # noqa: E402

from . import datasets, engine, evaluation, models  # noqa: E402

# mmtrack fills its registries only on request. The default scope is left to whoever builds.
register_all_modules(init_default_scope=False)

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models']
