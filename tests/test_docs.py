"""The documentation builds without a warning, and what is written by hand is complete."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import ROOT

DOCS = ROOT / 'docs'


@pytest.fixture(scope='module')
def option_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location('option_tables', DOCS / 'option_tables.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_options_are_those_of_the_code(option_tables):
    written = option_tables.PAGE.read_text(encoding='utf-8')
    assert written == option_tables.page(), 'run: python docs/option_tables.py'


def test_every_option_is_described(option_tables):
    """A row has three cells: name, default, and a text."""
    page = option_tables.page()
    for name in option_tables.registered():
        assert f'\n### {name}\n' in page
    empty = re.findall(r'^\| `(\w+)` \| .* \|  \|$', page, re.MULTILINE)
    assert set(empty) <= {'init_cfg'}, 'these are in no docstring'


def test_documentation_builds_without_a_warning(tmp_path):
    """In a process of its own: Sphinx replaces the defaults of functions that it documents."""
    for package in ('sphinx', 'myst_parser', 'furo'):
        pytest.importorskip(package)
    html = tmp_path / 'html'
    options = ['-W', '--keep-going', '-q', '-b', 'html', '-d', tmp_path / 'trees']
    command = [sys.executable, '-m', 'sphinx', *options, DOCS, html]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'SequenceTracker' in (html / 'api/track.html').read_text(encoding='utf-8')
    assert 'min_visible' in (html / 'options.html').read_text(encoding='utf-8')
    assert (html / '_images/data_flow.svg').is_file()


def test_every_page_is_in_the_contents():
    pages = {path.stem for path in DOCS.glob('*.md')} - {'index'}
    listed = set(re.findall(r'^(\w+)$', (DOCS / 'index.md').read_text(), re.MULTILINE))
    assert pages <= listed
    for path in (DOCS / 'api').glob('*.md'):
        assert path.stem == 'index' or path.stem in (DOCS / 'api/index.md').read_text()


def test_modules_of_the_reference_are_there():
    for path in (DOCS / 'api').glob('*.md'):
        for name in re.findall(r'automodule:: (\S+)', path.read_text()):
            assert importlib.util.find_spec(name), f'{path.name} names {name}'


def test_citation_file_is_complete():
    yaml = pytest.importorskip('yaml')
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    from mmtrack_mixformerv2.version import __version__

    assert citation['version'] == __version__
    assert citation['license'] == 'Apache-2.0'
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    assert Path(ROOT / 'LICENSE').is_file()
