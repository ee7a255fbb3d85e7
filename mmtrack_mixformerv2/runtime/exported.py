"""The files of an exported model: finding them, and checking that they fit each other.

A folder holds two graphs, ``template`` (crops to cache) and ``search`` (crop and cache to box), as
ONNX (``.onnx``) or as OpenVINO IR (``.xml`` with the weights beside it in ``.bin``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from .checksums import verify
from .errors import ExportedModelError
from .model_info import EXPORT_AGAIN, GRAPHS, ModelInfo, grows

KINDS = ('.onnx', '.xml')
ANY = -1  # an expected dimension that may be free or fixed to anything


class Port(NamedTuple):
    """An input of a graph.

    Attributes:
        dtype: As NumPy calls it.
        shape: None for a dimension that may have any size.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Graph:
    """A graph as its file describes it.

    Attributes:
        path: The file.
        info: Its metadata.
        inputs: By name.
        outputs: Their names.
    """

    path: Path
    info: ModelInfo
    inputs: Mapping[str, Port]
    outputs: Sequence[str]


def find_kinds(folder: str | os.PathLike) -> list[str]:
    """Which of ``KINDS`` of files a folder has.

    Raises:
        ExportedModelError: If there is no such folder, or it has none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ExportedModelError(
            f'{folder} is {"a file" if folder.exists() else "not there"}, expected the folder of '
            'an exported model, which has a template and a search graph.'
        )
    kinds = [kind for kind in KINDS if any((folder / (name + kind)).exists() for name in GRAPHS)]
    if not kinds:
        raise ExportedModelError(
            f'{folder} has no exported model, expected template.onnx and search.onnx, or '
            f'template.xml and search.xml with their .bin; {EXPORT_AGAIN}.'
        )
    return kinds


def find_graphs(folder: str | os.PathLike, kinds: Sequence[str] = KINDS) -> dict[str, Path]:
    """Files of the template and of the search graph, by the names of the graphs.

    Args:
        folder: Of the exported model.
        kinds: Those that will do, the best one first.

    Raises:
        ExportedModelError: If a file is missing or empty, or not the one that was exported.
    """
    found = find_kinds(folder)
    kind = next((kind for kind in kinds if kind in found), None)
    if kind is None:
        raise ExportedModelError(
            f'{folder} has {" and ".join(found)} files, expected {" or ".join(kinds)}; choose the '
            f'backend that runs them, or export the checkpoint for this one.'
        )
    paths = {name: Path(folder) / (name + kind) for name in GRAPHS}
    needed = list(paths.values())
    if kind == '.xml':
        needed += [path.with_suffix('.bin') for path in paths.values()]
    for path in needed:
        if not path.is_file():
            raise ExportedModelError(
                f'{path} is missing; copy all files of an export, or {EXPORT_AGAIN}.'
            )
        if not path.stat().st_size:
            raise ExportedModelError(f'{path} is empty; copy it again, or {EXPORT_AGAIN}.')
    verify(needed)
    return paths


def damaged(path: Path, error: Exception) -> ExportedModelError:
    """What to raise when a runtime cannot read a file."""
    reason = ' '.join(str(error).split())
    return ExportedModelError(
        f'{path} ({path.stat().st_size} bytes) cannot be read: it is cut off, damaged or no graph. '
        f'Copy it again, or {EXPORT_AGAIN}. The runtime says: {reason}'
    )


def check_pair(template: Graph, search: Graph) -> None:
    """Find out whether two graphs are those of one model.

    Raises:
        ExportedModelError: If one is not what its file name says, has other inputs or outputs than
            this version reads, or if they were exported from different models.
    """
    _check_kind(template, 'template')
    _check_kind(search, 'search')
    for one in fields(ModelInfo):
        values = [getattr(graph.info, one.name) for graph in (template, search)]
        if one.name != 'graph' and values[0] != values[1]:
            raise ExportedModelError(
                f'{template.path} and {search.path} do not belong together: {one.name} is '
                f'{values[0]!r} in one and {values[1]!r} in the other. Copy both files of one '
                f'export, or {EXPORT_AGAIN}.'
            )
    info = search.info
    count = None if info.settings.num_online_templates else ANY  # some models see but one
    side = info.template_size
    _check_ports(template, {'crops': Port('uint8', (None, count, side, side, 3))}, info.cache)
    side = info.search_size
    cache = {name: _expected_port(name, search.inputs, count) for name in info.cache}
    _check_ports(search, {'crop': Port('uint8', (None, side, side, 3)), **cache}, ['box'])


def _expected_port(name: str, inputs: Mapping[str, Port], tokens: int | None) -> Port:
    """Of a tensor of the cache; one that does not grow may have any number of dimensions."""
    if grows(name):
        return Port('float32', (None, ANY, ANY, tokens, ANY))
    own = inputs[name].shape[1:] if name in inputs else (ANY,)
    return Port('float32', (None, *[ANY] * len(own)))


def _check_kind(graph: Graph, expected: str) -> None:
    if graph.info.graph != expected:
        raise ExportedModelError(
            f'{graph.path} has the {graph.info.graph} graph, expected the {expected} graph; the '
            'file was renamed: give it its name back.'
        )


def _check_ports(graph: Graph, inputs: Mapping[str, Port], outputs: Sequence[str]) -> None:
    same = graph.inputs.keys() == inputs.keys() and all(
        _fits(graph.inputs[name], port) for name, port in inputs.items()
    )
    if not same or not set(outputs) <= set(graph.outputs):
        raise ExportedModelError(
            f'{graph.path} maps {_describe(graph.inputs)} to {", ".join(graph.outputs)}; expected '
            f'{_describe(inputs)} to {", ".join(outputs)} at least. {EXPORT_AGAIN.capitalize()}.'
        )


def _fits(port: Port, expected: Port) -> bool:
    """Whether types and dimensions agree."""
    return (
        port.dtype == expected.dtype
        and len(port.shape) == len(expected.shape)
        and all(want in (ANY, size) for size, want in zip(port.shape, expected.shape))
    )


def _describe(ports: Mapping[str, Port]) -> str:
    """Inputs for a message; N stands for any number, ? for one that the message is not about."""

    def shape(port: Port) -> str:
        return ' x '.join({None: 'N', ANY: '?'}.get(size, str(size)) for size in port.shape)

    return ', '.join(f'{name} ({port.dtype} {shape(port)})' for name, port in ports.items())
