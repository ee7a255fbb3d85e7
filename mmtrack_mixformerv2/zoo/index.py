"""The index of models: ``model-index.yml`` and the metafiles that it imports, as mim reads them.

Besides OpenMMLab's fields a model has, in its ``Metadata``:

``SHA256``, ``Bytes``
    Of the weights. Needed for weights that are downloaded; those that come with the package have
    them too, see ``tools/model_converters/refresh_metafiles.py``.
``Published File``, ``Published At``
    What the trainer of the authors calls a file of weights, in their own format, in place of
    ``Weights``; and where they publish it, if they do and it is known.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from . import settings
from .errors import UnknownModelError, ZooError

INDEX = 'model-index.yml'
_PACKAGE = Path(__file__).resolve().parents[1]
_ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]*')  # becomes the name of a file


@dataclass(frozen=True)
class ZooModel:
    """A model that has a name.

    Attributes:
        name: As ``Tracker``, ``load_from`` and every checkpoint argument take it.
        config: Its config file; None for exported models, which need none.
        weights: A file (it comes with the package or lies beside the index), the address of one, or
            None where only the authors of the model publish it.
        sha256: Of the weights, 64 hexadecimal digits; None where the index doesn't say.
        size: Of the weights in bytes; None where the index doesn't say.
        collection: The family of models that it belongs to.
        metadata: Everything else that the index says, e.g. ``Parameters``.
        results: As in the index: a dict with ``Task``, ``Dataset`` and ``Metrics`` each.
        index: The file that describes it.
    """

    name: str
    config: Path | None
    weights: Path | str | None
    sha256: str | None
    size: int | None
    collection: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Mapping[str, Any], ...] = ()
    index: Path | None = None

    @property
    def published_at(self) -> str | None:
        """Where its authors publish it, if that is known."""
        return self.metadata.get('Published At')

    @property
    def published_file(self) -> str | None:
        """What its authors call the file."""
        return self.metadata.get('Published File')

    @property
    def archive_kind(self) -> str | None:
        """Suffix of an archive that has to be unpacked, e.g. ``'.zip'``; None for others."""
        path = urlsplit(self.weights).path if isinstance(self.weights, str) else ''
        if path.endswith('.pth.tar'):  # a checkpoint, in spite of its name
            return None
        return next((kind for kind in _ARCHIVES if path.lower().endswith(kind)), None)


def resource_root() -> Path:
    """Folder of ``configs``, ``tools``, ``weights`` and the index.

    That is ``.mim`` in an installed package, where OpenMMLab's packages have it, or the repository.

    Raises:
        ZooError: If neither has an index.
    """
    for folder in (_PACKAGE / '.mim', _PACKAGE.parent):
        if (folder / INDEX).is_file():
            return folder
    raise ZooError(
        f'{_PACKAGE / ".mim" / INDEX} is missing: the package was installed without its configs '
        'and weights; install it again.'
    )


def list_models() -> list[ZooModel]:
    """All models: those of the package, then those of ``MIXFORMERV2_INDEX``.

    Raises:
        ZooError: If an index cannot be read, or two models have one name.
    """
    models: dict[str, ZooModel] = {}
    for path in (resource_root() / INDEX, *settings.index_files()):
        for model in read_index(path):
            if model.name in models:
                raise ZooError(
                    f'{path} has a model {model.name!r}, and so has {models[model.name].index}; '
                    'give one of them another name.'
                )
            models[model.name] = model
    return list(models.values())


def find_model(name: str) -> ZooModel:
    """The model with a name; capital letters do not matter.

    Raises:
        UnknownModelError: If there is none; the message has similar names.
        ZooError: If an index cannot be read.
    """
    models = {model.name.lower(): model for model in list_models()}
    if found := models.get(name.lower()):
        return found
    close = difflib.get_close_matches(name.lower(), models, n=3, cutoff=0.5)
    meant = f' Did you mean {" or ".join(models[one].name for one in close)}?' if close else ''
    names = ', '.join(model.name for model in models.values())
    raise UnknownModelError(
        f'there is no model {name!r}.{meant} Models: {names} (see `mixformerv2 download --list`).'
    )


def is_zoo_name(text: str | os.PathLike) -> bool:
    """Whether a model has this name and no file or folder does.

    Raises:
        ZooError: If an index cannot be read.
    """
    name = str(text)
    if not _NAME.fullmatch(name) or Path(name).exists():
        return False
    return name.lower() in {model.name.lower() for model in list_models()}


def read_index(path: Path) -> list[ZooModel]:
    """The models of an index file; paths in it and in its metafiles start at the index's folder.

    Args:
        path: Has ``Import``, a list of metafiles, or ``Models`` itself.

    Raises:
        ZooError: If a file is missing, is no such index, or says too little about a model.
    """
    content = _read_yaml(path)
    models = []
    for name in [None, *(content.get('Import') or ())]:
        metafile = path if name is None else path.parent / name
        entries = content if name is None else _read_yaml(metafile)
        for entry in entries.get('Models') or ():
            models.append(_model(entry, path.parent, metafile))
    return models


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ZooError(f'the index {path} cannot be read: {error}') from error
    if not isinstance(content, Mapping):
        raise ZooError(f'the index {path} holds no mapping; expected Import or Models in it.')
    return content


def _model(entry: Any, root: Path, metafile: Path) -> ZooModel:
    name = entry.get('Name') if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ZooError(
            f'{metafile} has a model called {name!r}; expected a Name of letters, digits, dots, '
            'hyphens and underscores.'
        )
    metadata = dict(entry.get('Metadata') or {})
    weights = entry.get('Weights')
    if isinstance(weights, str) and '://' not in weights:
        weights = root / weights
    config = root / entry['Config'] if entry.get('Config') else None
    sha256, size = metadata.pop('SHA256', None), metadata.pop('Bytes', None)
    model = ZooModel(
        name=name,
        config=config,
        weights=weights,
        sha256=sha256.lower() if isinstance(sha256, str) else sha256,
        size=size,
        collection=str(entry.get('In Collection') or ''),
        metadata=metadata,
        results=tuple(entry.get('Results') or ()),
        index=metafile,
    )
    _check(model)
    return model


def _check(model: ZooModel) -> None:
    what = f'{model.index}: the model {model.name}'
    if model.config is None and not model.archive_kind:
        raise ZooError(f'{what} has no Config; expected the path of one.')
    if model.config is not None and not model.config.is_file():
        raise ZooError(f'{what} has the Config {model.config}, which does not exist.')
    digest = model.sha256
    known = isinstance(digest, str) and re.fullmatch('[0-9a-f]{64}', digest)
    if not known and digest is not None:
        raise ZooError(f'{what} has the SHA256 {digest!r}; expected 64 hexadecimal digits.')
    if model.size is not None and (type(model.size) is not int or model.size < 1):
        raise ZooError(f'{what} has Bytes: {model.size!r}; expected a whole number above 0.')
    if model.weights is None and not model.published_file:
        raise ZooError(f'{what} has no Weights; expected them, or a Published File.')
    if isinstance(model.weights, str):
        settings.check_address(model.weights, f'{what}: Weights')
        if not known or model.size is None:
            raise ZooError(f'{what} is downloaded; expected SHA256 and Bytes in its Metadata.')
