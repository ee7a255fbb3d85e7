"""Exported models in ONNX Runtime: on the CPU, by CUDA, or by TensorRT."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import BackendNotInstalled, import_runtime
from .exported import Graph, Port, damaged, find_graphs
from .graph_predictor import GraphPredictor, choose_dtype, count_threads
from .model_info import ONNX_PREFIX, TOKENS, ModelInfo, grows

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding

PROVIDERS = {
    'cpu': 'CPUExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
}
# What a file that was exported in a dtype can be run in.
RUNS = {
    'cpu': {'float32': ['float32'], 'int8': ['int8']},
    'cuda': {'float32': ['float32']},
    'tensorrt': {
        'float32': ['float32', 'bfloat16', 'float16'],
        'bfloat16': ['bfloat16'],
        'float16': ['float16'],
    },
}
ENGINES = 'tensorrt'  # folder of TensorRT's engines, beside the graphs
_BATCH = 8  # targets that an engine is built for
_DTYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}


class OnnxRuntimePredictor(GraphPredictor):
    """An exported model (``template.onnx``, ``search.onnx``) in ONNX Runtime.

    Args:
        folder: Of the two files.
        provider: ``'cpu'``, ``'cuda'`` or ``'tensorrt'``. TensorRT builds engines in its first
            frames, which takes minutes, and keeps them in the folder ``tensorrt`` beside the files.
        dtype: None for what was exported. TensorRT runs float32 files in the 16-bit types too.
        num_threads: See :func:`~.graph_predictor.count_threads`.

    Raises:
        BackendNotInstalled: If ONNX Runtime or the provider is missing.
        ExportedModelError: If the files are missing, damaged, of another version, or no pair.
        ValueError: If the provider does not run the model in that dtype.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        provider: str = 'cpu',
        dtype: str | None = None,
        num_threads: int = 0,
    ) -> None:
        runtime = import_runtime('onnxruntime')
        check_provider(runtime, provider)
        paths = find_graphs(folder, ['.onnx'])
        threads = count_threads(num_threads)
        sessions = {name: _open(runtime, path, threads) for name, path in paths.items()}
        graphs = {name: _describe(sessions[name], path) for name, path in paths.items()}
        super().__init__(**graphs)
        self.dtype = choose_dtype(self.info, dtype, RUNS[provider], f'onnxruntime ({provider})')
        if provider == 'tensorrt' and self.dtype == 'float32':
            _warn_of_tf32()
        if provider != 'cpu':
            blank = np.zeros((1, 1, self.template_size, self.template_size, 3), np.uint8)
            growing = [name for name in self.info.cache if grows(name)]
            cache = sessions['template'].run(growing, {'crops': blank}) if growing else []
            tokens = {name: array.shape[TOKENS] for name, array in zip(growing, cache)}
            units = {'template': {'crops': 1}, 'search': tokens}
            sessions = {
                name: _open_on_gpu(
                    runtime, graph, threads, _options(graph, provider, self.dtype, units[name])
                )
                for name, graph in graphs.items()
            }
        self._template, self._search = sessions['template'], sessions['search']
        self._runtime = runtime
        self._memory = 'cpu' if provider == 'cpu' else 'cuda'

    def _run_template(self, crops: np.ndarray) -> list[np.ndarray]:
        return self._template.run(list(self.info.cache), {'crops': crops})

    def _place(self, arrays: Sequence[np.ndarray]) -> IOBinding:
        """On a GPU the cache is uploaded here, and stays; on a CPU nothing is copied."""
        binding = self._search.io_binding()
        for name, array in zip(self.info.cache, arrays):
            value = self._runtime.OrtValue.ortvalue_from_numpy(array, self._memory, 0)
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name)
        return binding

    def _run_search(self, crops: np.ndarray, placed: IOBinding) -> list[np.ndarray]:
        placed.bind_cpu_input('crop', crops)
        self._search.run_with_iobinding(placed)
        return placed.copy_outputs_to_cpu()


def check_provider(runtime: ModuleType, provider: str) -> None:
    """Raise unless there is such a provider, and the installed runtime has it."""
    if provider not in PROVIDERS:
        raise ValueError(f'provider is {provider!r}, expected one of {", ".join(PROVIDERS)}')
    if PROVIDERS[provider] not in runtime.get_available_providers():
        raise BackendNotInstalled(
            f'the installed onnxruntime {runtime.__version__} has no {PROVIDERS[provider]} (it has '
            f'{", ".join(runtime.get_available_providers())}); replace it by the package for GPUs '
            'with\n    python -m pip uninstall -y onnxruntime\n'
            "    python -m pip install 'onnxruntime-gpu[cuda,cudnn]'"
            + (' tensorrt' if provider == 'tensorrt' else '')
        )


def _open(
    runtime: ModuleType, path: Path, threads: int, providers: Sequence[Any] = ()
) -> InferenceSession:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; what matters of the rest is checked here
    try:
        return runtime.InferenceSession(
            os.fspath(path),
            options,
            providers=[*providers, PROVIDERS['cpu']],
            enable_fallback=0,
        )
    except Exception as error:  # its error types have no base class but this one
        if providers:
            raise
        raise damaged(path, error) from error


def _open_on_gpu(
    runtime: ModuleType, graph: Graph, threads: int, options: dict[str, dict[str, str]]
) -> InferenceSession:
    if hasattr(runtime, 'preload_dlls'):
        runtime.preload_dlls()  # finds the libraries that came as Python packages
    first = next(iter(options))
    try:
        session = _open(runtime, graph.path, threads, list(options.items()))
        reason = 'ONNX Runtime left it out'
    except Exception as error:  # see _open
        session, reason = None, str(error)
    if session is None or first not in session.get_providers():
        raise BackendNotInstalled(
            f'{first} cannot be used ({reason}): its libraries or its device are missing. Install '
            "them with\n    python -m pip install 'onnxruntime-gpu[cuda,cudnn]'"
            + (' tensorrt' if first == PROVIDERS['tensorrt'] else '')
            + '\nand look at nvidia-smi for the device and its driver.'
        )
    return session


def _describe(session: InferenceSession, path: Path) -> Graph:
    metadata = session.get_modelmeta().custom_metadata_map
    strings = {
        key.removeprefix(ONNX_PREFIX): value
        for key, value in metadata.items()
        if key.startswith(ONNX_PREFIX)
    }
    inputs = {
        one.name: Port(
            _DTYPES.get(one.type, one.type),
            tuple(size if isinstance(size, int) else None for size in one.shape),
        )
        for one in session.get_inputs()
    }
    outputs = [one.name for one in session.get_outputs()]
    return Graph(path, ModelInfo.from_strings(strings, str(path)), inputs, outputs)


def _options(
    graph: Graph, provider: str, dtype: str, tokens: Mapping[str, int]
) -> dict[str, dict[str, str]]:
    """Providers of a GPU and their options, the preferred one first."""
    cuda = {PROVIDERS['cuda']: {'use_tf32': '0'}}  # float32 is to be float32
    if provider == 'cuda':
        return cuda
    engines = graph.path.parent / ENGINES
    engines.mkdir(exist_ok=True)
    tensorrt = {
        'trt_engine_cache_enable': '1',
        'trt_engine_cache_path': str(engines),
        'trt_timing_cache_enable': '1',
        'trt_timing_cache_path': str(engines),
        'trt_fp16_enable': str(int(dtype == 'float16')),
        'trt_bf16_enable': str(int(dtype == 'bfloat16')),
        **_profile(graph, tokens),
    }
    return {PROVIDERS['tensorrt']: tensorrt, **cuda}


def _profile(graph: Graph, tokens: Mapping[str, int]) -> dict[str, str]:
    """The shapes that one engine is to do, so that no later frame has to wait for another one.

    Args:
        graph: Its first free dimension is the batch, the second one grows with the templates.
        tokens: Size of the second one for one template, by the input that has one.
    """
    templates = 1 + graph.info.settings.num_online_templates
    profile = {}
    for kind, batch, count in (('min', 1, 1), ('opt', 1, templates), ('max', _BATCH, templates)):
        shapes = []
        for name, port in graph.inputs.items():
            free = iter((batch, count * tokens.get(name, 1)))
            sizes = [next(free) if size is None else size for size in port.shape]
            shapes.append(f'{name}:{"x".join(map(str, sizes))}')
        profile[f'trt_profile_{kind}_shapes'] = ','.join(shapes)
    return profile


def _warn_of_tf32() -> None:
    if os.environ.get('NVIDIA_TF32_OVERRIDE') != '0':
        warnings.warn(
            'TensorRT may compute float32 products in TF32, with 10 bits of mantissa, and ONNX '
            'Runtime cannot tell it not to; set the environment variable NVIDIA_TF32_OVERRIDE=0 '
            'before the program starts for exact float32.',
            RuntimeWarning,
            stacklevel=3,
        )
