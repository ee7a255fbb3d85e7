"""Opening an exported model, and tracking with it from the command line."""

from __future__ import annotations

import importlib
import sys
import warnings

import cv2
import numpy as np
import pytest
from golden import noise_frame

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('openvino')

import onnxruntime
import openvino
from toy_graphs import INFO, write_toy, write_toy_ir

from mmtrack_mixformerv2.runtime import BackendNotInstalled, client, open_exported, open_predictor
from mmtrack_mixformerv2.runtime.graph_predictor import count_threads
from mmtrack_mixformerv2.tracking import SequenceTracker, Tracker

BOXES = [(60, 45, 30, 24), (20, 70, 40, 16)]
FRAMES = [noise_frame(f'frame_{index}') for index in range(6)]
ON_A_GPU = 'CUDAExecutionProvider' in onnxruntime.get_available_providers()


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp('toy'))


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for index, frame in enumerate(FRAMES):
        cv2.imwrite(str(folder / f'{index}.png'), frame[..., ::-1])
    return folder


def expected_boxes(toy) -> np.ndarray:
    tracker = Tracker(SequenceTracker(open_predictor(toy), INFO.settings))
    tracker.init(FRAMES[0], BOXES)
    tracked = [[one.box_xywh for one in tracker.update(frame)] for frame in FRAMES[1:]]
    return np.array([BOXES, *tracked])


def run(argv, capsys) -> str:
    client.main([str(argument) for argument in argv])
    return capsys.readouterr().out


def init(box) -> list[str]:
    return ['--init', ','.join(map(str, box))]


class TestOpening:
    def test_the_settings_come_from_the_file(self, toy):
        tracker = open_exported(toy)
        assert tracker.loop.settings == INFO.settings
        tracker.init(FRAMES[0], BOXES)
        expected = expected_boxes(toy)
        for frame, boxes in zip(FRAMES[1:], expected[1:]):
            np.testing.assert_allclose([one.box_xywh for one in tracker.update(frame)], boxes)

    def test_the_kind_of_files_says_what_runs_them(self, toy, tmp_path):
        assert type(open_predictor(toy)).__name__ == 'OnnxRuntimePredictor'
        ir = write_toy_ir(tmp_path)
        assert type(open_predictor(ir)).__name__ == 'OpenVinoPredictor'
        write_toy(tmp_path)
        with pytest.raises(ValueError, match="backend='onnxruntime' or 'openvino'"):
            open_exported(tmp_path)
        assert type(open_predictor(tmp_path, backend='onnxruntime')).__name__.startswith('Onnx')

    @pytest.mark.parametrize(
        ('settings', 'match'),
        [
            ({'backend': 'torch'}, "backend is 'torch' .* expected one of onnxruntime, openvino"),
            ({'device': 'gpu'}, "device 'gpu', expected .* and one of cpu, cuda"),
            ({'backend': 'openvino', 'device': 'cuda'}, 'openvino runs on the CPU here'),
            ({'num_threads': -1}, 'num_threads is -1, expected a number of threads, or 0'),
            (
                {'dtype': 'bfloat16'},
                'in float32 for onnxruntime; choose dtype float32, or choose another backend',
            ),
            ({'backend': 'openvino', 'dtype': 'int8'}, 'export.py --dtype int8'),
        ],
    )
    def test_settings_are_checked(self, toy, settings, match):
        with pytest.raises(ValueError, match=match):
            open_exported(toy, **settings)

    def test_an_int8_model_stays_one(self, tmp_path):
        write_toy(tmp_path, dtype='int8')
        assert open_predictor(tmp_path).dtype == 'int8'
        with pytest.raises(ValueError, match='does not run in float32 .* exported in int8'):
            open_predictor(tmp_path, backend='openvino', dtype='float32')

    def test_what_was_exported_for_tensorrt_in_16_bits_runs_nowhere_else(self, tmp_path):
        write_toy(tmp_path, dtype='float16', backend='tensorrt')
        match = 'does not run in float16 .* in float16 for tensorrt; choose another backend'
        with pytest.raises(ValueError, match=match):
            open_predictor(tmp_path)

    @pytest.mark.parametrize(('dtype', 'capability'), [('bfloat16', 'BF16'), ('float16', 'FP16')])
    def test_a_cpu_without_16_bits_is_named(self, toy, dtype, capability):
        capabilities = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            predictor = open_predictor(toy, backend='openvino', dtype=dtype)
        said = [str(one.message) for one in caught if one.category is RuntimeWarning]
        assert len(said) == (capability not in capabilities)
        assert all(f'no {dtype} instructions' in text for text in said)
        assert predictor.dtype == dtype

    def test_openvino_is_exact_by_default(self, toy):
        """It would choose bfloat16 by itself where there is one."""
        predictor = open_predictor(toy, backend='openvino')
        for compiled in predictor._compiled.values():
            assert compiled.get_property('INFERENCE_PRECISION_HINT') == openvino.Type.f32


class TestThreads:
    def test_a_number_is_taken(self, toy):
        predictor = open_predictor(toy, num_threads=1)
        assert predictor._search.get_session_options().intra_op_num_threads == 1
        predictor = open_predictor(toy, backend='openvino', num_threads=1)
        assert predictor._compiled['search'].get_property('INFERENCE_NUM_THREADS') == 1

    @pytest.mark.parametrize(
        ('variable', 'expected'), [('3', 3), ('2,4', 2), ('0', None), ('x', None)]
    )
    def test_the_environment_is_taken(self, toy, monkeypatch, variable, expected):
        monkeypatch.setenv('OMP_NUM_THREADS', variable)
        threads = count_threads(0)
        assert count_threads(5) == 5
        if expected is None:
            monkeypatch.delenv('OMP_NUM_THREADS')
            expected = count_threads(0)
        assert threads == expected >= 1
        predictor = open_predictor(toy)
        assert predictor._search.get_session_options().intra_op_num_threads == expected


class TestWhatIsMissing:
    @pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
    def test_a_package(self, toy, monkeypatch, backend):
        monkeypatch.setitem(sys.modules, backend, None)
        with pytest.raises(BackendNotInstalled, match=f'python -m pip install {backend}$'):
            open_exported(toy, backend=backend)

    @pytest.mark.skipif(ON_A_GPU, reason='there is CUDA')
    @pytest.mark.parametrize(
        ('settings', 'provider'),
        [({'device': 'cuda'}, 'CUDA'), ({'backend': 'tensorrt', 'dtype': 'float16'}, 'Tensorrt')],
    )
    def test_a_provider(self, toy, settings, provider):
        match = rf'has no {provider}ExecutionProvider [\s\S]*pip install .onnxruntime-gpu'
        with pytest.raises(BackendNotInstalled, match=match):
            open_exported(toy, **settings)

    @pytest.mark.skipif(ON_A_GPU, reason='there is CUDA')
    @pytest.mark.filterwarnings('ignore:Specified provider')
    def test_a_provider_that_onnxruntime_leaves_out(self, toy):
        backend = importlib.import_module('mmtrack_mixformerv2.runtime.onnxruntime_backend')
        path = toy / 'search.onnx'
        graph = backend._describe(backend._open(onnxruntime, path, 1), path)
        options = backend._options(graph, 'cuda', 'float32', {})
        with pytest.raises(BackendNotInstalled, match='CUDAExecutionProvider cannot be used'):
            backend._open_on_gpu(onnxruntime, graph, 1, options)


def test_the_shapes_that_tensorrt_builds_an_engine_for(toy):
    backend = importlib.import_module('mmtrack_mixformerv2.runtime.onnxruntime_backend')
    profiles = {}
    for name in ('template', 'search'):
        path = toy / f'{name}.onnx'
        graph = backend._describe(backend._open(onnxruntime, path, 1), path)
        profiles[name] = backend._profile(graph, {'keys': 49, 'values': 49})
    # Two online templates, so up to three templates; 49 tokens for each.
    assert profiles == {
        'template': {
            'trt_profile_min_shapes': 'crops:1x1x8x8x3',
            'trt_profile_opt_shapes': 'crops:1x3x8x8x3',
            'trt_profile_max_shapes': 'crops:8x3x8x8x3',
        },
        'search': {
            'trt_profile_min_shapes': 'crop:1x16x16x3,keys:1x1x1x49x3,values:1x1x1x49x3',
            'trt_profile_opt_shapes': 'crop:1x16x16x3,keys:1x1x1x147x3,values:1x1x1x147x3',
            'trt_profile_max_shapes': 'crop:8x16x16x3,keys:8x1x1x147x3,values:8x1x1x147x3',
        },
    }


class TestCommandLine:
    def test_one_target(self, toy, pictures, tmp_path, capsys):
        out = tmp_path / 'new' / 'boxes.txt'
        said = run([toy, pictures, *init(BOXES[0]), '--out', out], capsys)
        assert said == f'written: {out}\n'
        expected = expected_boxes(toy)[:, 0]
        np.testing.assert_allclose(np.loadtxt(out, delimiter=','), expected, atol=1e-4)

    def test_several_targets(self, toy, pictures, tmp_path, capsys):
        out = tmp_path / 'boxes.txt'
        argv = [toy, pictures, *init(BOXES[0]), *init(BOXES[1])]
        expected = expected_boxes(toy)
        run([*argv, '--out', out, '--backend', 'openvino', '--threads', '1'], capsys)
        for target in (0, 1):
            found = np.loadtxt(tmp_path / f'boxes_{target + 1}.txt', delimiter=',')
            np.testing.assert_allclose(found, expected[:, target], atol=1e-3)
        assert not out.exists()
        rows = [[float(x) for x in row.split(',')] for row in run(argv, capsys).splitlines()]
        np.testing.assert_allclose(rows, expected.reshape(len(rows), 8), atol=0.01)

    @pytest.mark.parametrize(
        ('change', 'match'),
        [
            ({'folder': 'none'}, 'error: none is not there'),
            ({'video': 'none.mp4'}, 'error: none.mp4 does not exist'),
            ({'box': (500, 500, 9, 9)}, 'error: the box .* lies entirely outside of the frame'),
            ({'more': ['--dtype', 'float16']}, 'error: onnxruntime .cpu. does not run in float16'),
        ],
    )
    def test_mistakes_are_one_line(self, toy, pictures, change, match):
        folder, video = change.get('folder', toy), change.get('video', pictures)
        argv = [folder, video, *init(change.get('box', BOXES[0])), *change.get('more', [])]
        with pytest.raises(SystemExit, match=match):
            client.main([str(argument) for argument in argv])

    def test_a_box_that_is_none(self, toy, pictures, capsys):
        with pytest.raises(SystemExit):
            client.main([str(toy), str(pictures), '--init', '1,2,3'])
        assert "'1,2,3' is not x,y,width,height" in capsys.readouterr().err
