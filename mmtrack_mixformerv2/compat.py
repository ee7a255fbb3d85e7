"""Makes MMTracking 1.0.0rc1 importable in a current environment.

MMTracking 1.x was left at a release candidate whose version gates, optional imports and compiled
operators refuse every package set that a current Python can install. :func:`ensure_mmtrack` imports
it anyway and changes as little as possible:

* *Version gates.* mmtrack wants ``mmcv<2.0.0``, mmdet and mmcls want ``mmcv<2.1.0``; the newer
  releases work. mmcv shows another version **only while these three are imported**; the true one is
  restored even when the import fails.
* *Compiled operators.* mmcv-lite ships ``mmcv.ops`` without the extension ``mmcv._ext``, and mmdet
  imports ``mmcv.ops`` at module level. Nothing in this package calls such an operator, so a
  stand-in satisfies the imports and raises, with advice, when an operator is really called. A full
  mmcv is left alone.
* *vot-toolkit.* mmtrack guards ``import vot`` against ``ImportError`` only; some combinations that
  can be installed raise other errors and would take mmtrack with them. Such a package is hidden.

It has to run before anybody else imports mmtrack, in every process. A spawned DataLoader worker
imports the main script again, so scripts import this package at module top level, not in
``main()``.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import types
from typing import NoReturn

GATE_VERSION = '2.0.0rc4'  # accepted by all three gates
SECOND_STEP = {'mmtrack': 'mmtrack==1.0.0rc1', 'mmcv': 'mmcv-lite==2.1.0'}  # by module


class _MissingOp:
    """Stands for one operator of ``mmcv._ext``; calling it raises."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args, **kwargs) -> NoReturn:
        raise NotImplementedError(
            f"the compiled mmcv operator '{self.name}' is not available: the installed mmcv has no "
            'compiled operators (mmcv-lite), and MixFormerV2 needs none. To use other models of '
            'MMTracking that call it, uninstall mmcv-lite and install a full mmcv built for your '
            'torch.'
        )


class _MissingExtension(types.ModuleType):
    """Stands for the module ``mmcv._ext``: every public name is a :class:`_MissingOp`."""

    def __init__(self) -> None:
        super().__init__('mmcv._ext')
        # find_spec() would raise for a module without a spec. The spec has no loader, which tells
        # those who ask for one (mmengine does) that the operators are not installed.
        self.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', loader=None)

    def __getattr__(self, name: str) -> _MissingOp:
        if name.startswith('__'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        return _MissingOp(name)


def ensure_mmtrack() -> None:
    """Import mmtrack, mmdet and mmcls; do nothing when mmtrack is imported already.

    Raises:
        ImportError: If mmtrack or mmcv is not installed, or what mmtrack stands on cannot be
            imported for a reason that an installation cures; the message names the command.
    """
    if 'mmtrack' in sys.modules:
        return
    _check_second_step()
    _check_opencv()
    _check_setuptools()
    import mmcv

    if importlib.util.find_spec('mmcv._ext') is None:
        mmcv._ext = sys.modules['mmcv._ext'] = _MissingExtension()
    _hide_broken_vot()
    true_version, mmcv.__version__ = mmcv.__version__, GATE_VERSION
    try:
        for name in ('mmdet', 'mmcls', 'mmtrack'):
            importlib.import_module(name)
    finally:
        mmcv.__version__ = true_version


def _check_second_step() -> None:
    missing = [name for name in SECOND_STEP if importlib.util.find_spec(name) is None]
    if missing:
        are = 'is' if len(missing) == 1 else 'are'
        raise ImportError(
            f'{" and ".join(missing)} {are} not installed. The requirements of this package leave '
            'mmtrack out because its metadata pins versions that no current Python can install, '
            'and mmcv because mmcv-lite and a full mmcv 2.x both will do; install in a second '
            'step, without dependencies:\n    python -m pip install --no-deps '
            + ' '.join(SECOND_STEP[name] for name in missing)
        )


def _check_opencv() -> None:
    try:
        importlib.import_module('cv2')
    except ImportError as error:
        if '.so' not in str(error):  # not the loader's complaint about a shared library
            raise
        raise ImportError(
            f'OpenCV cannot be loaded: {error}. It needs the system libraries libGL and glib. '
            'Install them (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0), or replace '
            'opencv-python by opencv-python-headless, which does without libGL.'
        ) from error


def _check_setuptools() -> None:
    if importlib.util.find_spec('pkg_resources') is None:
        raise ImportError(
            "mmengine 0.10 imports 'pkg_resources', which current releases of setuptools no longer "
            'contain; install an older one:\n    python -m pip install "setuptools<81"'
        )


def _hide_broken_vot() -> None:
    try:
        importlib.import_module('vot')
    except ImportError:
        pass  # absent, as mmtrack expects
    except Exception:  # anything may come out of another package's import
        sys.modules['vot'] = None
