"""TensorRT: engines of an exported model, or the commands that build them elsewhere.

The graphs are the ONNX files. Engines belong to one kind of GPU and one version of TensorRT, so
they are built where they run: by ONNX Runtime, whose TensorRT provider keeps its own beside the
files, or by ``trtexec``, for programs that use TensorRT itself.

Limits: no engine was ever built in the tests of this package, for want of a GPU. What is tested is
that the graphs give torch's results in ONNX Runtime on a CPU, at every size that the commands name,
and that bytes are only cast, which is all that TensorRT does to them.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.exported import find_graphs
from ..runtime.model_info import ONNX_PREFIX, TOKENS, ModelInfo, grows
from ..runtime.opening import open_predictor

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_BATCH = 8  # targets that an engine can do at once
# Without an option, TensorRT may compute float32 products in TF32, with 10 bits of mantissa.
_OPTIONS = {'float32': '--noTF32', 'float16': '--fp16', 'bfloat16': '--bf16'}


def trtexec_commands(folder: str | os.PathLike) -> list[str]:
    """The two commands that build engines of an exported model.

    The engines do 1 to ``MAX_BATCH`` targets with 1 template up to as many as the tracker keeps,
    and are fastest for one target with all its templates.

    Args:
        folder: Of ``template.onnx`` and ``search.onnx``.

    Returns:
        A line for a shell for each; they write ``template.engine`` and ``search.engine`` there.

    Raises:
        ExportedModelError: If the files are missing, or no export.
    """
    import onnx

    paths = find_graphs(folder, ['.onnx'])
    protos = {name: onnx.load(path) for name, path in paths.items()}
    info = _info(protos['search'], paths['search'])
    templates = 1 + info.settings.num_online_templates
    tokens = _tokens_per_template(paths['template'], info, protos['search'])
    commands = []
    for name, proto in protos.items():
        words = [
            'trtexec',
            f'--onnx={paths[name]}',
            f'--saveEngine={paths[name].with_suffix(".engine")}',
            _OPTIONS[info.dtype],
        ]
        for kind, batch, count in (
            ('min', 1, 1),
            ('opt', 1, templates),
            ('max', MAX_BATCH, templates),
        ):
            free = {'batch': batch, 'templates': count}
            free |= {axis: count * size for axis, size in tokens.items()}
            words.append(f'--{kind}Shapes={_shapes(proto, free)}')
        commands.append(shlex.join(words))
    return commands


def build_engines(folder: str | os.PathLike) -> None:
    """Build the engines that ONNX Runtime uses and keeps beside the files; takes minutes.

    Raises:
        BackendNotInstalled: If ONNX Runtime has no TensorRT, or there is no GPU.
        ExportedModelError: If the files are missing, or no export.
    """
    predictor = open_predictor(folder, backend='tensorrt')
    template, search = (
        np.zeros((size, size, 3), np.uint8)
        for size in (predictor.template_size, predictor.search_size)
    )
    count = 1 + predictor.info.settings.num_online_templates
    cache = predictor.encode_templates([template.copy() for _ in range(count)])
    predictor.predict(search, cache)


def _info(proto: ModelProto, path: Path) -> ModelInfo:
    strings = {entry.key.removeprefix(ONNX_PREFIX): entry.value for entry in proto.metadata_props}
    return ModelInfo.from_strings(strings, str(path))


def _tokens_per_template(path: Path, info: ModelInfo, search: ModelProto) -> dict[str, int]:
    """By the name of the axis, for each stage of the backbone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    blank = np.zeros((1, 1, info.template_size, info.template_size, 3), np.uint8)
    sizes = dict(zip(info.cache, session.run(list(info.cache), {'crops': blank})))
    return {
        one.type.tensor_type.shape.dim[TOKENS].dim_param: sizes[one.name].shape[TOKENS]
        for one in search.graph.input
        if grows(one.name) and one.type.tensor_type.shape.dim[TOKENS].dim_param
    }


def _shapes(proto: ModelProto, free: dict[str, int]) -> str:
    shapes = []
    for one in proto.graph.input:
        sizes = [free.get(d.dim_param, d.dim_value) for d in one.type.tensor_type.shape.dim]
        shapes.append(f'{one.name}:{"x".join(map(str, sizes))}')
    return ','.join(shapes)
