"""Checksums beside the files of an exported model, as ``sha256sum --check`` reads them."""

from __future__ import annotations

from pathlib import Path

from ..files import file_sha256, replace_file
from .errors import ExportedModelError
from .model_info import EXPORT_AGAIN

FILE = 'SHA256SUMS'
_SUFFIXES = ('.onnx', '.xml', '.bin')


def write_checksums(folder: Path) -> None:
    """Write those of all graphs and weights in a folder."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    lines = [f'{file_sha256(path)}  {path.name}\n' for path in paths]
    replace_file(folder / FILE, ''.join(lines).encode())


def verify(paths: list[Path]) -> None:
    """Compare files of a folder with its checksums, if it has some.

    Raises:
        ExportedModelError: If a file is another one than was exported.
    """
    sums = paths[0].with_name(FILE)
    if not sums.is_file():
        return
    lines = sums.read_text(encoding='utf-8', errors='replace').splitlines()
    expected = {name: digest for digest, _, name in (line.partition('  ') for line in lines)}
    for path in paths:
        if expected.get(path.name, '') != file_sha256(path):
            raise ExportedModelError(
                f'{path} is not the file that {sums.name} beside it was written for: it is damaged '
                f'or of another export. Copy all files of the export again, or {EXPORT_AGAIN}.'
            )
