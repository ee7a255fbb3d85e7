"""A tracker as two ONNX files, checked against torch by ONNX Runtime."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..files import replace_file
from ..models.inference import InferenceNetwork
from ..runtime.errors import import_runtime
from ..runtime.model_info import ONNX_PREFIX
from .graphs import GRAPHS, NotExportable, check_exportable, describe

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

# The first one with Gelu; LayerNormalization came with 17. OpenVINO and TensorRT read it.
OPSET = 20
MAX_BYTES = 2**31 - 2**20  # of weights: a protobuf message has less than 2 GiB
# Largest difference between ONNX Runtime and torch, as a share of the largest value or of 1.
TOLERANCE = 1e-4
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


def export_onnx(
    model: nn.Module,
    folder: str | os.PathLike,
    *,
    name: str = 'tracker',
    backend: str = 'onnxruntime',
    dtype: str = 'float32',
) -> ExportedFiles:
    """Write ``template.onnx`` and ``search.onnx``, each with its weights and metadata inside.

    The number of targets and of templates is free. Both files are float32 graphs, whatever they
    are going to be computed in, and have been compared with torch before they are written.

    Args:
        model: A ``TemplateSearchTracker``.
        folder: For the files, which are replaced if they are there.
        name: Of the model, for people.
        backend: What is going to run them, for the metadata.
        dtype: What that is going to compute in, for the metadata.

    Raises:
        BackendNotInstalled: If onnx, onnxscript or onnxruntime is missing.
        NotExportable: If the model has a part that ONNX cannot express, or the files differ from
            torch.
        OSError: If a file cannot be written.
    """
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        import_runtime(package)
    check_exportable(model)
    network = InferenceNetwork.of(model).frozen().cpu()
    _check_size(network)
    contents, difference = {}, 0.0
    for graph, kind in GRAPHS.items():
        module = kind(network).eval()
        proto = convert(module, example_inputs(network, 2, 2))
        info = describe(model, graph=graph, name=name, backend=backend, dtype=dtype)
        _write_metadata(proto, info.to_strings())
        contents[graph] = proto.SerializeToString()
        difference = max(difference, check_onnx(contents[graph], module, network))
    paths = {graph: Path(folder) / f'{graph}.onnx' for graph in contents}
    for graph, path in paths.items():
        replace_file(path, contents[graph])
    return ExportedFiles(**paths, difference=difference)


def example_inputs(network: InferenceNetwork, batch: int, templates: int) -> dict[str, Tensor]:
    """Noise for the inputs of both graphs, by name; the cache is what the templates give."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=generator)

    side = network.template_size
    crops = noise(batch, templates, side, side)
    with torch.inference_mode():
        keys, values = GRAPHS['template'](network)(crops)
    side = network.search_size
    return {
        'crops': crops,
        'crop': noise(batch, side, side),
        'keys': keys.clone(),
        'values': values.clone(),
    }


def convert(module: nn.Module, examples: dict[str, Tensor]) -> ModelProto:
    """The ONNX graph of one of ``GRAPHS``.

    Raises:
        NotExportable: If torch or its exporter cannot do it; the message says at which operation.
    """
    import onnx

    inputs = {name: examples[name] for name in module.inputs}
    batch, templates, tokens = (torch.export.Dim(n, min=1) for n in ('batch', 'templates', 'tokens'))
    free = {'crops': {0: batch, 1: templates}, 'crop': {0: batch}}
    cache = {0: batch, 3: tokens}
    shapes = {name: free.get(name, cache) for name in inputs}
    try:
        with torch.no_grad(), _quiet_exporter():
            # By itself, torch.onnx would try slower ways of tracing, and fix sizes in the end.
            program = torch.export.export(module, (), inputs, dynamic_shapes=shapes, strict=False)
            exported = torch.onnx.export(
                program,
                input_names=list(module.inputs),
                output_names=module.outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        proto = exported.model_proto
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # of torch, its exporter or onnx, which share no base class
        raise NotExportable(
            f'{type(module).__name__} of {_parts(module.network)} cannot be turned into ONNX '
            f'opset {OPSET}: {error}\nReplace that operation in the module that has it, or track '
            "with backend='torch'."
        ) from error
    return proto


def check_onnx(content: bytes, module: nn.Module, network: InferenceNetwork) -> float:
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
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    worst = 0.0
    for batch in _BATCHES:
        for templates in _TEMPLATES:
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
        expected = [output.numpy() for output in module(**inputs)]
    found = session.run(module.outputs, {name: one.numpy() for name, one in inputs.items()})
    return max(
        float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) if a.shape == b.shape else np.inf
        for a, b in zip(found, expected)
    )


def _write_metadata(proto: ModelProto, strings: dict[str, str]) -> None:
    from onnx import helper

    proto.producer_name = 'mmtrack_mixformerv2'
    proto.producer_version = strings['package_version']
    proto.graph.name = strings['graph']
    helper.set_model_props(proto, {ONNX_PREFIX + key: text for key, text in strings.items()})


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
    registry = logging.getLogger('torch.onnx._internal.exporter._registration')
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'The axis name|# The axis name', UserWarning)
        warnings.filterwarnings('ignore', '.*LeafSpec', FutureWarning)
        registry.addFilter(_is_news)
        try:
            yield
        finally:
            registry.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return 'torchvision is not installed' not in record.getMessage()
