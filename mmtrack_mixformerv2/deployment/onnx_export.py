"""A tracker as two ONNX files, checked against torch by ONNX Runtime."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..files import replace_file
from ..models.inference import InferenceNetwork
from ..runtime.checksums import write_checksums
from ..runtime.errors import import_runtime
from ..runtime.model_info import ONNX_PREFIX, TOKENS, grows
from .graphs import GRAPHS, NotExportable, check_exportable, describe

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

# The first one with Gelu; LayerNormalization came with 17. OpenVINO and TensorRT read it.
OPSET = 20
MAX_BYTES = 2**31 - 2**20  # of weights: a protobuf message has less than 2 GiB
# Largest difference between ONNX Runtime and torch, as a share of the largest value or of 1.
TOLERANCE = 1e-4
PARTS_BEHIND = ('neck', 'box_head', 'score_head')  # what reads the output of the backbone
_SCOPES = 'pkg.torch.onnx.name_scopes'  # where torch notes the modules that a node comes from
_MOST = 2**20  # of targets, templates, tokens: torch 2.6 asks for a limit
_BATCHES = 1, 3
_TEMPLATES = 1, 2, 3


class ExportedFiles(NamedTuple):
    """What an export has written.

    Attributes:
        template: File of the template graph.
        search: File of the search graph.
        difference: Largest difference between the runtime and torch, see ``TOLERANCE``.
    """

    template: Path
    search: Path
    difference: float


class OnnxGraphs(NamedTuple):
    """A tracker in ONNX, in memory.

    Attributes:
        template: Its template graph.
        search: Its search graph.
        difference: Largest difference between ONNX Runtime and torch, see ``TOLERANCE``.
    """

    template: ModelProto
    search: ModelProto
    difference: float


def export_onnx(
    model: nn.Module,
    folder: str | os.PathLike,
    *,
    name: str = 'tracker',
    backend: str = 'onnxruntime',
    dtype: str = 'float32',
    graphs: OnnxGraphs | None = None,
) -> ExportedFiles:
    """Write ``template.onnx`` and ``search.onnx``, each with its weights and metadata inside.

    The number of targets and of templates is free. But for int8 both are float32 graphs, whatever
    they are going to be computed in, and have been compared with torch before they are written.

    Args:
        model: A ``TemplateSearchTracker``.
        folder: For the files, which are replaced if they are there.
        name: Of the model, for people.
        backend: What is going to run them, for the metadata.
        dtype: What that is going to compute in, for the metadata.
        graphs: What :func:`build_onnx` gave for the model, if it was called already.

    Raises:
        BackendNotInstalled: If onnx, onnxscript or onnxruntime is missing.
        NotExportable: If the model has a part that ONNX cannot express, or the graphs differ from
            torch.
        OSError: If a file cannot be written.
    """
    graphs = graphs or build_onnx(model)
    paths = {}
    for graph in GRAPHS:
        info = describe(model, graph=graph, name=name, backend=backend, dtype=dtype)
        paths[graph] = Path(folder) / f'{graph}.onnx'
        replace_file(paths[graph], _with_metadata(getattr(graphs, graph), info.to_strings()))
    write_checksums(Path(folder))
    return ExportedFiles(**paths, difference=graphs.difference)


def build_onnx(model: nn.Module) -> OnnxGraphs:
    """The ONNX graphs of a tracker, compared with torch; raises as :func:`export_onnx` does."""
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        import_runtime(package)
    check_exportable(model)
    network = InferenceNetwork.of(model).frozen().cpu()
    _check_size(network)
    protos, difference = {}, 0.0
    for graph, kind in GRAPHS.items():
        module = kind(network).eval()
        protos[graph] = convert(module, example_inputs(network, 2, 1 + _sees_several(network)))
        difference = max(difference, check_onnx(protos[graph], module, network))
    return OnnxGraphs(**protos, difference=difference)


def example_inputs(network: InferenceNetwork, batch: int, templates: int) -> dict[str, Tensor]:
    """Noise for the inputs of both graphs, by name; the cache is what the templates give."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator)

    side = network.template_size
    crops = noise(batch, templates, side, side)
    with torch.inference_mode():
        cache = network.encode_templates(crops.float()).pack()
    side = network.search_size
    kept = {name: tensor.clone() for name, tensor in cache.items()}
    return {'crops': crops, 'crop': noise(batch, side, side), **kept}


def convert(module: nn.Module, examples: dict[str, Tensor]) -> ModelProto:
    """The ONNX graph of one of ``GRAPHS``.

    Raises:
        NotExportable: If torch or its exporter cannot do it; the message says at which operation.
    """
    import onnx

    inputs = {name: examples[name] for name in module.inputs}
    shapes = _free_axes(module)
    try:
        with torch.no_grad(), _quiet_exporter():
            exported = torch.onnx.export(
                _trace(module, inputs, shapes),
                dynamic_shapes=_by_argument(module, shapes),
                input_names=list(module.inputs),
                output_names=module.outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        proto = exported.model_proto
        _name_parts(proto)
        _forget_origin(proto)
        _name_axes(proto, shapes)
        proto.graph.name = next(name for name, kind in GRAPHS.items() if kind is type(module))
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # of torch, its exporter or onnx, which share no base class
        raise NotExportable(
            f'{type(module).__name__} of {_parts(module.network)} cannot be turned into ONNX '
            f'opset {OPSET}: {_reason(error)}\nReplace that operation in the module that has it, '
            "or track with backend='torch'."
        ) from error
    return proto


def _free_axes(module: nn.Module) -> dict[str, dict[int, torch.export.Dim]]:
    """Axes of any size of each input of a graph: targets, templates and their tokens.

    Stages of a backbone have tokens of their own. Of a backbone that sees one template, neither
    templates nor tokens are free.
    """

    def free(name: str) -> torch.export.Dim:
        return torch.export.Dim(name, min=1, max=_MOST)

    batch, several = free('batch'), _sees_several(module.network)
    shapes = {name: {0: batch} for name in module.inputs}
    if 'crops' in shapes and several:
        shapes['crops'][1] = free('templates')
    for name in filter(grows, shapes):
        if several:
            stage = name.removeprefix('keys').removeprefix('values')
            shapes[name][TOKENS] = free(f'tokens{stage}')
    return shapes


def _by_argument(module: nn.Module, shapes: dict[str, dict]) -> tuple:
    """What belongs to the inputs of a graph, in the shape of its arguments."""
    first, *others = shapes.values()
    return (first, tuple(others)) if others else (first,)


def _sees_several(network: InferenceNetwork) -> bool:
    return network.model.backbone.max_templates != 1


def _trace(
    module: nn.Module, inputs: dict[str, Tensor], shapes: dict[str, dict]
) -> torch.export.ExportedProgram:
    """What torch.onnx would do first; but if it fails, that goes on in slower and laxer ways."""
    printed = io.StringIO()  # half of a graph, if it fails
    with redirect_stderr(printed):
        program = torch.export.export(
            module,
            tuple(inputs.values()),
            dynamic_shapes=_by_argument(module, shapes),
            strict=False,
        )
    sys.stderr.write(printed.getvalue())
    return program


def _reason(error: Exception) -> str:
    """What the innermost errors say, and where, without advice on debugging the exporter."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    parts = []
    for cause in causes[-2:]:
        first, *others = re.sub(r'\x1b\[\d*m', '', str(cause)).split('\n\n')
        parts += [first, *(part for part in others if '  File "' in part)]
    return '\n'.join(parts)


def check_onnx(proto: ModelProto, module: nn.Module, network: InferenceNetwork) -> float:
    """Compare an ONNX graph in ONNX Runtime with the module it was made of.

    Returns:
        The largest difference, over several numbers of targets and templates, see ``TOLERANCE``.

    Raises:
        NotExportable: If it is above ``TOLERANCE``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    worst = 0.0
    for batch in _BATCHES:
        for templates in _TEMPLATES if _sees_several(network) else (1,):
            examples = example_inputs(network, batch, templates)
            inputs = {name: examples[name] for name in module.inputs}
            difference = _compare(session, module, inputs)
            if not difference <= TOLERANCE:  # also if it is not a number
                raise NotExportable(
                    f'{type(module).__name__} of {_parts(network)} differs by {difference:.1e} in '
                    f'ONNX Runtime from torch, of its largest value, expected {TOLERANCE:.0e} at '
                    f'most ({batch} targets, {templates} templates): an operation was translated '
                    "wrongly. Try another version of torch and onnxscript, or backend='torch'."
                )
            worst = max(worst, difference)
    return worst


def _compare(session: InferenceSession, module: nn.Module, inputs: dict[str, Tensor]) -> float:
    with torch.inference_mode():
        expected = [output.numpy() for output in module(*inputs.values())]
    found = session.run(module.outputs, {name: one.numpy() for name, one in inputs.items()})
    return max(
        float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) if a.shape == b.shape else np.inf
        for a, b in zip(found, expected)
    )


def _name_parts(proto: ModelProto) -> None:
    """Begin the names of nodes behind the backbone with their part, as ``box_head/``."""
    for node in proto.graph.node:
        scopes = {one.key: one.value for one in node.metadata_props}.get(_SCOPES, '')
        if found := re.search(rf"'network\.model\.({'|'.join(PARTS_BEHIND)})'", scopes):
            node.name = f'{found[1]}/{node.name}'


def _forget_origin(proto: ModelProto) -> None:
    """Remove what the exporter notes of the source code, with the paths of this machine."""
    graph = proto.graph
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.doc_string = ''
        del part.metadata_props[:]
    del graph.metadata_props[:], proto.metadata_props[:]


def _name_axes(proto: ModelProto, shapes: dict[str, dict]) -> None:
    """Call axes of any size by the names that they were given, as old exporters do not."""
    names = {}
    for one in proto.graph.input:
        for axis, size in shapes[one.name].items():
            if called := one.type.tensor_type.shape.dim[axis].dim_param:
                names[called] = size.__name__
    for one in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for size in one.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]


def _with_metadata(proto: ModelProto, strings: dict[str, str]) -> bytes:
    from onnx import helper

    proto.producer_name = 'mmtrack_mixformerv2'
    proto.producer_version = strings['package_version']
    helper.set_model_props(proto, {ONNX_PREFIX + key: text for key, text in strings.items()})
    return proto.SerializeToString()


def _check_size(network: InferenceNetwork) -> None:
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > MAX_BYTES:
        raise NotExportable(
            f'the weights of {_parts(network)} have {size / 2**30:.2f} GiB and one ONNX file holds '
            "less than 2 GiB; track with backend='torch', or export a smaller model."
        )


def _parts(network: InferenceNetwork) -> str:
    """The model in words: its backbone and heads."""
    heads = filter(None, (network.model.box_head, network.model.score_head))
    names = [type(part).__name__ for part in (network.model.backbone, *heads)]
    return f'{names[0]} with {" and ".join(names[1:])}'


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out what the exporter always says, and nothing else."""
    loggers = [
        logging.getLogger('torch.onnx._internal.exporter._registration'),
        logging.getLogger('onnxscript.optimizer._constant_folding'),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '# The axis name', UserWarning)
        warnings.filterwarnings('ignore', '.*LeafSpec', FutureWarning)
        for logger in loggers:
            logger.addFilter(_is_news)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    known = 'torchvision is not installed', 'with multiple outputs'  # not folded: LayerNorm
    return not any(words in record.getMessage() for words in known)
