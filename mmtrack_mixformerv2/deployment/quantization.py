"""int8: products of the search graph in eight bits, calibrated after training, by NNCF.

Quantized are the products of many tokens with weights in the backbone, which are nearly all of the
work of transformers. Attention, the last block's few tokens, the neck and the heads stay in
float32, and so does the template graph, which runs when a template changes: its keys and values are
those of the exact model. Convolutions stay in float32 too: in eight bits OpenVINO moved boxes by
several pixels of the crop where ONNX Runtime moved them by one.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from ..runtime import open_predictor
from ..runtime.errors import import_runtime
from .calibration import CalibrationCrops
from .onnx_export import PARTS_BEHIND, OnnxGraphs, export_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

_SMOOTHING = 0.7  # how far large activations are moved into the weights
_FEW_TOKENS = 8  # products of no more rows than this are not worth it


def quantize(model: nn.Module, graphs: OnnxGraphs, crops: Sequence[CalibrationCrops]) -> OnnxGraphs:
    """The graphs of an int8 model, with quantization and dequantization, made of exact ones.

    Args:
        model: A ``TemplateSearchTracker``.
        graphs: What :func:`~.onnx_export.build_onnx` gave for it; they stay as they are.
        crops: What the network will see, to find the ranges of activations.

    Raises:
        BackendNotInstalled: If nncf, onnx or what runs the exact model is missing.
        ValueError: If there are no crops, or nothing in the graph can be quantized.
    """
    for package in ('onnx', 'onnxscript', 'onnxruntime', 'nncf'):
        import_runtime(package)
    if not crops:
        raise ValueError('there are no crops to calibrate on; give folders of annotated sequences')
    search = copy.deepcopy(graphs.search)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        export_onnx(model, folder, graphs=graphs)
        return graphs._replace(search=_quantize_search(search, crops, _sampler(folder)))


def _sampler(exact: str) -> Callable[[CalibrationCrops], dict[str, np.ndarray]]:
    """Makes inputs of the search graph when they are wanted: a cache has megabytes."""
    predictor = open_predictor(exact, backend='onnxruntime')

    def make(one: CalibrationCrops) -> dict[str, np.ndarray]:
        cache = predictor.encode_templates(list(one.templates))
        return {'crop': one.search[None], **dict(zip(predictor.info.cache, cache.arrays))}

    return make


def _quantize_search(
    model: ModelProto,
    crops: Sequence[CalibrationCrops],
    make_sample: Callable[[CalibrationCrops], dict[str, np.ndarray]],
) -> ModelProto:
    import nncf
    import onnxscript.optimizer
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    # Weights that the graph transposes become constants, which alone are quantized.
    limit = 2**31
    with _quiet():
        onnxscript.optimizer.fold_constants(
            model, input_size_limit=limit, output_size_limit=limit, onnx_shape_inference=False
        )
        return nncf.quantize(
            model,
            nncf.Dataset(list(crops), make_sample),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(crops),
            ignored_scope=nncf.IgnoredScope(
                names=kept_exact(model), types=['Gather'], validate=False
            ),
            advanced_parameters=AdvancedQuantizationParameters(
                # Sums of two products fit into 16 bits, as CPUs without VNNI make them.
                overflow_fix=OverflowFix.ENABLE,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=_SMOOTHING),
            ),
        )


def kept_exact(model: ModelProto) -> list[str]:
    """Names of the nodes of a search graph that are not quantized.

    Raises:
        ValueError: If nothing is left to quantize.
    """
    weights = {one.name for one in model.graph.initializer if len(one.dims) == 2}
    values = [*model.graph.value_info, *model.graph.input]
    shapes = {one.name: one.type.tensor_type.shape.dim for one in values}
    behind = tuple(f'{part}/' for part in PARTS_BEHIND)

    def reads_many_tokens(name: str) -> bool:
        shape = shapes.get(name, ())
        return len(shape) == 3 and (shape[1].dim_value or _FEW_TOKENS + 1) > _FEW_TOKENS

    quantized = {
        node.name
        for node in model.graph.node
        if node.op_type in ('MatMul', 'Gemm')
        and not node.name.startswith(behind)
        and node.input[1] in weights
        and reads_many_tokens(node.input[0])
    }
    if not quantized:
        raise ValueError(
            'no product of the search graph reads many tokens and a constant weight, so there is '
            'nothing to quantize; use float32'
        )
    return [
        node.name
        for node in model.graph.node
        if node.name.startswith(behind)
        or (node.op_type in ('MatMul', 'Gemm', 'Conv') and node.name not in quantized)
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without NNCF's bars and notes, and those of what folds constants; errors are raised."""
    loggers = [logging.getLogger(name) for name in ('nncf', 'onnxscript')]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
