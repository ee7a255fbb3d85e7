"""Reads the training state that MMEngine saves without trusting the file that holds it.

torch's safe loading refuses a checkpoint of MMEngine because of what its log history is made of:
``HistoryBuffer`` objects, NumPy arrays and scalars, and references to the methods of
``HistoryBuffer``, which pickle writes as calls of ``builtins.getattr``. Allowing those names would
hand the file real tools: ``getattr`` reaches everything, and NumPy believes whatever internal state
a pickled ``dtype`` claims to have. So no such name is allowed. torch lets a name stand for another
object, and here each of them stands for a small class or function of this module that accepts what
MMEngine writes and nothing else. After loading, :func:`restore` puts the real objects in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# The class itself knows them only once it has been instantiated.
_STATISTICS = ('min', 'max', 'current', 'mean')


class _DType:
    """Stands for ``numpy.dtype``: booleans, integers and floating point numbers."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not (isinstance(code, str) and re.fullmatch('[biuf][1248]', code)):
            raise ValueError(f'expected an array of numbers, got the dtype {code!r:.80}')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        version, byte_order, *rest = state
        if byte_order not in ('<', '>', '|', '=') or rest[:3] != [None, None, None]:
            raise ValueError(f'expected the state of a plain dtype, got {state!r:.80}')
        self.value = self.value.newbyteorder(byte_order)


class _Array:
    """Stands for ``numpy.ndarray``."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran_order, data = state
        if not (isinstance(dtype, _DType) and isinstance(data, bytes)):
            raise ValueError('expected an array of numbers')
        values = np.frombuffer(data, dtype.value)
        self.value = values.reshape(shape, order='F' if fortran_order else 'C').copy()


def _new_array(kind: type, shape: tuple, code: bytes) -> _Array:
    """Stand for numpy's ``_reconstruct``: an empty array, whose state follows."""
    if kind is not _Array:
        raise ValueError(f'expected a plain array, got {kind!r:.80}')
    return _Array()


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    """Stand for numpy's ``scalar``."""
    if not (isinstance(dtype, _DType) and isinstance(data, bytes)):
        raise ValueError('expected one number')
    return np.frombuffer(data, dtype.value, count=1)[0]


def _no_bytes() -> bytes:
    """Stand for ``bytes``, with which pickle writes that there are none: an empty array."""
    return b''


class _History:
    """Stands for ``HistoryBuffer``."""

    def __setstate__(self, state: dict) -> None:
        # Its ``statistics_methods`` are those of the class, which has them already.
        log, count = state['_log_history'], state['_count_history']
        length = state['max_length']
        if not (isinstance(log, _Array) and isinstance(count, _Array) and isinstance(length, int)):
            raise ValueError('expected a log history: two arrays and their greatest length')
        self.value = HistoryBuffer(log.value, count.value, length)


def _statistic(owner: type, name: str) -> str:
    """Stand for ``builtins.getattr``, with which pickle refers to a method of HistoryBuffer."""
    if owner is not _History or name not in _STATISTICS:
        raise ValueError(
            f'the file calls getattr for {name!r:.80}; expected only references to the statistics '
            f'of a log history: {", ".join(_STATISTICS)}'
        )
    return name


STAND_INS = {
    'builtins.bytes': _no_bytes,
    'builtins.getattr': _statistic,
    'mmengine.logging.history_buffer.HistoryBuffer': _History,
    'numpy.dtype': _DType,
    'numpy.ndarray': _Array,
    'numpy._core.multiarray._reconstruct': _new_array,
    'numpy._core.multiarray.scalar': _scalar,
    'numpy.core.multiarray._reconstruct': _new_array,  # written with numpy 1
    'numpy.core.multiarray.scalar': _scalar,
}


@contextmanager
def stand_ins_allowed() -> Iterator[None]:
    """While active, ``torch.load(weights_only=True)`` takes :data:`STAND_INS` for the real ones.

    What the user has allowed himself stays allowed, except real objects of the same names.
    """
    users = torch.serialization.get_safe_globals()
    kept = [entry for entry in users if _full_name(entry) not in STAND_INS]
    torch.serialization.clear_safe_globals()
    try:
        torch.serialization.add_safe_globals(kept)
        torch.serialization.add_safe_globals([(obj, name) for name, obj in STAND_INS.items()])
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(users)


def _full_name(entry: Any) -> str:
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'


def restore(node: Any) -> Any:
    """Return ``node`` with the real objects in place of the stand-ins, at any depth.

    Dicts and lists are changed in place, so they keep their types and attributes.
    """
    if isinstance(node, (_DType, _Array, _History)):
        return node.value
    if isinstance(node, dict):
        for key in node:
            node[key] = restore(node[key])
    elif isinstance(node, list):
        node[:] = map(restore, node)
    elif type(node) is tuple:
        return tuple(map(restore, node))
    return node
