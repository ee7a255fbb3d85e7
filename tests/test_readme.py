"""What the README and the documents say can be pasted, is there, and is true."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from documents import ROOT, documents
from mmengine.config import Config
from small_tracker import write_small_tracker

from mmtrack_mixformerv2.analysis import analyse

DOCUMENTS = documents()
README = DOCUMENTS[0]

CONFIG_FOLDER = 'configs/mixformerv2'
CONFIG = f'{CONFIG_FOLDER}/mixformerv2-tiny_test-synthetic.py'
WEIGHTS = 'weights/mixformerv2-tiny_synthetic.pth'
PICTURES = ('attention', 'edges', 'timeline')  # that blocks write


# ---- blocks of Python --------------------------------------------------------------------------


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
        block = block.replace(f"'{written}'", repr(real))
    monkeypatch.chdir(ROOT)  # the block names the config from here
    exec(compile(block, 'block of Python', 'exec'), {})
    printed = re.findall(r'[(\[]([^()\[\]]*\d[^()\[\]]*)[)\]]', capsys.readouterr().out)
    boxes = [[float(value) for value in box.replace(',', ' ').split()] for box in printed]
    for box in boxes:
        assert len(box) == 4 and np.isfinite(box).all() and min(box[2:]) > 0
    return boxes


def python_blocks() -> list[tuple[str, str]]:
    """Document and text of the blocks that are programs; the same one is there once.

    A block goes on with what those before it have imported.
    """
    found = {}
    for document in DOCUMENTS:
        imports = []
        for text in document.python_blocks():
            found.setdefault('\n'.join([*imports, text]), document.name)
            imports += re.findall(r'^(?:import|from) .*$', text, re.MULTILINE)
    return [(name, text) for text, name in found.items()]


@pytest.mark.parametrize(('name', 'block'), python_blocks(), ids=lambda text: text[:20])
def test_python_block_tracks_a_clip(name, block, request, clip, tmp_path, monkeypatch, capsys):
    if 'mmtrack_mixformerv2.doctor' in block:
        pytest.skip('starts many processes; tests/test_doctor_files.py and others do')
    values = {'video.mp4': clip}
    values |= {f'{name}.png': str(tmp_path / f'{name}.png') for name in PICTURES}
    if 'work_dirs/exported/tiny' in block:
        values['work_dirs/exported/tiny'] = str(request.getfixturevalue('exported_tracker'))
    if 'onnxruntime' in block:  # exporting this one takes a few seconds
        pytest.importorskip('onnxscript')
        pytest.importorskip('onnxruntime')
        values |= dict(zip((CONFIG, WEIGHTS), map(str, write_small_tracker(tmp_path))))
    values['weights/my_tracker.pth'] = WEIGHTS  # of the tutorial, and of the same sizes
    boxes = run_block(block, values, monkeypatch, capsys)
    first = 1 if '.track(' in block else 0  # it gives the box of the first frame, too
    targets = 2 if 'for result in tracker.update' in block else 1
    if 'box_xywh' in block:
        assert len(boxes) == (3 + first) * targets, name


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
        package = [name for row in rows for name in row if name]
        package = package if document.name == 'docs/architecture.md' else []
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
        text = path.read_text(encoding='utf-8') if path.suffix == '.md' else ''
        titles = re.findall(r'^#+ (.+)$', text, re.MULTILINE)
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


def test_make_targets_exist():
    codes = [code for document in DOCUMENTS for code in document.code]
    targets = {match[1] for match in (re.match(r'make (\w+)', code) for code in codes) if match}
    assert targets
    rules = set(re.findall(r'^(\w+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    assert targets <= rules


# ---- the table of published models -------------------------------------------------------------


WITH_TABLE = ('README.md', 'docs/models.md')


def table_rows() -> list[tuple[str, list[str]]]:
    """Name of a config, and the cells beside it."""
    prose = '\n'.join(one.prose for one in DOCUMENTS if one.name in WITH_TABLE)
    rows = re.findall(r'^\| `([a-z0-9]+[-_][^`]+\.py)` \|(.*)\|$', prose, re.MULTILINE)
    rows = [(name, [cell.strip() for cell in cells.split('|')]) for name, cells in rows]
    return [row for row in rows if len(row[1]) == 4]


@pytest.mark.parametrize(('name', 'cells'), table_rows(), ids=[name for name, _ in table_rows()])
def test_table_of_models_is_what_the_analysis_counts(name, cells):
    parameters, per_frame, published, sizes = cells
    config = min((ROOT / 'configs').glob(f'[!_]*/{name}'))
    counted = analyse(Config.fromfile(config))
    cost = counted.cost
    assert parameters == f'{counted.parameters["all"].total:,}'
    assert per_frame == written_like(per_frame, cost.with_cache)
    if published:  # the tiny tracker has no published counterpart
        assert published == written_like(published, cost.published)
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
    for folder in ('mixvit', 'mixformer_cvt', 'mvt', 'fermt'):
        models |= {path.stem.split('_')[0] for path in (ROOT / 'configs' / folder).glob('*.py')}
    models -= {name for name in models if '-tiny' in name} - {'mixformerv2-tiny'}
    assert {re.split(r'_|\.', name)[0] for name, _ in table_rows()} == models
