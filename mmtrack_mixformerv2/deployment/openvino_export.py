"""A tracker as OpenVINO IR: two graphs, each an ``.xml`` with its weights beside it in ``.bin``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ..files import replace_file
from ..runtime.checksums import write_checksums
from ..runtime.errors import import_runtime
from ..runtime.model_info import RT_INFO_KEY
from .graphs import GRAPHS, describe
from .onnx_export import ExportedFiles, OnnxGraphs, export_onnx


def export_openvino(
    model: nn.Module,
    folder: str | os.PathLike,
    *,
    name: str = 'tracker',
    dtype: str = 'float32',
    graphs: OnnxGraphs | None = None,
) -> ExportedFiles:
    """Write ``template.xml``, ``search.xml`` and their ``.bin``, by way of ONNX.

    What the CPU computes in is told to OpenVINO when the files are opened. Only with
    ``dtype='float16'`` are the weights rounded in the files, which then have half the size.

    Args:
        model: A ``TemplateSearchTracker``.
        folder: For the files, which are replaced if they are there.
        name: Of the model, for people.
        dtype: What is going to be computed in: ``'float32'``, ``'bfloat16'``, ``'float16'`` or,
            with graphs for it, ``'int8'``.
        graphs: As for :func:`~.onnx_export.export_onnx`.

    Raises:
        BackendNotInstalled: If openvino or what :func:`~.onnx_export.export_onnx` needs is missing.
        NotExportable: See :func:`~.onnx_export.export_onnx`.
        OSError: If a file cannot be written.
    """
    import_runtime('openvino')
    with tempfile.TemporaryDirectory() as temporary:
        settings = {'name': name, 'backend': 'openvino', 'dtype': dtype}
        exported = export_onnx(model, temporary, **settings, graphs=graphs)
        for graph in GRAPHS:
            info = describe(model, graph=graph, **settings)
            path = Path(temporary) / f'{graph}.onnx'
            convert(path, info.to_strings(), Path(folder), compress=dtype == 'float16')
    write_checksums(Path(folder))
    paths = {graph: Path(folder) / f'{graph}.xml' for graph in GRAPHS}
    return ExportedFiles(**paths, difference=exported.difference)


def convert(path: Path, strings: Mapping[str, str], folder: Path, *, compress: bool) -> None:
    """Turn an ONNX file into IR of the same name in another folder.

    Args:
        path: The ONNX file.
        strings: Metadata of the IR.
        folder: For the IR.
        compress: Store the weights in float16.
    """
    import openvino

    model = openvino.Core().read_model(path)
    model.set_rt_info(dict(strings), RT_INFO_KEY)
    written = path.with_suffix('.xml')
    openvino.save_model(model, written, compress_to_fp16=compress)  # its default is True
    del model
    # Without its .xml a .bin is nothing, and with another one it is wrong.
    (folder / written.name).unlink(missing_ok=True)
    for suffix in ('.bin', '.xml'):
        replace_file(
            (folder / written.name).with_suffix(suffix), written.with_suffix(suffix).read_bytes()
        )
