"""A tracker as files for a backend and a dtype, and the check of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from ..files import replace_file
from ..runtime import BackendNotInstalled, open_predictor
from ..runtime.errors import import_runtime
from ..runtime.onnxruntime_backend import check_provider
from ..tracking import SequenceTracker
from .backends import check_backend
from .onnx_export import OnnxGraphs, export_onnx
from .openvino_export import export_openvino
from .parity import BOUNDS, Clip, Parity, Step, compare

REPORT = 'parity.json'


class Target(NamedTuple):
    """What is to be exported.

    Attributes:
        backend: ``'onnxruntime'``, ``'openvino'`` or ``'tensorrt'``.
        dtype: What the backbone computes in.
        folder: For the files.
    """

    backend: str
    dtype: str
    folder: Path


def check_target(target: Target) -> None:
    """Find out before the work whether a target can be exported here.

    Raises:
        ValueError: If the backend does not exist, or does not compute in the dtype.
        BackendNotInstalled: If a package is missing.
    """
    check_backend(target.backend, target.dtype)
    packages = ['onnx', 'onnxscript', 'onnxruntime']
    packages += ['openvino'] * (target.backend == 'openvino')
    packages += ['nncf'] * (target.dtype == 'int8')
    for package in packages:
        import_runtime(package)


def export(
    model: nn.Module,
    target: Target,
    *,
    name: str,
    graphs: OnnxGraphs,
) -> None:
    """Write the files of a target.

    Args:
        model: A ``TemplateSearchTracker``.
        target: Where to.
        name: Of the model, for people.
        graphs: What :func:`~.onnx_export.build_onnx` gave for the model; for int8, what
            :func:`~.quantization.quantize` made of that.

    Raises:
        OSError: If a file cannot be written.
    """
    backend, dtype, folder = target
    if backend == 'openvino':
        export_openvino(model, folder, name=name, dtype=dtype, graphs=graphs)
    else:
        export_onnx(model, folder, name=name, backend=backend, dtype=dtype, graphs=graphs)


def measure(
    loop: SequenceTracker,
    target: Target,
    clip: Clip,
    steps: Sequence[Step],
    *,
    bound: float | None = None,
) -> Parity | None:
    """Run what was exported, compare it with the model, and write the result beside the files.

    Args:
        loop: Of the model, as for :func:`~.parity.compare`.
        target: What was exported.
        clip: What the model has tracked.
        steps: What it saw and said.
        bound: Pixels of the crop; None for that of the dtype in ``BOUNDS``.

    Returns:
        None if TensorRT is not there to run it.
    """
    parity = None
    if can_run(target.backend):
        predictor = open_predictor(target.folder, backend=target.backend)
        bound = BOUNDS[target.dtype] if bound is None else bound
        parity = compare(loop, predictor, clip, steps, bound=bound)
    report = {
        'backend': target.backend,
        'dtype': target.dtype,
        'clip': clip.source,
        'frames': len(clip.frames),
        'update_interval': loop.settings.update_interval,
        'passed': parity and parity.passed,
        'parity': parity and parity.as_record(),
        'bytes': {path.name: path.stat().st_size for path in files_of(target.folder)},
    }
    replace_file(target.folder / REPORT, json.dumps(report, indent=2).encode() + b'\n')
    return parity


def can_run(backend: str) -> bool:
    """Whether an exported model can be run here; TensorRT needs a GPU and its own packages."""
    if backend != 'tensorrt':
        return True
    try:
        check_provider(import_runtime('onnxruntime'), 'tensorrt')
    except BackendNotInstalled:
        return False
    return True


def files_of(folder: Path) -> list[Path]:
    """The graphs of an exported model and their weights."""
    return sorted(path for path in folder.glob('*') if path.suffix in ('.onnx', '.xml', '.bin'))
