"""What the README and the documents say can be pasted, is there, and is true."""

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
from small_tracker import write_small_tracker
from tools_loader import load_tool

from mmtrack_mixformerv2.analysis import analyse

ROOT = Path(__file__).resolve().parents[1]


class Document:
    """A text in Markdown, in parts.

    Attributes:
        name: Its path from the root of the repository.
        blocks: Language and text of each block of code.
        prose: The text without these.
        code: What is in the prose between back quotes, and every command in a block.
    """

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self.name = path.relative_to(ROOT).as_posix()
        self.blocks = re.findall(r'^```(\w+)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
        self.prose = re.sub(r'^```.*?^```$', '', text, flags=re.MULTILINE | re.DOTALL)
        inline = [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', self.prose)]
        shell = [text.replace('\\\n', ' ') for kind, text in self.blocks if kind == 'bash']
        lines = [line for text in shell for line in unrolled(text)]
        self.code = [*inline, *(line.split('  #')[0].strip() for line in lines)]


def unrolled(script: str) -> list[str]:
    """The lines of a script, with all values of its loops."""
    loops = re.findall(r'for (\w+) in ([^;]+); do', script)
    lines = script.splitlines()
    for name, values in loops:
        lines = [line.replace(f'${{{name}}}', v) for line in lines for v in values.split()]
    return list(dict.fromkeys(lines))


README = Document(ROOT / 'README.md')
DOCUMENTS = [README, *map(Document, sorted((ROOT / 'docs').glob('*.md')))]

CONFIG_FOLDER = 'configs/mixformerv2'
CONFIG = f'{CONFIG_FOLDER}/mixformerv2-tiny_test-synthetic.py'
WEIGHTS = 'weights/mixformerv2-tiny_synthetic.pth'


def commands() -> list[tuple[str, str]]:
    """Tool, e.g. ``analysis_tools/get_flops``, and arguments of every command with arguments."""
    codes = [code for document in DOCUMENTS for code in document.code]
    found = [re.search(r'python tools/([\w/]+)\.py (.+)', code) for code in codes]
    return list(dict.fromkeys(match.groups() for match in found if match))


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


def run_block(block: str, values: dict[str, str], monkeypatch, capsys) -> list[list[float]]:
    """The boxes that a block of Python prints, with other values in place of some strings."""
    for written, real in values.items():
        assert block.count(f"'{written}'") == 1
        block = block.replace(f"'{written}'", repr(real))
    monkeypatch.chdir(ROOT)  # the block names the config from here
    exec(compile(block, 'block of Python', 'exec'), {})
    printed = re.findall(r'[(\[]([^()\[\]]*\d[^()\[\]]*)[)\]]', capsys.readouterr().out)
    boxes = [[float(value) for value in box.replace(',', ' ').split()] for box in printed]
    for box in boxes:
        assert len(box) == 4 and np.isfinite(box).all() and min(box[2:]) > 0
    return boxes


def test_python_block_tracks_a_clip(weights, clip, monkeypatch, capsys):
    (block,) = [text for kind, text in README.blocks if kind == 'python']
    boxes = run_block(block, {WEIGHTS: weights, 'video.mp4': clip}, monkeypatch, capsys)
    assert len(boxes) == 3  # every frame but the first


def test_python_blocks_about_deployment_track_a_clip(
    exported_tracker, clip, monkeypatch, capsys, tmp_path
):
    # Exporting this one takes a few seconds.
    config, weights = map(str, write_small_tracker(tmp_path))
    (document,) = [one for one in DOCUMENTS if one.name == 'docs/deployment.md']
    first, second = [text for kind, text in document.blocks if kind == 'python']
    values = {CONFIG: config, WEIGHTS: weights, 'video.mp4': clip}
    boxes = run_block(first, values, monkeypatch, capsys)
    assert len(boxes) == 3 * 2  # two targets
    values = {'work_dirs/exported/tiny': str(exported_tracker), 'video.mp4': clip}
    assert len(run_block(second, values, monkeypatch, capsys)) == 3


# ---- files and commands ------------------------------------------------------------------------


def named_files() -> list[tuple[str, str]]:
    """Documents, and files of this repository that they name, from its root.

    Names of what a command writes are left out.
    """
    found = {}
    for document in DOCUMENTS:
        text = '\n'.join([*document.code, *(text for _, text in document.blocks)])
        folders = r'configs|tools|tests|weights/mixformerv2|mmtrack_mixformerv2'
        paths = re.findall(rf'(?<![\w/.-])(?:{folders})[\w*-]*/?[\w./*-]*\.(?:py|sh|pth)\b', text)
        configs = re.findall(r'(?<![\w/.-])mixformerv2-[\w*-]+\.py\b', text)
        rows = re.findall(
            r'^\| `([\w/]+(?:\.py|/))`(?:, `([\w/]+)`)? \|', document.prose, re.MULTILINE
        )
        package = [name for row in rows for name in row if name] if document is README else []
        for name in (
            *paths,
            *(f'{CONFIG_FOLDER}/{name}' for name in configs),
            *(f'mmtrack_mixformerv2/{name}' for name in package),
        ):
            found.setdefault(name, document.name)
    return sorted((document, name) for name, document in found.items())


@pytest.mark.parametrize(('document', 'pattern'), named_files())
def test_named_file_exists(document, pattern):
    assert list(ROOT.glob(pattern)), f'{document} names {pattern}, which is not there'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r'\]\(([^)\s]+)\)', document.prose):
        if '://' in link:
            continue
        name, _, heading = link.partition('#')
        path = (ROOT / document.name).parent / name if name else ROOT / document.name
        assert path.is_file(), f'{document.name} links {link}, which is not there'
        titles = re.findall(r'^#+ (.+)$', path.read_text(), re.MULTILINE)
        anchors = {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}
        assert not heading or heading in anchors, f'{document.name} links {link}: no such heading'


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
    assert kinds <= {name for _, name in named_files()}
    assert {'demo', 'train', 'test', 'render_sequences'} <= {tool for tool, _ in commands()}


def test_make_targets_exist():
    codes = [code for document in DOCUMENTS for code in document.code]
    targets = {match[1] for match in (re.match(r'make (\w+)', code) for code in codes) if match}
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
    rows = re.findall(r'^\| `(mix[a-z0-9]+-[^`]+\.py)` \|(.*)\|$', README.prose, re.MULTILINE)
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
