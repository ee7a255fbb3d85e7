"""What runs the network of a tracker; the tracking loop around it is always the same."""

from __future__ import annotations

import os
import tempfile
import warnings
from typing import Any

from torch import nn

from ..models.device_predictor import DevicePredictor
from ..models.inference import InferenceNetwork
from ..models.torch_predictor import TorchPredictor
from ..runtime import ExportedModelError, open_predictor
from ..runtime.errors import import_runtime
from ..runtime.onnxruntime_backend import check_provider
from ..runtime.opening import backend_of
from ..tracking import BatchPredictor
from .weights import hash_weights

DTYPES = {
    'torch': ('float32', 'bfloat16', 'float16'),
    'onnxruntime': ('float32', 'int8'),
    'openvino': ('float32', 'bfloat16', 'float16', 'int8'),
    'tensorrt': ('float32', 'bfloat16', 'float16'),
}


def build_predictor(
    model: nn.Module,
    *,
    backend: str | None = None,
    dtype: str = 'float32',
    compile: bool = False,
    exported: str | os.PathLike | None = None,
    num_threads: int = 0,
) -> BatchPredictor:
    """What runs the network of a model. By default it is exact; anything else is asked for.

    Args:
        model: A ``TemplateSearchTracker``. With ``'torch'`` and float32 on a CPU the weights of one
            without batch norms are used as they are at every call; otherwise as they are now, and
            convolutions take over the batch norms behind them.
        backend: A key of ``DTYPES``; None for what runs the files in ``exported``, and torch
            without. On a GPU, torch cuts the crops out there and replays the step of a frame as a
            CUDA graph.
        dtype: What the backbone computes in, one of ``DTYPES[backend]``.
        compile: Compile the step that every frame takes; for ``'torch'``.
        exported: Folder with the exported model, for the other backends; None exports it first,
            which is not possible for int8, which needs calibration.
        num_threads: For the other backends; torch has its own, ``torch.set_num_threads``.

    Raises:
        ValueError: If the settings do not fit each other.
        BackendNotInstalled: If a package is missing.
        ExportedModelError: If the folder does not hold this very model.
    """
    if backend is None:
        backend = 'torch' if exported is None else backend_of(exported)
    check_backend(backend, dtype)
    if backend == 'torch':
        if exported is not None:
            raise ValueError(f'exported={exported!r} is not for the backend torch; set another one')
        if num_threads:
            raise ValueError(
                f'num_threads={num_threads} is not for the backend torch, whose threads are those '
                f'of the process; leave it out and call torch.set_num_threads({num_threads})'
            )
        return _torch_predictor(model, dtype, compile)
    if backend == 'tensorrt' and exported is None:
        raise ValueError(
            'tensorrt keeps its engines, which take minutes, beside an exported model; make one '
            'with tools/deployment/export.py --backend tensorrt, and say where with exported'
        )
    if compile:
        raise ValueError(f"compile is for the backend 'torch', not {backend!r}; leave it out")
    on_gpu = InferenceNetwork.of(model).device.type == 'cuda'
    device = 'cuda' if on_gpu and backend == 'onnxruntime' else 'cpu'
    runtime = dict(backend=backend, dtype=dtype, num_threads=num_threads, device=device)
    if exported is not None:
        return _exported_predictor(model, exported, **runtime)
    if dtype == 'int8':
        raise ValueError(
            'an int8 model needs calibration: export it with tools/deployment/export.py --backend '
            f'{backend} --dtype int8 --calibration FOLDER, and say where with exported'
        )
    _check_installed(backend, device)
    from .onnx_export import export_onnx  # imports exporters, which only some have

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        export_onnx(model, folder)
        return _exported_predictor(model, folder, **runtime)


def check_backend(backend: str, dtype: str) -> None:
    """Raise a :class:`ValueError` unless there is the backend and it computes in the dtype."""
    if backend not in DTYPES:
        raise ValueError(f'backend is {backend!r}, expected one of {", ".join(DTYPES)}')
    if dtype not in DTYPES[backend]:
        others = ', '.join(name for name, dtypes in DTYPES.items() if dtype in dtypes)
        raise ValueError(
            f'dtype is {dtype!r}, expected one of {", ".join(DTYPES[backend])} for the backend '
            f'{backend}' + (f'; {dtype} runs on {others}' if others else '')
        )


def _torch_predictor(model: nn.Module, dtype: str, compile: bool) -> BatchPredictor:
    network = InferenceNetwork.of(model)
    if network.device.type == 'cuda':
        return DevicePredictor(network.frozen(dtype, compile=compile))
    if dtype != 'float32' or compile or (not model.training and _has_batch_norms(model)):
        network = network.frozen(dtype, compile=compile)
    elif model.training:
        warnings.warn(
            'the model is in training mode, where drop path and batch norm make boxes random; call '
            'model.eval() before tracking.',
            RuntimeWarning,
            stacklevel=3,
        )
    return TorchPredictor(network)


def _has_batch_norms(model: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def _check_installed(backend: str, device: str) -> None:
    """Find out before an export, which takes long."""
    if backend == 'openvino':
        import_runtime('openvino')
    else:
        check_provider(import_runtime('onnxruntime'), device)


def _exported_predictor(
    model: nn.Module, folder: str | os.PathLike, **runtime: Any
) -> BatchPredictor:
    predictor = open_predictor(folder, **runtime)
    ours, theirs = hash_weights(model), predictor.info.model_hash
    if ours != theirs:
        raise ExportedModelError(
            f'{folder} was exported from the weights {theirs[:12]}, and the model has {ours[:12]}; '
            'export the checkpoint that is tested, or leave exported out to do so now'
        )
    return predictor
