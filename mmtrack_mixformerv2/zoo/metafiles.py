"""Keeps ``SHA256`` and ``Bytes`` in metafiles up to date; comments and order stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import file_sha256, replace_file
from .errors import ZooError
from .index import ZooModel, read_index


def refresh_metafiles(index: Path) -> list[str]:
    """Write size and SHA-256 of all weights that lie beside an index into its metafiles.

    Args:
        index: The index file; its metafiles are changed.

    Returns:
        Names of the models whose entries changed.

    Raises:
        ZooError: If an index cannot be read, weights are missing, or an entry lacks the fields.
    """
    changed = []
    for model in read_index(index):
        if not isinstance(model.weights, Path):
            continue
        if not model.weights.is_file():
            raise ZooError(f'{model.index}: {model.weights}, Weights of {model.name}, is missing.')
        sha256, size = file_sha256(model.weights), model.weights.stat().st_size
        if (sha256, size) != (model.sha256, model.size):
            text = model.index.read_text(encoding='utf-8')
            text = _with_value(model, text, 'SHA256', f"'{sha256}'")  # else YAML may see a number
            text = _with_value(model, text, 'Bytes', str(size))
            replace_file(model.index, text.encode())
            changed.append(model.name)
    return changed


def _with_value(model: ZooModel, text: str, field: str, value: str) -> str:
    """The text of a metafile with another value in one model's entry."""
    start = re.search(rf'^\s*- Name: *[\'"]?{re.escape(model.name)}[\'"]? *$', text, re.MULTILINE)
    following = start and re.search(r'^\s*- Name:', text[start.end() :], re.MULTILINE)
    end = start.end() + following.start() if following else len(text)
    found = start and re.search(rf'^(\s+{field}:) .*$', text[start.end() : end], re.MULTILINE)
    if not found:
        raise ZooError(
            f'{model.index}: no line "{field}: ..." in the entry of {model.name}, which has to '
            f'begin with "- Name: {model.name}"; add one to its Metadata.'
        )
    position = start.end()
    return f'{text[: position + found.start()]}{found[1]} {value}{text[position + found.end() :]}'
