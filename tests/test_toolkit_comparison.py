"""Rules of toolkits side by side: what each changes, and that the document has these figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools_loader import load_tool

from mmtrack_mixformerv2.evaluation.toolkit_comparison import (
    compare_got10k,
    compare_ope,
    compare_whole_pixels,
    draw_tracks,
)

DOCUMENT = Path(__file__).resolve().parents[1] / 'docs' / 'evaluation.md'


@pytest.fixture(scope='module')
def tracks():
    return draw_tracks()


@pytest.fixture(scope='module')
def ope(tracks):
    """The table without the toolkit, which takes long; by title of row and column."""
    head, *rows = compare_ope(tracks, toolkit=False)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_the_document_has_what_the_tool_prints(tracks):
    rows = re.findall(r'^\| (.+) \|$', DOCUMENT.read_text(), re.MULTILINE)
    tables = [compare_ope(tracks, toolkit=False), compare_got10k(tracks), compare_whole_pixels()]
    for row in (row for table in tables for row in table):
        wanted = ' | '.join(row)
        assert any(f'{there} | '.startswith(f'{wanted} | ') for there in rows), wanted


def test_each_rule_changes_what_it_is_about(ope):
    plain = ope['as drawn']
    assert len(set(plain.values())) == 1
    same = {
        title: {name for name, cell in row.items() if cell == plain[name]}
        for title, row in ope.items()
    }
    assert same == {
        'as drawn': set(plain),
        '1 of 10 targets not seen': {'OTB100, UAV123, NfS', "MMTracking's default"},
        '1 of 10 boxes 0,0,0,0': set(),
        '1 of 10 boxes at x = 0': {'folder', "MMTracking's default"},
        '1 of 7 results without width': set(),
    }


def test_every_rule_of_got10k_changes_every_number(tracks):
    rows = compare_got10k(tracks)[1:]
    assert all(len(set(column)) == len(rows) for column in zip(*rows, strict=True))


def test_the_toolkit_scores_the_same_tracks(tracks):
    pytest.importorskip('got10k')
    head, *rows = compare_ope(tracks[:2])
    folder, theirs = (head.index(name) for name in ('folder', 'got10k, OTB'))
    assert rows[0][theirs].split(' / ')[::2] == rows[0][folder].split(' / ')[::2]
    assert rows[2][theirs].split(' / ')[0] == rows[2][folder].split(' / ')[0]


def test_tool_prints_markdown(monkeypatch, capsys):
    tool = load_tool('analysis_tools/compare_protocols')
    monkeypatch.setattr(tool, 'compare_ope', lambda tracks, seed: [['a', 'b'], ['1', '2']])
    tool.main([])
    printed = capsys.readouterr().out
    assert '| a | b |\n|---|---|\n| 1 | 2 |\n' in printed
    assert '| 13 px | ' in printed and "| the toolkit's | " in printed
