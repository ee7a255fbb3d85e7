"""int8 models: near the exact one on both runtimes, calibrated on what a tracker would see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_tracker import lively_tracker

from mmtrack_mixformerv2.deployment.calibration import draw_crops
from mmtrack_mixformerv2.deployment.onnx_export import OnnxGraphs, export_onnx
from mmtrack_mixformerv2.deployment.quantization import quantize
from mmtrack_mixformerv2.runtime import open_predictor
from mmtrack_mixformerv2.tracking import TrackingSettings

onnx = pytest.importorskip('onnx')
pytest.importorskip('nncf')

SIZES = {'search_size': 64, 'template_size': 32}  # of the small tracker
SETTINGS = TrackingSettings()


@pytest.fixture(scope='module')
def crops(rendered):
    return draw_crops([rendered / 'train'], **SIZES, settings=SETTINGS, count=12)


def read_graphs(folder: Path) -> OnnxGraphs:
    return OnnxGraphs(*(onnx.load(folder / f'{name}.onnx') for name in ('template', 'search')), 0.0)


@pytest.fixture(scope='module')
def quantized(exported_tracker, crops, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('int8')
    model, exact = lively_tracker(depth=2), read_graphs(exported_tracker)
    before = [one.graph.SerializeToString() for one in (exact.template, exact.search)]
    graphs = quantize(model, exact, crops)
    export_onnx(model, folder, dtype='int8', graphs=graphs)
    after = [one.graph.SerializeToString() for one in (exact.template, exact.search)]
    assert after == before  # they are exported too
    return folder


def predict(folder: Path, crops, backend: str) -> np.ndarray:
    """``(crops, 5)``: boxes in pixels of the crop, and scores."""
    predictor, rows = open_predictor(folder, backend=backend), []
    for one in crops:
        box, score, _ = predictor.predict(
            one.search, predictor.encode_templates(list(one.templates))
        )
        rows.append([*box * SIZES['search_size'], score])
    return np.array(rows)


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_boxes_are_near_those_of_the_exact_model(exported_tracker, quantized, crops, backend):
    pytest.importorskip(backend)
    exact = predict(exported_tracker, crops, 'onnxruntime')
    differences = np.abs(predict(quantized, crops, backend) - exact)
    boxes_move = np.ptp(exact[:, :4], axis=0).max()
    assert 0 < differences[:, :4].max() < boxes_move / 5
    assert differences[:, 4].max() < 0.01


def test_products_of_all_search_tokens_are_quantized_and_no_others(exported_tracker, quantized):
    exact, model = (onnx.load(folder / 'search.onnx') for folder in (exported_tracker, quantized))
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type in ('MatMul', 'Gemm')]
    in_int8 = [
        node
        for node in products
        if [made_by.get(name) for name in node.input[:2]] == ['DequantizeLinear'] * 2
    ]
    # The patch embedding; qkv, output and MLP of the first of two blocks.
    assert len(in_int8) == 5 < len(products)
    assert model.ByteSize() < exact.ByteSize()
    assert any(one.data_type == onnx.TensorProto.INT8 for one in model.graph.initializer)


def test_the_files_say_that_they_are_int8_and_of_which_model(exported_tracker, quantized):
    exact = open_predictor(exported_tracker).info
    info = open_predictor(quantized).info
    assert (exact.dtype, info.dtype) == ('float32', 'int8')
    assert (info.model_hash, info.settings) == (exact.model_hash, exact.settings)


def test_templates_are_encoded_as_exactly_as_before(exported_tracker, quantized, crops):
    templates = list(crops[0].templates)
    caches = [open_predictor(f).encode_templates(templates) for f in (exported_tracker, quantized)]
    for ours, theirs in zip(*(cache.arrays for cache in caches)):
        np.testing.assert_array_equal(ours, theirs)


def test_crops_are_cut_around_the_target_and_drawn_again_by_their_seed(rendered, crops):
    again = draw_crops([rendered / 'train'], **SIZES, settings=SETTINGS, count=12)
    other = draw_crops([rendered / 'train'], **SIZES, settings=SETTINGS, count=12, seed=1)
    for one, two in zip(crops, again):
        np.testing.assert_array_equal(one.search, two.search)
        assert one.search.shape == (64, 64, 3) and one.templates.shape == (2, 32, 32, 3)
    assert any((one.search != two.search).any() for one, two in zip(crops, other))


def test_what_cannot_be_calibrated_on_is_named(exported_tracker, tmp_path):
    with pytest.raises(ValueError, match='no crops to calibrate on'):
        quantize(lively_tracker(depth=2), read_graphs(exported_tracker), [])
    with pytest.raises((FileNotFoundError, ValueError), match='nowhere'):
        draw_crops([tmp_path / 'nowhere'], **SIZES, settings=SETTINGS)
    with pytest.raises(ValueError, match='count is 0, expected at least 1'):
        draw_crops([tmp_path], **SIZES, settings=SETTINGS, count=0)
