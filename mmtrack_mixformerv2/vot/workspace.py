"""Workspaces of the VOT toolkit: which stack of experiments, and which trackers.

Only two text files are written; the toolkit makes everything else.
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

# Stacks whose ground truth are masks. The others have boxes, or polygons before 2020.
MASK_STACKS = ('vot2020/shortterm', 'vot2021/shortterm', 'vot2022/shortterm', 'tests/segmentation')
# Seconds until the toolkit gives up: a first answer may have to wait for a GPU.
_TIMEOUT = 300
_NAME = re.compile(r'[A-Za-z0-9_-]+')


def region_of(stack: str) -> str:
    """What a tracker has to ask for in a stack: ``'mask'`` or ``'rectangle'``."""
    return 'mask' if stack in MASK_STACKS else 'rectangle'


def write_workspace(folder: str | Path, stack: str) -> None:
    """Make a workspace, or check that it has this stack.

    Raises:
        ValueError: If the folder is a workspace of another stack.
        FileExistsError: If it is a file.
    """
    folder = Path(folder)
    config = folder / 'config.yaml'
    if config.is_file():
        found = (yaml.safe_load(config.read_text(encoding='utf-8')) or {}).get('stack')
        if found != stack:
            raise ValueError(
                f'{config} is a workspace of the stack {found}, expected {stack}; choose another '
                'folder.'
            )
        return
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f'{folder} is a file, expected a folder for the workspace')
    folder.mkdir(parents=True, exist_ok=True)
    settings = {'registry': ['./trackers.ini'], 'stack': stack}
    config.write_text(yaml.safe_dump(settings), encoding='utf-8')


def add_tracker(folder: str | Path, name: str, command: Sequence[str], label: str) -> None:
    """Add a tracker to the ``trackers.ini`` of a workspace.

    Args:
        folder: The workspace.
        name: What the commands of the toolkit call it.
        command: Program and arguments; paths have to be absolute, since the toolkit starts it in
            a temporary folder.
        label: Its name in reports.

    Raises:
        ValueError: If the name cannot be one, or is taken by another tracker: the toolkit would
            keep its results.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'the tracker is called {name!r}, expected letters, digits, - and _ only (a rule of '
            'the toolkit); give it another name.'
        )
    path = Path(folder) / 'trackers.ini'
    text = path.read_text(encoding='utf-8') if path.is_file() else ''
    registry = configparser.ConfigParser()
    registry.read_string(text, source=str(path))
    line = shlex.join(command)
    if registry.has_section(name):
        found = registry.get(name, 'command', fallback=None)
        if found != line:
            raise ValueError(
                f'{path} has a tracker {name} with another command: {found}; choose another name, '
                'since the toolkit would not run again what it has results of.'
            )
        return
    values = {'label': label, 'protocol': 'trax', 'timeout': _TIMEOUT, 'command': line}
    lines = [f'{key} = {str(value).replace("%", "%%")}' for key, value in values.items()]
    section = '\n'.join([f'[{name}]', *lines, ''])
    path.write_text(f'{text.rstrip()}\n\n{section}'.lstrip(), encoding='utf-8')
