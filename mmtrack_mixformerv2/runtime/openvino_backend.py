"""Exported models in OpenVINO, on the CPU."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import import_runtime
from .exported import Graph, Port, damaged, find_graphs
from .graph_predictor import GraphPredictor, choose_dtype, count_threads
from .model_info import ONNX_PREFIX, RT_INFO_KEY, ModelInfo

if TYPE_CHECKING:
    from openvino import Core, InferRequest, Model

# What a model that was exported in a dtype can be run in. The name of a 16-bit type for an int8
# model says what the products that are not quantized are computed in.
RUNS = {
    'float32': ['float32', 'bfloat16', 'float16'],
    'bfloat16': ['bfloat16'],
    'float16': ['float16'],
    'int8': ['int8', 'bfloat16', 'float16'],
}
_HINTS = {'float32': 'f32', 'int8': 'f32', 'bfloat16': 'bf16', 'float16': 'f16'}
_CAPABILITIES = {'bfloat16': 'BF16', 'float16': 'FP16'}
_DTYPES = {'u8': 'uint8', 'f32': 'float32'}

_CORES: list[Core] = []  # at most one
_CORE_LOCK = threading.Lock()


class OpenVinoPredictor(GraphPredictor):
    """An exported model in OpenVINO: ``template.xml`` and ``search.xml``, or ``.onnx`` files.

    Args:
        folder: Of the files.
        dtype: None for what was exported; ``RUNS`` has what else can be asked for.
        num_threads: See :func:`~.graph_predictor.count_threads`.

    Raises:
        BackendNotInstalled: If OpenVINO is missing.
        ExportedModelError: If the files are missing, damaged, of another version, or no pair.
        ValueError: If the model cannot be run in that dtype.
    """

    def __init__(
        self, folder: str | os.PathLike, *, dtype: str | None = None, num_threads: int = 0
    ) -> None:
        runtime = import_runtime('openvino')
        core = _shared_core(runtime)
        models, graphs = {}, {}
        for name, path in find_graphs(folder, ['.xml', '.onnx']).items():
            models[name] = _read(core, path)
            graphs[name] = _describe(models[name], path)
        super().__init__(**graphs)
        self.dtype = choose_dtype(self.info, dtype, RUNS, 'openvino')
        _warn_of_missing_instructions(core, self.dtype)
        settings = {
            # The default is bfloat16 wherever the CPU has it.
            'INFERENCE_PRECISION_HINT': _HINTS[self.dtype],
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_NUM_THREADS': count_threads(num_threads),
            # Processes side by side would pin their threads to the same cores.
            'ENABLE_CPU_PINNING': False,
        }
        self._compiled = {
            name: core.compile_model(model, 'CPU', settings) for name, model in models.items()
        }
        self._runtime = runtime
        self._own = threading.local()

    def _run_template(self, crops: np.ndarray) -> list[np.ndarray]:
        outputs = self._request('template').infer({'crops': crops}, share_inputs=True)
        return [outputs[name] for name in self.info.cache]

    def _place(self, arrays: Sequence[np.ndarray]) -> dict[str, Any]:
        return {
            name: self._runtime.Tensor(np.ascontiguousarray(array), shared_memory=True)
            for name, array in zip(self.info.cache, arrays)
        }

    def _run_search(self, crops: np.ndarray, placed: dict[str, Any]) -> list[np.ndarray]:
        outputs = self._request('search').infer({'crop': crops, **placed}, share_inputs=True)
        return [outputs[name] for name in self.outputs]

    def _request(self, name: str) -> InferRequest:
        """Each thread has its own, with its own outputs."""
        if not hasattr(self._own, name):
            setattr(self._own, name, self._compiled[name].create_infer_request())
        return getattr(self._own, name)


def _shared_core(runtime: ModuleType) -> Core:
    """The one ``Core`` of this process, which is never let go.

    Each gives signal handlers a stack, and when it ends, back the one that it found. Of two of
    which the older ends first, the other gives back one that is no more, and the next signal that
    Python handles (for a data loader, a child process that ends) would be the end of the process.
    """
    with _CORE_LOCK:
        if not _CORES:
            _CORES.append(runtime.Core())
    return _CORES[0]


def _read(core: Core, path: Path) -> Model:
    with path.open('rb') as file:
        if path.suffix == '.xml' and not file.read(100).lstrip().startswith(b'<'):
            raise damaged(path, ValueError('it is no XML'))
    try:
        return core.read_model(path)
    except RuntimeError as error:
        raise damaged(path, error) from error


def _describe(model: Model, path: Path) -> Graph:
    inputs = {
        one.get_any_name(): Port(
            _DTYPES.get(one.get_element_type().get_type_name(), str(one.get_element_type())),
            tuple(
                None if size.is_dynamic else size.get_length() for size in one.get_partial_shape()
            ),
        )
        for one in model.inputs
    }
    outputs = [one.get_any_name() for one in model.outputs]
    strings = _metadata(model)
    return Graph(path, ModelInfo.from_strings(strings, str(path)), inputs, outputs)


def _metadata(model: Model) -> Mapping[str, str]:
    if model.has_rt_info(RT_INFO_KEY):
        return {k: str(v) for k, v in model.get_rt_info(RT_INFO_KEY).value.items()}
    # Of an ONNX file, OpenVINO keeps the metadata here.
    framework = model.get_rt_info('framework').value if model.has_rt_info('framework') else {}
    return {
        key.removeprefix(ONNX_PREFIX): str(value)
        for key, value in framework.items()
        if key.startswith(ONNX_PREFIX)
    }


def _warn_of_missing_instructions(core: Core, dtype: str) -> None:
    wanted = _CAPABILITIES.get(dtype)
    if wanted and wanted not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        warnings.warn(
            f'this CPU has no {dtype} instructions ({wanted} is none of its capabilities in '
            'OpenVINO), so OpenVINO computes in float32, and no faster than that.',
            RuntimeWarning,
            stacklevel=3,
        )
