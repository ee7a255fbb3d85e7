"""The benchmark of runtimes measures everything that was asked for, and says what is wrong."""

from __future__ import annotations

import json
import pickle

import pytest
from mmengine.config import Config
from small_tracker import write_small_tracker
from tools_loader import load_tool

from mmtrack_mixformerv2.benchmark.speed import ceiling
from mmtrack_mixformerv2.benchmark.speed.clip import render_clip
from mmtrack_mixformerv2.benchmark.speed.contenders import PUBLISHED, Contender, build_model
from mmtrack_mixformerv2.benchmark.speed.measuring import start_tracking

QUICK = ['--size', '96', '64', '--seconds', '0', '--rounds', '1', '--frames', '1', '--no-memory']
QUICK += ['--threads', '1']
PARTS = ('crop', 'normalise', 'network', 'update')


@pytest.fixture(scope='module')
def tool():
    return load_tool('analysis_tools/benchmark')


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    """Large matrix products take seconds, and how fast they are is not tested."""
    monkeypatch.setattr(ceiling, '_SIDES', {'cpu': (64,), 'cuda': (64,)})


@pytest.fixture(scope='module')
def tracker(tmp_path_factory) -> list[str]:
    """Config and checkpoint of a small tracker."""
    return [str(path) for path in write_small_tracker(tmp_path_factory.mktemp('small'))]


def measure(tool, folder, *arguments: str) -> dict:
    """What the tool writes as JSON."""
    tool.main([*arguments, *QUICK, '--json', str(folder / 'speed.json')])
    return json.loads((folder / 'speed.json').read_text())


def test_everything_is_measured_and_the_parts_add_up(tool, tracker, tmp_path, capsys):
    curves = ['--targets', '1', '3', '--templates', '1', '2', '--batch', '2']
    picture = tmp_path / 'speed.png'
    options = ['--backend', 'torch', '--uncached', '--plot', str(picture)]
    results = measure(tool, tmp_path, *tracker, *options, *curves)
    names = ['published forward', 'torch float32', 'torch float32, uncached']
    assert [row['name'] for row in results['rows']] == names
    for row in results['rows']:
        assert list(row['parts']) == list(PARTS)
        assert sum(row['parts'].values()) == pytest.approx(row['mean'])
        assert row['speedup'] > 0 and row['network_speedup'] > 0 and row['ceiling_share'] > 0
        assert 0 < row['network_share'] < 1 and row['box_difference'] < 1e-3
    assert results['rows'][0]['speedup'] == 1 and not results['rows'][0]['cached']
    assert results['frame_size'] == [96, 64] and results['threads'] == 1
    assert results['ceiling'].keys() == {'float32'} and results['left_out'] == []
    assert {name: list(curve) for name, curve in results['targets'].items()} == {
        name: ['1', '3'] for name in names
    }
    assert results['templates'].keys() == set(names)
    assert results['batches'].keys() == {'torch float32'}  # the others do one crop at a time
    assert picture.read_bytes().startswith(b'\x89PNG')
    printed = capsys.readouterr().out
    for text in (*names, '1 threads', 'median', 'ceiling', 'targets', 'templates', 'batch'):
        assert text in printed


def test_exported_models_are_measured(tool, tracker, tmp_path):
    backends = ['onnxruntime', 'openvino']
    for package in ('onnx', 'onnxscript', *backends):
        pytest.importorskip(package)
    results = measure(tool, tmp_path, *tracker, '--backend', *backends)
    assert [row['backend'] for row in results['rows'][1:]] == backends
    for row in results['rows'][1:]:
        assert row['box_difference'] < 1e-3 and row['parts']['normalise'] == 0
        assert f'{row["backend"]} ' in results['machine']


def test_a_process_of_its_own_gets_all_it_needs(tracker, tmp_path):
    config, weights = tracker
    cfg = Config.fromfile(config)
    clip = render_clip(tmp_path, frames=20, size=(96, 64))
    settings = build_model(cfg, weights).loop.settings
    for contender in (PUBLISHED, Contender('torch'), Contender('torch', cached=False)):
        arguments = (start_tracking, cfg, weights, contender, None, clip, 1, settings)
        start, *others = pickle.loads(pickle.dumps(arguments))
        assert start(*others)().network > 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--backend', 'tflite'], "invalid choice: 'tflite'"),
        (['--dtype', 'int4'], "invalid choice: 'int4'"),
        (['--targets', '0'], 'not a whole number from 1 up'),
        (['--exported', 'torch:float32=x'], 'is not BACKEND:DTYPE=FOLDER'),
        (['--exported', 'onnxruntime:int8'], 'is not BACKEND:DTYPE=FOLDER'),
        (['--init', '1,2,3,4'], '--init goes with --clip'),
        (['--json', 'no/where/a.json'], 'there is no folder'),
        (['--plot', 'a.gif'], 'ends in .png, .pdf or .svg'),
    ],
)
def test_options_that_are_none_are_named(tool, tracker, options, message, capsys):
    with pytest.raises(SystemExit):
        tool.main([*tracker, *options])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--backend', 'torch', '--dtype', 'int8'], "error: dtype is 'int8'"),
        (['--backend', 'torch', '--clip', 'nowhere.mp4'], 'error: nowhere.mp4 does not exist'),
    ],
)
def test_what_cannot_be_measured_is_named(tool, tracker, options, message):
    with pytest.raises(SystemExit, match=message):
        tool.main([*tracker, *options, *QUICK])
