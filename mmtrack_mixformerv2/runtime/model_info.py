"""What a graph of an exported model says about itself: flat strings inside of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from ..tracking.settings import TrackingSettings
from ..version import __version__
from .errors import ExportedModelError

FORMAT = '1'  # version of the metadata and of the names and shapes of inputs and outputs
ONNX_PREFIX = 'mixformerv2.'  # before every key in the metadata of an ONNX file
RT_INFO_KEY = 'mixformerv2'  # under which OpenVINO's rt_info has the keys

_NESTED = ('confidence', 'policy')  # settings that have settings, as JSON; they may be left out

GRAPHS = ('template', 'search')
TOKENS = 3  # axis of the template tokens in a tensor of the cache that has one
BACKENDS = ('onnxruntime', 'openvino', 'tensorrt')
DTYPES = ('float32', 'bfloat16', 'float16', 'int8')

EXPORT_TOOL = 'tools/deployment/export.py'
EXPORT_AGAIN = f'export the checkpoint again with {EXPORT_TOOL}'


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One graph of an exported model.

    Attributes:
        graph: ``'template'`` or ``'search'``.
        name: Of the model, for people.
        model_hash: SHA-256 of the weights in 64 hexadecimal digits; equal in graphs that belong
            together.
        dtype: What the graph was exported for, one of ``DTYPES``.
        backend: What the graph was exported for, one of ``BACKENDS``.
        search_size: Side of the search crop in pixels.
        template_size: Side of a template crop in pixels.
        cache: Names of the tensors that the template graph gives and the search graph takes, see
            :func:`grows`.
        settings: Constants of the tracking loop.
        package_version: Version of this package that exported the graph.

    Raises:
        ValueError: If a value is none of those.
    """

    graph: str
    name: str
    model_hash: str
    dtype: str
    backend: str
    search_size: int
    template_size: int
    cache: tuple[str, ...] = ('keys', 'values')
    settings: TrackingSettings = field(default_factory=TrackingSettings)
    package_version: str = __version__

    def __post_init__(self) -> None:
        _check_choice('graph', self.graph, GRAPHS)
        _check_choice('dtype', self.dtype, DTYPES)
        _check_choice('backend', self.backend, BACKENDS)
        if not re.fullmatch('[0-9a-f]{64}', self.model_hash):
            raise ValueError(f'model_hash is {self.model_hash!r}, expected 64 hexadecimal digits')
        for name in ('search_size', 'template_size'):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} is {value!r}, expected a positive integer')
        if not self.cache or not all(name.isidentifier() for name in self.cache):
            raise ValueError(f'cache is {self.cache!r}, expected names of tensors')

    def to_strings(self) -> dict[str, str]:
        """The metadata, flat; :meth:`from_strings` gives back an equal value."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values['cache'] = ','.join(values['cache'])
        settings = {k: v for k, v in asdict(values.pop('settings')).items() if v is not None}
        values.update({k: json.dumps(v) if k in _NESTED else v for k, v in settings.items()})
        return {'format': FORMAT, **{key: str(value) for key, value in values.items()}}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], source: str) -> ModelInfo:
        """Read metadata; keys that are not known are ignored.

        Args:
            strings: As :meth:`to_strings` gives them.
            source: The file, for messages.

        Raises:
            ExportedModelError: If the metadata is missing, of another format, or not valid.
        """
        _check_format(strings, source)
        plain = [one.name for one in fields(cls) if one.name != 'settings']
        constants = [one.name for one in fields(TrackingSettings) if one.name not in _NESTED]
        if missing := [key for key in (*plain, *constants) if key not in strings]:
            raise ExportedModelError(
                f'{source} lacks the metadata {", ".join(missing)}; {EXPORT_AGAIN}.'
            )
        values = {key: strings[key] for key in plain}
        try:
            for key in ('search_size', 'template_size'):
                values[key] = int(values[key])
            values['cache'] = tuple(values['cache'].split(','))
            values['settings'] = TrackingSettings(
                **{key: _number(strings[key]) for key in constants},
                **{key: json.loads(strings[key]) for key in _NESTED if key in strings},
            )
            return cls(**values)
        except ValueError as error:
            raise ExportedModelError(
                f'{source} has metadata that is not valid: {error}; {EXPORT_AGAIN}.'
            ) from error


def grows(name: str) -> bool:
    """Whether a tensor of the cache grows with the number of templates, along axis ``TOKENS``.

    Tensors called ``keys...`` and ``values...`` have the shape ``(targets, blocks, heads, template
    tokens, head width)``. All others, ``(targets, ...)``, are of the static template alone: they
    are the same whatever number of copies of it is encoded.
    """
    return name.startswith(('keys', 'values'))


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f'{name} is {value!r}, expected one of {", ".join(choices)}')


def _check_format(strings: Mapping[str, str], source: str) -> None:
    if 'format' not in strings:
        raise ExportedModelError(
            f'{source} has none of the metadata that {EXPORT_TOOL} writes, so sizes and settings '
            'of the tracker are unknown; export the checkpoint with that tool.'
        )
    if strings['format'] != FORMAT:
        raise ExportedModelError(
            f'{source} has format {strings["format"]!r}, written by version '
            f'{strings.get("package_version", "unknown")} of this package; version {__version__} '
            f'reads format {FORMAT!r}: {EXPORT_AGAIN}.'
        )


def _number(text: str) -> int | float:
    """A whole number stays one, since settings tell them apart."""
    return int(text) if re.fullmatch(r'[+-]?\d+', text) else float(text)
