"""What the README says can be pasted, is there, and is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from tools_loader import load_tool

from mmtrack_mixformerv2.analysis import analyse

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'^```(\w+)\n(.*?)^```$', README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r'^```.*?^```$', '', README, flags=re.MULTILINE | re.DOTALL)
INLINE = [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', PROSE)]
LINES = [line for kind, text in BLOCKS if kind == 'bash' for line in text.splitlines()]
CODE = [*INLINE, *(line.split('  #')[0].strip() for line in LINES)]

CONFIG_FOLDER = 'configs/mixformerv2'
CONFIG = f'{CONFIG_FOLDER}/mixformerv2-tiny_test-synthetic.py'
WEIGHTS = 'weights/mixformerv2-tiny_synthetic.pth'


def commands() -> list[tuple[str, str]]:
    """Tool, e.g. ``analysis_tools/get_flops``, and arguments of every command with arguments."""
    found = [re.search(r'python tools/([\w/]+)\.py (.+)', code) for code in CODE]
    return [match.groups() for match in found if match]


# ---- the Python block --------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path) -> str:
    """The weights that the block loads; drawn ones where they are not there."""
    if (ROOT / WEIGHTS).exists():
        return WEIGHTS
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(ROOT / CONFIG).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'drawn.pth')
    return str(tmp_path / 'drawn.pth')


@pytest.fixture
def clip(tmp_path) -> str:
    """Four frames of a bright square that moves, where the block's first box is."""
    path = str(tmp_path / 'clip.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 25, (640, 480))
    for index in range(4):
        frame = np.full((480, 640, 3), 60, np.uint8)
        frame[139 : 139 + 116, 316 + 4 * index : 428 + 4 * index] = (30, 200, 250)
        writer.write(frame)
    writer.release()
    return path


def test_python_block_tracks_a_clip(weights, clip, monkeypatch, capsys):
    (block,) = [text for kind, text in BLOCKS if kind == 'python']
    for written, real in ((f"'{WEIGHTS}'", repr(weights)), ("'video.mp4'", repr(clip))):
        assert block.count(written) == 1
        block = block.replace(written, real)
    monkeypatch.chdir(ROOT)  # the block names the config from here
    exec(compile(block, 'README.md', 'exec'), {})
    boxes = re.findall(r'[(\[]([^()\[\]]*\d[^()\[\]]*)[)\]]', capsys.readouterr().out)
    assert len(boxes) == 3  # every frame but the first
    for box in boxes:
        values = [float(value) for value in box.replace(',', ' ').split()]
        assert len(values) == 4 and np.isfinite(values).all() and min(values[2:]) > 0


# ---- files and commands ------------------------------------------------------------------------


def named_files() -> list[str]:
    """Files of this repository, from its root; names of what a command writes are left out."""
    text = '\n'.join(code for code in (*CODE, *(text for _, text in BLOCKS)))
    folders = r'configs|tools|tests|weights/mixformerv2|mmtrack_mixformerv2'
    paths = re.findall(rf'(?<![\w/.-])(?:{folders})[\w*-]*/?[\w./*-]*\.(?:py|sh|pth)\b', text)
    configs = re.findall(r'(?<![\w/.-])mixformerv2-[\w*-]+\.py\b', text)
    package = re.findall(r'^\| `([\w/]+(?:\.py|/))`(?:, `([\w/]+)`)? \|', PROSE, re.MULTILINE)
    return sorted(
        {
            *paths,
            *(f'{CONFIG_FOLDER}/{name}' for name in configs),
            *(f'mmtrack_mixformerv2/{name}' for row in package for name in row if name),
        }
    )


@pytest.mark.parametrize('pattern', named_files())
def test_named_file_exists(pattern):
    assert list(ROOT.glob(pattern)), f'README.md names {pattern}, which is not there'


def test_names_are_found():
    """The search above finds every kind of name."""
    kinds = {
        CONFIG,
        WEIGHTS,
        'tools/demo.py',
        'tests/test_parity.py',
        'mmtrack_mixformerv2/models/',
        f'{CONFIG_FOLDER}/mixformerv2-b_test-*.py',
    }
    assert kinds <= set(named_files())
    assert {'demo', 'train', 'test', 'render_sequences'} <= {tool for tool, _ in commands()}


def test_make_targets_exist():
    targets = {match[1] for match in (re.match(r'make (\w+)', code) for code in CODE) if match}
    assert targets
    rules = set(re.findall(r'^(\w+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    assert targets <= rules


@pytest.mark.parametrize(('tool', 'arguments'), commands())
def test_command_is_understood(tool, arguments, monkeypatch, capsys):
    module = load_tool(tool)
    monkeypatch.setattr('sys.argv', [tool, '--help'])
    with pytest.raises(SystemExit):
        module.parse_args()
    usage = capsys.readouterr().out.split('\n\n')[0]
    known = set(re.findall(r'--[a-z][\w-]*', usage))
    assert set(re.findall(r'(?<!\S)\[?(--[\w-]+)', arguments)) <= known
    if '[' not in arguments:
        monkeypatch.setattr('sys.argv', [tool, *shlex.split(arguments)])
        module.parse_args()


# ---- the table of published models -------------------------------------------------------------


def table_rows() -> list[tuple[str, list[str]]]:
    """Name of a config, and the cells beside it."""
    rows = re.findall(r'^\| `(mix[a-z0-9]+-[^`]+\.py)` \|(.*)\|$', PROSE, re.MULTILINE)
    return [(name, [cell.strip() for cell in cells.split('|')]) for name, cells in rows]


@pytest.mark.parametrize(('name', 'cells'), table_rows(), ids=[name for name, _ in table_rows()])
def test_table_of_models_is_what_the_analysis_counts(name, cells):
    parameters, per_frame, published, sizes = cells
    config = min((ROOT / 'configs').glob(f'mix*/{name}'))
    counted = analyse(Config.fromfile(config))
    cost = counted.cost
    assert parameters == f'{counted.parameters["all"].total:,}'
    assert per_frame == written_like(per_frame, cost.with_cache)
    if published:  # the tiny tracker has no published counterpart
        assert published == written_like(published, cost.without_cache + cost.unused)
    assert sizes == f'{counted.search_size} / {counted.template_size}'


def written_like(shown: str, count: int) -> str:
    """A count with the unit and as many decimals as what is shown, e.g. ``20.6 G``."""
    number, _, unit = shown.partition(' ')
    decimals = len(number.partition('.')[2])
    return f'{count / {"M": 1e6}.get(unit, 1e9):.{decimals}f} {unit}'


def test_table_has_a_row_for_every_model():
    """Of the published sizes and the tracker that comes with weights."""
    models = {path.stem for path in (ROOT / 'configs/_base_/models').glob('mixformerv2-*.py')}
    models -= {'mixformerv2-micro'}
    models |= {path.stem for path in (ROOT / 'configs/mixvit').glob('*.py')}
    assert {re.split(r'_|\.', name)[0] for name, _ in table_rows()} == models
