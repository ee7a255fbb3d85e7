"""Stages side by side: real checkpoints of two small stages, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from mmtrack.registry import MODELS
from stages import small_stage
from tools_loader import load_tool

from mmtrack_mixformerv2.models.distillation import tracker_settings
from mmtrack_mixformerv2.synthetic import RenderSettings, make_difficulty, write_dataset

STAGES = ('mixvit-micro_synthetic', 'mixformerv2-micro-b_st2')


@pytest.fixture(scope='module')
def test_set(tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp('test_set')
    settings = RenderSettings(
        seed=6, difficulty=make_difficulty('easy'), frames=dict(train=20, val=20), size=(128, 96)
    )
    write_dataset(out, settings, dict(train=0, val=2), progress=False)
    return str(out)


@pytest.fixture
def configs(rendered, tmp_path) -> list[str]:
    """Two stages whose final checkpoints are there, with drawn weights."""
    paths = []
    for name in STAGES:
        cfg = small_stage(name, rendered, tmp_path / 'runs' / name)
        torch.manual_seed(0)
        weights = MODELS.build(tracker_settings(cfg)).state_dict()
        (tmp_path / 'runs' / name).mkdir(parents=True)
        final = f'epoch_{cfg.train_cfg.max_epochs}.pth'
        torch.save(dict(state_dict=weights), tmp_path / 'runs' / name / final)
        cfg.dump(tmp_path / f'{name}.py')
        paths.append(str(tmp_path / f'{name}.py'))
    return paths


def run(configs, test_set, tmp_path, *more: str) -> None:
    arguments = [*configs, '--data-root', test_set, '--work-root', str(tmp_path / 'runs')]
    load_tool('analysis_tools/compare_stages').main([*arguments, '--rounds', '1', *more])


def test_the_table_and_the_json_agree(configs, test_set, tmp_path, capsys):
    run(configs, test_set, tmp_path, '--json', str(tmp_path / 'table.json'))
    printed = capsys.readouterr().out
    rows = json.loads((tmp_path / 'table.json').read_text())
    assert [row['stage'] for row in rows] == list(STAGES)
    assert [row['layers'] for row in rows] == [6, 4]  # two have left the second
    for row in rows:
        line = next(line for line in printed.splitlines() if line.startswith(row['stage']))
        assert f'{row["parameters"]:,}' in line
        assert f'{row["sot/success"]:.1f}' in line
        assert 0 <= row['sot/success'] <= 100
    assert rows[1]['multiply_adds'] < rows[0]['multiply_adds']


def test_an_unfinished_stage_is_named(configs, test_set, tmp_path):
    (tmp_path / 'runs' / STAGES[1] / 'epoch_4.pth').unlink()
    with pytest.raises(SystemExit, match=f'{STAGES[1]} is not finished .*tools/train.py'):
        run(configs, test_set, tmp_path)


def test_results_without_a_place_are_refused_before_anything_is_measured(configs, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(configs, 'nowhere', tmp_path, '--json', str(tmp_path / 'no' / 'rows.json'))
    assert 'there is no folder' in capsys.readouterr().err


def test_missing_sequences_are_named(configs, tmp_path):
    with pytest.raises(SystemExit, match='error: .*nowhere'):
        run(configs, str(tmp_path / 'nowhere'), tmp_path)
