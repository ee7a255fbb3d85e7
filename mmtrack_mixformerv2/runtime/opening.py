"""Exported models as predictors and trackers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..tracking.sequence_tracker import SequenceTracker
from ..tracking.tracker import Tracker
from .exported import find_kinds
from .model_info import BACKENDS

if TYPE_CHECKING:
    from .graph_predictor import GraphPredictor

DEVICES = ('cpu', 'cuda')
_BACKENDS_OF_KINDS = {'.onnx': 'onnxruntime', '.xml': 'openvino'}


def open_exported(
    folder: str | os.PathLike,
    *,
    backend: str | None = None,
    dtype: str | None = None,
    num_threads: int = 0,
    device: str = 'cpu',
) -> Tracker:
    """A tracker of an exported model, with the settings that it was exported with, and no others.

    :class:`~mmtrack_mixformerv2.apis.Tracker` opens it with states.

    Args:
        folder: Has the template and the search graph.
        backend: ``'onnxruntime'``, ``'openvino'`` or ``'tensorrt'``; None for onnxruntime where
            there are ONNX files, and openvino where there is OpenVINO IR.
        dtype: What is computed in: None for what was exported. Only openvino and tensorrt run a
            model that was exported in float32 in another one.
        num_threads: Of the CPU; 0 for ``OMP_NUM_THREADS`` if that is set, else for all cores.
        device: ``'cpu'``, or ``'cuda'`` for onnxruntime; tensorrt is on the GPU anyway.

    Raises:
        BackendNotInstalled: If what runs the model is missing.
        ExportedModelError: If the files are missing, damaged, of another version, or no pair.
        ValueError: If the backend does not exist, or does not run the dtype on the device.
    """
    predictor = open_predictor(
        folder, backend=backend, dtype=dtype, num_threads=num_threads, device=device
    )
    return Tracker(SequenceTracker(predictor, predictor.info.settings))


def open_predictor(
    folder: str | os.PathLike,
    *,
    backend: str | None = None,
    dtype: str | None = None,
    num_threads: int = 0,
    device: str = 'cpu',
) -> GraphPredictor:
    """The network of an exported model for a tracking loop; see :func:`open_exported`."""
    backend = backend or backend_of(folder)
    if backend not in BACKENDS or device not in DEVICES:
        raise ValueError(
            f'backend is {backend!r} and device {device!r}, expected one of {", ".join(BACKENDS)} '
            f'and one of {", ".join(DEVICES)}'
        )
    # Each runtime is imported only where it is wanted.
    if backend == 'openvino':
        from .openvino_backend import OpenVinoPredictor

        if device != 'cpu':
            raise ValueError("openvino runs on the CPU here; use backend='onnxruntime' on a GPU")
        return OpenVinoPredictor(folder, dtype=dtype, num_threads=num_threads)
    from .onnxruntime_backend import OnnxRuntimePredictor

    provider = 'tensorrt' if backend == 'tensorrt' else device
    return OnnxRuntimePredictor(folder, provider=provider, dtype=dtype, num_threads=num_threads)


def backend_of(folder: str | os.PathLike) -> str:
    """The backend that runs the files in a folder."""
    kinds = find_kinds(folder)
    if len(kinds) > 1:
        raise ValueError(
            f'{folder} has {" and ".join(kinds)} files; say which to run with backend='
            + ' or '.join(repr(_BACKENDS_OF_KINDS[kind]) for kind in kinds)
        )
    return _BACKENDS_OF_KINDS[kinds[0]]
