"""The export tool: files, table and exit status, and what is wrong with its arguments."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_tracker import lively_tracker, write_small_tracker
from tools_loader import load_tool

onnx = pytest.importorskip('onnx')
for package in ('onnxscript', 'onnxruntime', 'openvino'):
    pytest.importorskip(package)

from mmtrack_mixformerv2.deployment.graphs import GRAPHS  # noqa: E402
from mmtrack_mixformerv2.deployment.onnx_export import OnnxGraphs  # noqa: E402
from mmtrack_mixformerv2.runtime import open_exported  # noqa: E402

FRAMES = 6


@pytest.fixture(scope='module')
def graphs(exported_tracker) -> OnnxGraphs:
    return OnnxGraphs(*(onnx.load(exported_tracker / f'{graph}.onnx') for graph in GRAPHS), 0.0)


@pytest.fixture(scope='module')
def tool():
    return load_tool('deployment/export')


@pytest.fixture(scope='module')
def tracker(tmp_path_factory) -> list[str]:
    """Config and weights of the tracker that was exported."""
    config, weights = write_small_tracker(tmp_path_factory.mktemp('tracker'))
    config.write_text(config.read_text() + 'model["backbone"]["depth"] = 2\n')
    torch.save({'state_dict': lively_tracker(depth=2).state_dict()}, weights)
    return [str(config), str(weights)]


@pytest.fixture
def clip(tmp_path) -> list[str]:
    folder = tmp_path / 'clip'
    folder.mkdir()
    for index in range(FRAMES + 2):
        picture = np.full((90, 120, 3), 60, np.uint8)
        cv2.circle(picture, (40 + 3 * index, 45), 12, (30, 200, 250), -1)
        cv2.imwrite(str(folder / f'{index:03d}.png'), picture)
    return ['--clip', str(folder), '--init', '28,33,24,24', '--frames', str(FRAMES)]


def test_what_is_exported_is_compared_and_can_be_opened(
    tool, tracker, clip, graphs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tool, 'build_onnx', lambda model: graphs)  # they were built already
    out = tmp_path / 'out'
    backends = ['onnxruntime', 'openvino', 'tensorrt']
    options = ['--backend', *backends, '--out', str(out), '--name', 'lively']
    with pytest.raises(SystemExit) as status:
        tool.main([*tracker, *options, *clip])
    assert not status.value.code
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    for backend in backends[:2]:
        assert rows[backend][1] == 'float32' and rows[backend][-2:] == ['0.001', 'yes']
        report = json.loads((out / f'{backend}-float32' / 'parity.json').read_text())
        assert report['passed'] and report['frames'] == FRAMES
        assert f'{report["parity"]["crop"]["largest"]:.1e}' == rows[backend][2]
        tracker = open_exported(out / f'{backend}-float32')
        assert tracker.loop.predictor.info.name == 'lively'
        tracker.init(np.zeros((90, 120, 3), np.uint8), (28, 33, 24, 24))
        assert tracker.update(np.zeros((90, 120, 3), np.uint8)).box_xywh.shape == (4,)
    if not tool.can_run('tensorrt'):
        assert printed.count('\ntrtexec --onnx=') == 2 and rows['tensorrt'][-1] == '-'


def test_int8_is_calibrated_on_sequences(
    tool, tracker, clip, graphs, rendered, tmp_path, monkeypatch, capsys
):
    pytest.importorskip('nncf')
    monkeypatch.setattr(tool, 'build_onnx', lambda model: graphs)
    options = ['--backend', 'openvino', '--dtype', 'int8', '--bound', '5', '--samples', '8']
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as status:
        tool.main(
            [*tracker, *clip, *options, '--out', str(out), '--calibration', str(rendered / 'train')]
        )
    assert not status.value.code, capsys.readouterr().out
    info = open_exported(out).loop.predictor.info
    assert (info.dtype, info.backend, info.name) == ('int8', 'openvino', 'small_test')
    report = json.loads((out / 'parity.json').read_text())
    assert 1e-3 < report['parity']['crop']['largest'] < 5
    assert report['bytes']['search.bin'] < report['bytes']['template.bin']


def test_beyond_the_bound_the_status_says_so_and_the_files_stay(
    tool, tracker, clip, graphs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tool, 'build_onnx', lambda model: graphs)
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as status:
        tool.main([*tracker, *clip, '--out', str(out), '--bound', '1e-12'])
    assert status.value.code == 1
    printed = capsys.readouterr().out
    assert 'bound 1e-12: the files are kept, do not rely on them' in printed
    files = {'template.onnx', 'search.onnx', 'parity.json', 'SHA256SUMS'}
    assert {path.name for path in out.iterdir()} == files
    assert json.loads((out / 'parity.json').read_text())['passed'] is False


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['--dtype', 'bfloat16'],
            'float32, int8 for the backend onnxruntime; .* runs on torch, op',
        ),
        (['--clip', 'nowhere.mp4', '--init', '1,2,3,4'], 'nowhere.mp4 does not exist'),
        (['--init', '500,2,3,4'], 'entirely outside of the frame of 120 x 90 px'),
        (['--dtype', 'int8', '--calibration', 'nowhere'], 'nowhere'),
        (
            ['--backend', 'tensorrt', '--dtype', 'float16', 'int8', '--calibration', 'nowhere'],
            'float16 for the backend tensorrt; int8 runs on onnxruntime, openvino',
        ),
    ],
)
def test_what_is_wrong_is_said_before_the_work(
    tool, tracker, clip, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr(tool, 'build_onnx', lambda model: pytest.fail('the work has begun'))
    if '--calibration' in options:
        pytest.importorskip('nncf')
    with pytest.raises(SystemExit, match=message):
        tool.main([*tracker, *clip, *options, '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('below', ['', 'more/folders'])
def test_a_file_is_no_folder(tool, tracker, tmp_path, monkeypatch, below):
    monkeypatch.setattr(tool, 'build_onnx', lambda model: pytest.fail('the work has begun'))
    (tmp_path / 'notes.txt').write_text('of a user')
    out = tmp_path / 'notes.txt' / below
    with pytest.raises(SystemExit, match='notes.txt is a file; give --out a folder'):
        tool.main([*tracker, '--out', str(out)])
    assert (tmp_path / 'notes.txt').read_text() == 'of a user'


def test_weights_of_another_model_are_refused(tool, tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'build_onnx', lambda model: pytest.fail('the work has begun'))
    other = tmp_path / 'other.pth'
    torch.save({'state_dict': lively_tracker(depth=3).state_dict()}, other)
    with pytest.raises(SystemExit, match='blocks.2'):
        tool.main([tracker[0], str(other), '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--backend', 'tflite'], "invalid choice: 'tflite'"),
        (['--clip', 'clip.mp4'], '--clip and --init go together'),
        (['--dtype', 'int8'], '--dtype int8 and --calibration go together'),
        (['--frames', '1'], "'1' is not a whole number from 2 up"),
    ],
)
def test_wrong_options_are_explained(tool, capsys, options, message):
    with pytest.raises(SystemExit):
        tool.parse_args(['config.py', 'weights.pth', *options])
    assert message in capsys.readouterr().err


def test_help_says_what_comes_out(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(['--help'])
    printed = capsys.readouterr().out
    assert 'exit status is 1' in printed and 'onnxruntime has float32 and int8' in ' '.join(
        printed.split()
    )


def test_names_of_folders_say_config_backend_and_dtype(tool):
    args = tool.parse_args(['configs/some.py', 'weights.pth'])
    args.name = Path(args.config).stem
    (target,) = tool.choose_targets(args)
    assert target.folder == Path('work_dirs/exported/some-onnxruntime-float32')
