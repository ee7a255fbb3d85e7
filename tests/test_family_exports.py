"""Exports of the trackers of the family: what torch gives, on every runtime that is here.

Each is exported once. What of fermt and mixvit-b_score is not in one of these three is in
tests/test_export.py: heads and backbones are all exported, not every pair of them.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from small_family import assert_same, boxes_of, predict, searches, small_member, templates_of

from mmtrack_mixformerv2.deployment.tensorrt import trtexec_commands
from mmtrack_mixformerv2.runtime import open_predictor

onnx = pytest.importorskip('onnx')
for package in ('onnxscript', 'onnxruntime'):
    pytest.importorskip(package)

from mmtrack_mixformerv2.deployment.calibration import CalibrationCrops  # noqa: E402
from mmtrack_mixformerv2.deployment.onnx_export import (  # noqa: E402
    PARTS_BEHIND,
    OnnxGraphs,
    build_onnx,
    export_onnx,
)
from mmtrack_mixformerv2.deployment.quantization import kept_exact, quantize  # noqa: E402

# The cache of a tracker in its files.
CACHES = {
    'mixformer-cvt': ['keys0', 'values0', 'keys1', 'values1', 'template'],
    'mvt': ['image', 'tokens'],
    'fermt-corner': ['keys', 'values', 'tokens'],
}


class Exported:
    """A tracker and its files."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.model = small_member(name)
        self.graphs: OnnxGraphs = build_onnx(self.model)
        export_onnx(self.model, folder, name=name, graphs=self.graphs)
        self.templates = templates_of(self.model)
        self.expected = predict(self.model.loop.predictor, self.templates)


@pytest.fixture(scope='module', params=CACHES)
def exported(request, tmp_path_factory) -> Exported:
    return Exported(request.param, tmp_path_factory.mktemp('exported'))


def test_onnx_runtime_gives_what_torch_gives(exported):
    predictor = open_predictor(exported.folder)
    assert_same(predict(predictor, exported.templates), exported.expected)
    # One by one; and a template that fills all places is encoded once.
    for i, crop in enumerate(searches()):
        alone = predictor.predict(crop, predictor.encode_templates(exported.templates[i]))
        assert_same([alone], exported.expected[i : i + 1])
    copies = [one[:1] * len(one) for one in exported.templates]
    of_torch = predict(exported.model.loop.predictor, copies)
    assert_same(predict(predictor, copies), of_torch)


def test_files_name_what_is_cached(exported):
    info = open_predictor(exported.folder).info
    assert list(info.cache) == CACHES[exported.name]
    template = onnx.load(exported.folder / 'template.onnx').graph
    search = onnx.load(exported.folder / 'search.onnx').graph
    assert [one.name for one in template.output] == CACHES[exported.name]
    assert [one.name for one in search.input] == ['crop', *CACHES[exported.name]]


def test_commands_for_tensorrt_have_every_stage(exported):
    template, search = (shlex.split(line) for line in trtexec_commands(exported.folder))
    shapes = {word.split('=')[0]: word.split('=')[1] for word in search if 'Shapes=' in word}
    wanted = {
        'mixformer-cvt': (
            'keys0:1x1x1x16x8,values0:1x1x1x16x8,keys1:1x1x2x4x8,values1:1x1x2x4x8,'
            'template:1x16x16',
            'keys0:8x1x1x48x8,values0:8x1x1x48x8,keys1:8x1x2x12x8,values1:8x1x2x12x8,'
            'template:8x16x16',
        ),
        'mvt': ('image:1x12x4x4,tokens:1x4x4x16', 'image:8x12x4x4,tokens:8x4x4x16'),
        'fermt-corner': (
            'keys:1x1x3x4x8,values:1x1x3x4x8,tokens:1x4x24',
            'keys:8x1x3x4x8,values:8x1x3x4x8,tokens:8x4x24',
        ),
    }[exported.name]
    assert shapes['--minShapes'] == f'crop:1x64x64x3,{wanted[0]}'
    assert shapes['--maxShapes'] == f'crop:8x64x64x3,{wanted[1]}'
    count = 1 + exported.model.loop.settings.num_online_templates
    assert f'--maxShapes=crops:8x{count}x32x32x3' in template


@pytest.mark.filterwarnings('ignore:this CPU has no float16')
def test_openvino_gives_what_torch_gives(exported, tmp_path):
    pytest.importorskip('openvino')
    from mmtrack_mixformerv2.deployment.openvino_export import export_openvino

    export_openvino(exported.model, tmp_path, graphs=exported.graphs)
    predictor = open_predictor(tmp_path)
    assert_same(predict(predictor, exported.templates), exported.expected)
    half = tmp_path / 'half'
    half.mkdir()
    export_openvino(exported.model, half, dtype='float16', graphs=exported.graphs)
    found = predict(open_predictor(half, dtype='float16'), exported.templates)
    assert np.abs(boxes_of(found) - boxes_of(exported.expected)).max() < 0.5


def test_convolutions_neck_and_heads_are_never_in_eight_bits(exported):
    graph = exported.graphs.search.graph
    exact = set(kept_exact(exported.graphs.search))
    parts = {node.name.split('/')[0] for node in graph.node} & set(PARTS_BEHIND)
    there = {'mixformer-cvt': {'box_head', 'score_head'}, 'mvt': {'neck', 'box_head'}}
    assert parts == there.get(exported.name, {'box_head'})
    for node in graph.node:
        if node.op_type == 'Conv' or node.name.split('/')[0] in PARTS_BEHIND:
            assert node.name in exact
    assert any(node.op_type == 'MatMul' and node.name not in exact for node in graph.node)


def test_int8_is_near(exported, tmp_path):
    pytest.importorskip('nncf')
    if exported.name != 'fermt-corner':
        pytest.skip('calibrating takes long, so one does')
    crops = [
        CalibrationCrops(np.stack(one), search)
        for one, search in zip(exported.templates, searches())
    ]
    graphs = quantize(exported.model, exported.graphs, crops)
    export_onnx(exported.model, tmp_path, dtype='int8', graphs=graphs)
    for backend in ('onnxruntime', 'openvino'):
        pytest.importorskip(backend)
        found = predict(open_predictor(tmp_path, backend=backend), exported.templates)
        differences = np.abs(boxes_of(found) - boxes_of(exported.expected))
        assert 0 < differences.max() < 1.0
