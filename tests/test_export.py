"""Exported graphs give what torch gives, hold what they need, and say what cannot be exported."""

from __future__ import annotations

import re
import shlex
import shutil
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from small_tracker import BASES, lively_tracker
from torch import nn

from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.runtime import (
    BackendNotInstalled,
    ExportedModelError,
    ModelInfo,
    open_predictor,
)
from mmtrack_mixformerv2.runtime.model_info import ONNX_PREFIX, RT_INFO_KEY
from mmtrack_mixformerv2.structures import BoxPrediction, Features

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')
onnxruntime = pytest.importorskip('onnxruntime')

from mmtrack_mixformerv2.deployment import onnx_export  # noqa: E402
from mmtrack_mixformerv2.deployment.graphs import (  # noqa: E402
    GRAPHS,
    NotExportable,
    SearchGraph,
    TemplateGraph,
    describe,
)
from mmtrack_mixformerv2.deployment.onnx_export import (  # noqa: E402
    OnnxGraphs,
    build_onnx,
    check_onnx,
    convert,
    example_inputs,
    export_onnx,
)
from mmtrack_mixformerv2.deployment.tensorrt import build_engines, trtexec_commands  # noqa: E402

BLOCKS = 2
CASES = [(1, 2), (2, 1), (4, 3)]  # targets and templates


@pytest.fixture(scope='module')
def model() -> nn.Module:
    return lively_tracker(depth=BLOCKS)


@pytest.fixture(scope='module')
def graphs(exported_tracker) -> OnnxGraphs:
    """Of the model."""
    return OnnxGraphs(*(onnx.load(exported_tracker / f'{graph}.onnx') for graph in GRAPHS), 0.0)


def run_onnx(path: Path, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def run_openvino(path: Path, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    openvino = pytest.importorskip('openvino')
    compiled = openvino.compile_model(path, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    found = compiled(inputs)
    return {output.get_any_name(): found[output] for output in compiled.outputs}


def expect_equal(run, folder: Path, ending: str, model: nn.Module, case: tuple[int, int]) -> None:
    """Both graphs, one after the other, against the model, which scales crops itself."""
    network = InferenceNetwork.of(model)
    inputs = example_inputs(network, *case)
    cache = run(folder / f'template{ending}', crops=inputs['crops'].numpy())
    found = run(folder / f'search{ending}', crop=inputs['crop'].numpy(), **cache)
    with torch.no_grad():
        expected = network.predict(inputs['crop'], network.encode_templates(inputs['crops']))
    assert list(cache) == ['keys', 'values'] and list(found) == ['box', 'edges', 'score']
    np.testing.assert_allclose(found['box'], expected.boxes, atol=2e-6)
    np.testing.assert_allclose(found['edges'], expected.edge_logits.softmax(-1), atol=1e-5)
    np.testing.assert_allclose(found['score'], expected.score_logits.sigmoid(), atol=1e-5)


@pytest.mark.parametrize('case', CASES)
def test_onnx_graphs_give_what_torch_gives(model, exported_tracker, case):
    expect_equal(run_onnx, exported_tracker, '.onnx', model, case)


def test_openvino_graphs_give_what_torch_gives(model, graphs, tmp_path):
    pytest.importorskip('openvino')
    from mmtrack_mixformerv2.deployment.openvino_export import export_openvino

    files = export_openvino(model, tmp_path, name='small', graphs=graphs)
    assert {path.name for path in tmp_path.iterdir()} == {
        'SHA256SUMS',
        *(f'{name}{ending}' for name in GRAPHS for ending in ('.xml', '.bin')),
    }
    for case in CASES:
        expect_equal(run_openvino, tmp_path, '.xml', model, case)
    exact = files.search.with_suffix('.bin').stat().st_size
    half = export_openvino(model, tmp_path, dtype='float16', graphs=graphs)
    assert half.search.with_suffix('.bin').stat().st_size < 0.55 * exact
    import openvino

    read = openvino.Core().read_model(half.search)
    expected = describe(model, graph='search', name='tracker', backend='openvino', dtype='float16')
    # What OpenVINO keeps of the ONNX file on the way says the same.
    for section, prefix in ((RT_INFO_KEY, ''), ('framework', ONNX_PREFIX)):
        found = read.get_rt_info(section).value.items()
        strings = {key.removeprefix(prefix): str(value) for key, value in found}
        assert ModelInfo.from_strings(strings, section) == expected


@pytest.mark.parametrize('graph', GRAPHS)
def test_files_say_what_they_are_and_nothing_of_where_they_come_from(
    model, graphs, tmp_path, graph
):
    export_onnx(model, tmp_path, name='small', graphs=graphs)
    path = tmp_path / f'{graph}.onnx'
    proto = onnx.load(path)
    strings = {one.key.removeprefix(ONNX_PREFIX): one.value for one in proto.metadata_props}
    assert all(one.key.startswith(ONNX_PREFIX) for one in proto.metadata_props)
    info = ModelInfo.from_strings(strings, graph)
    assert info == describe(
        model, graph=graph, name='small', backend='onnxruntime', dtype='float32'
    )
    assert info.settings == model.loop.settings
    shapes = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim]
        for one in proto.graph.input
    }
    cache = ['batch', BLOCKS, 2, 'tokens', 16]
    assert (
        shapes
        == {
            'template': {'crops': ['batch', 'templates', 32, 32, 3]},
            'search': {'crop': ['batch', 64, 64, 3], 'keys': cache, 'values': cache},
        }[graph]
    )
    assert str(Path(__file__).parents[1]).encode() not in path.read_bytes()


@pytest.mark.parametrize('graph', GRAPHS)
def test_files_have_only_the_weights_that_they_need(model, graphs, graph):
    backbone, last = model.backbone, model.backbone.blocks[-1]
    unused = {
        'template': [model.box_head, model.score_head, last.norm2, last.mlp, last.attn.proj],
        'search': [],
    }[graph]
    names = {'template': ['search_pos_embed', 'prediction_tokens', 'prediction_pos_embed']}
    tensors = [getattr(backbone, name) for name in names.get(graph, ['template_pos_embed'])]
    tensors += [tensor for module in unused for tensor in module.parameters()]
    needed = sum(p.numel() for p in model.parameters()) - sum(t.numel() for t in tensors)
    stored = sum(
        prod(one.dims)
        for one in getattr(graphs, graph).graph.initializer
        if one.data_type == onnx.TensorProto.FLOAT
    )
    assert needed - 200 < stored < needed + 200  # sums of parameters, and constants


def test_crops_are_cast_before_anything_else(graphs):
    """TensorRT takes bytes only so."""
    for proto, crops in ((graphs.template, 'crops'), (graphs.search, 'crop')):
        nodes = proto.graph.node
        assert {n.op_type for n in nodes if crops in n.input} <= {'Cast', 'Shape'}


def test_commands_for_tensorrt_name_the_shapes(exported_tracker):
    folder = exported_tracker
    template, search = (shlex.split(line) for line in trtexec_commands(folder))
    assert template[0] == 'trtexec' and f'--onnx={folder / "template.onnx"}' in template
    assert f'--saveEngine={folder / "search.engine"}' in search and '--noTF32' in search
    assert '--optShapes=crops:1x2x32x32x3' in template
    assert '--minShapes=crop:1x64x64x3,keys:1x2x2x4x16,values:1x2x2x4x16' in search
    assert '--maxShapes=crop:8x64x64x3,keys:8x2x2x8x16,values:8x2x2x8x16' in search
    if 'TensorrtExecutionProvider' not in onnxruntime.get_available_providers():
        with pytest.raises(BackendNotInstalled, match='pip install .*tensorrt'):
            build_engines(folder)


def test_a_box_head_without_distributions_has_no_edges():
    model = lively_tracker(depth=1, num_prediction_tokens=4)
    model.score_head = None
    network = InferenceNetwork.of(model)
    network.model.box_head = Direct()
    graph = SearchGraph(network)
    inputs = example_inputs(network, 1, 1)
    with torch.no_grad():
        found = graph(*(inputs[name] for name in graph.inputs))
    assert graph.outputs == ['box'] and [one.shape for one in found] == [(1, 4)]


def test_corner_heads_are_exported():
    """MixViT: no prediction tokens, and a head that reads the search tokens."""
    config = Config.fromfile(BASES / 'models' / 'mixvit-micro.py')
    config.model.backbone.depth = 1
    network = InferenceNetwork.of(MODELS.build(config.model).eval()).frozen()
    graph = SearchGraph(network).eval()
    proto = convert(graph, example_inputs(network, 2, 2))
    assert check_onnx(proto, graph, network) < 1e-5
    assert [one.name for one in proto.graph.output] == ['box', 'edges']


class Direct(nn.Module):
    """Boxes of no distribution."""

    reads_search = False

    def forward(self, features: Features) -> BoxPrediction:
        return BoxPrediction(features.tokens[:, 0, :4].sigmoid())


class Choosing(TemplateGraph):
    """Looks at values, which no graph can."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.float() if crops.sum() > 0 else -crops.float()


class Exotic(TemplateGraph):
    """Does what ONNX has no operation for."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(crops[:, 0, :4, :4, 0].float()).real


@pytest.mark.parametrize(
    ('kind', 'operation'), [(Choosing, r'crops\.sum\(\) > 0'), (Exotic, r'aten\.linalg_eig')]
)
def test_an_operation_that_cannot_be_exported_is_named(model, capfd, kind, operation):
    network = InferenceNetwork.of(model)
    with pytest.raises(NotExportable, match=f'{kind.__name__} of PMAMViT with TokenDist') as error:
        convert(kind(network).eval(), example_inputs(network, 2, 2))
    assert re.search(f"(?s){operation}.*backend='torch'", str(error.value))
    assert 'def forward' not in capfd.readouterr().err  # of what the exporter has so far


def test_a_backbone_that_encodes_all_at_once_is_refused():
    model = lively_tracker(depth=1)
    model.backbone = nn.Linear(3, 3)
    with pytest.raises(NotExportable, match='backbone Linear .* lacks encode_template and encode'):
        build_onnx(model)


def test_a_graph_that_differs_from_torch_is_refused(model, graphs):
    network = InferenceNetwork.of(model).frozen()
    network.model.backbone.blocks[0].attn.qkv.bias.data += 0.1
    with pytest.raises(NotExportable, match='TemplateGraph of PMAMViT .* differs by'):
        check_onnx(graphs.template, TemplateGraph(network), network)


def test_weights_that_no_file_holds_are_refused(model, monkeypatch):
    monkeypatch.setattr(onnx_export, 'MAX_BYTES', 1000)
    with pytest.raises(NotExportable, match='have 0.00 GiB and one ONNX file holds'):
        build_onnx(model)


def test_nothing_is_left_of_an_export_that_fails(model, graphs, tmp_path):
    (tmp_path / 'search.onnx').mkdir()
    with pytest.raises(OSError, match='search.onnx'):
        export_onnx(model, tmp_path, graphs=graphs)
    assert not list(tmp_path.glob('*.partial'))


def test_a_file_that_has_changed_since_the_export_is_named(exported_tracker, tmp_path):
    """Bytes of weights that a runtime would load without a word."""
    folder = tmp_path / 'copy'
    shutil.copytree(exported_tracker, folder)
    open_predictor(folder)
    path = folder / 'search.onnx'
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ExportedModelError, match='search.onnx is not the file that SHA256SUMS'):
        open_predictor(folder)
    (folder / 'SHA256SUMS').unlink()  # who changes files on purpose can
    open_predictor(folder)
