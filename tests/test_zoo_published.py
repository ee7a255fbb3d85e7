"""A file of the authors becomes a name; ``mixformerv2 download`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS
from published import assert_same, save_published, small_published

from mmtrack_mixformerv2 import zoo
from mmtrack_mixformerv2.checkpoints import (
    convert_state_dict,
    model_settings,
    name_weights,
    write_checkpoint,
)
from mmtrack_mixformerv2.cli import main

ROOT = Path(__file__).resolve().parents[1]
NAME = 'mixformerv2-mini'


@pytest.fixture(scope='module')
def net():
    return small_published()


def write_config(path: Path, base: str, settings: dict) -> None:
    """A config of the repository with settings that ``--cfg-options`` takes."""
    nested: dict = {}
    for key, value in settings.items():
        *names, last = key.split('.')
        inner = nested
        for name in names:
            inner = inner.setdefault(name, {})
        inner[last] = value
    lines = [f'_base_ = {str(ROOT / base)!r}']
    lines += [f'{key} = {value}' for key, value in nested.items()]
    path.write_text('\n'.join(lines))


@pytest.fixture
def cache(tmp_path, monkeypatch, net) -> Path:
    """An empty cache, and an index with a small model that its authors publish."""
    settings = model_settings(convert_state_dict(net).sizes, num_heads=4)
    write_config(tmp_path / 'mini.py', 'configs/mixformerv2/mixformerv2-b_test-lasot.py', settings)
    metadata = {'Published At': 'https://authors', 'Published File': 'mini.pth.tar'}
    entry = {'Name': NAME, 'Config': 'mini.py', 'Metadata': metadata}
    (tmp_path / 'index.yml').write_text(json.dumps({'Models': [entry]}))
    monkeypatch.setenv('MIXFORMERV2_INDEX', str(tmp_path / 'index.yml'))
    monkeypatch.setenv('MIXFORMERV2_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'cache'


@pytest.fixture
def published(tmp_path, net) -> Path:
    path = tmp_path / 'mini.pth.tar'
    save_published(path, net)
    return path


def test_a_name_without_weights_says_what_to_do_and_that_works(cache, published, net, capsys):
    assert main(['download', NAME]) == 1
    said = capsys.readouterr().err
    assert 'https://authors' in said and 'Traceback' not in said
    command = next(line for line in said.splitlines() if ' --from ' in line)
    assert main(command.split('mixformerv2 ')[1].split()) == 0
    out, said = capsys.readouterr()
    path = cache / f'{NAME}.pth'
    assert out == f'{path}\n'
    assert 'holds MixFormerV2' in said and 'fits' in said
    loaded = CheckpointLoader.load_checkpoint(NAME, 'cpu', logger='silent')
    assert_same(loaded['state_dict'], convert_state_dict(net).state_dict)
    assert main(['download', NAME, '--json']) == 0
    assert json.loads(capsys.readouterr().out) == [{'name': NAME, 'path': str(path)}]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(zoo.WrongFileError, match=f'convert again: .*{NAME} --from'):
        zoo.fetch_weights(NAME)


def test_a_converted_file_is_taken_too(cache, net, tmp_path):
    state = convert_state_dict(net).state_dict
    write_checkpoint(state, {}, tmp_path / 'converted.pth')
    assert main(['download', NAME, '--from', 'converted.pth']) == 0
    assert zoo.fetch_weights(NAME) == cache / f'{NAME}.pth'
    name = 'backbone.blocks.0.norm1.weight'
    state[name] = torch.full_like(state[name], torch.nan)
    write_checkpoint(state, {}, tmp_path / 'bad.pth')
    with pytest.raises(zoo.WrongFileError, match='NaN'):
        zoo.convert_weights(zoo.find_model(NAME), tmp_path / 'bad.pth')


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        (NAME, 'mini.pth.tar has no weights of mixformerv2-mini.*only in the model'),
        ('mixformerv2-b', 'no weights of mixformerv2-b.*search 64.*the config builds .*search 288'),
        ('mvt', 'it holds MixFormerV2 with score head .converted.; the config builds MVT'),
    ],
)
def test_weights_of_another_model_are_refused(cache, net, published, name, match, tmp_path):
    if name == NAME:
        fewer = {key: value for key, value in net.items() if not key.startswith('score_head')}
        save_published(published, fewer)
    with pytest.raises(zoo.WrongFileError, match=f'(?s){match}'):
        zoo.convert_weights(zoo.find_model(name), published)
    assert not cache.exists()


def test_the_config_says_whether_scores_are_kept(tmp_path, monkeypatch, capsys):
    net = small_published('mixvit')
    save_published(tmp_path / 'online.pth.tar', net)
    models = []
    bases = {'teacher': 'mixvit-b-pyramid288', 'score': 'mixvit-b-score_test-lasot'}
    for name, base in bases.items():
        sizes = convert_state_dict(net, keep_score=name == 'score').sizes
        settings = model_settings(sizes, num_heads=4)
        write_config(tmp_path / f'{name}.py', f'configs/mixvit/{base}.py', settings)
        metadata = {'Published File': 'online.pth.tar'}
        models.append({'Name': name, 'Config': f'{name}.py', 'Metadata': metadata})
    (tmp_path / 'index.yml').write_text(json.dumps({'Models': models}))
    monkeypatch.setenv('MIXFORMERV2_INDEX', str(tmp_path / 'index.yml'))
    monkeypatch.setenv('MIXFORMERV2_HOME', str(tmp_path / 'cache'))
    assert main(['download', 'teacher']) == 1
    assert 'get online.pth.tar, as the published trainer writes it' in capsys.readouterr().err
    kept = {}
    for name in bases:
        assert main(['download', name, '--from', str(tmp_path / 'online.pth.tar')]) == 0
        state = CheckpointLoader.load_checkpoint(name, 'cpu', logger='silent')['state_dict']
        kept[name] = any(one.startswith('score_head.') for one in state)
    assert kept == {'teacher': False, 'score': True}


def test_a_file_of_another_model_is_named_with_its_command(cache, tmp_path):
    with torch.device('meta'):
        tracker = MODELS.build(Config.fromfile(zoo.find_model('fermt').config).model)
    named = name_weights(tracker.state_dict())
    rules = named.system.layouts[0].rules(named.sizes)
    net = {name: torch.zeros(rule.shape) for name, rule in rules.items() if not rule.counter}
    save_published(tmp_path / 'OSTrack_ep0300.pth.tar', net)
    with pytest.raises(zoo.WrongFileError, match='not mvt but fermt: mixformerv2 download fermt'):
        zoo.convert_weights(zoo.find_model('mvt'), tmp_path / 'OSTrack_ep0300.pth.tar')
    taken = zoo.convert_weights(zoo.find_model('fermt'), tmp_path / 'OSTrack_ep0300.pth.tar')
    assert taken.parameters == zoo.find_model('fermt').metadata['Parameters']


def test_a_file_that_is_none_is_refused(cache, tmp_path, capsys):
    assert main(['download', NAME, '--from', 'nowhere.pth']) == 1
    assert 'nowhere.pth is not there' in capsys.readouterr().err
    Path('page.pth').write_text('<html>')
    assert main(['download', NAME, '--from', 'page.pth']) == 1
    assert 'is a web page' in capsys.readouterr().err
    assert main(['download', 'mixformerv2-tiny', '--from', 'page.pth']) == 1
    assert 'come with the package' in capsys.readouterr().err


def test_another_cache_is_named(cache, published, tmp_path, capsys):
    assert main(['download', NAME, '--from', str(published), '--cache', 'other']) == 0
    assert 'MIXFORMERV2_HOME=other' in capsys.readouterr().err
    assert (tmp_path / 'other' / f'{NAME}.pth').is_file() and not cache.exists()


def test_the_list(cache, published, capsys):
    assert main(['download']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['name', 'parameters', 'MiB', 'weights']
    rows = {line.split()[0]: line for line in lines[1:-2]}
    assert rows['mixformerv2-tiny'].endswith('in the package')
    assert 'published by the authors: https://github.com/MCG-NJU' in rows['mixformerv2-b']
    assert main(['download', NAME, '--from', str(published)]) == 0
    capsys.readouterr()
    assert main(['download', '--list', '--json']) == 0
    listed = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert listed[NAME]['weights'] == 'cache' and Path(listed[NAME]['path']).is_file()
    tiny = listed['mixformerv2-tiny']
    assert tiny['weights'] == 'package' and tiny['bytes'] == Path(tiny['path']).stat().st_size


@pytest.mark.parametrize(
    'arguments',
    [['--list', 'mixformerv2-tiny'], ['--from', 'a'], ['a', 'b', '--from', 'c'], ['--what']],
)
def test_wrong_options(cache, arguments):
    with pytest.raises(SystemExit, match='2'):
        main(['download', *arguments])


def test_a_misspelt_name(cache, capsys):
    assert main(['download', 'mixformerv2-tiny', 'mixformerv2-x']) == 1
    out, said = capsys.readouterr()
    assert not out and said.startswith("error: there is no model 'mixformerv2-x'. Did you mean")
