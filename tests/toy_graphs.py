"""An exported model of a few numbers: graphs with the true inputs and outputs, made in no time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
from onnx import helper, parser

from mmtrack_mixformerv2.runtime.model_info import ONNX_PREFIX, RT_INFO_KEY, ModelInfo
from mmtrack_mixformerv2.tracking import TrackingSettings

INFO = ModelInfo(
    graph='template',
    name='toy',
    model_hash='ab' * 32,
    dtype='float32',
    backend='onnxruntime',
    search_size=16,
    template_size=8,
    settings=TrackingSettings(
        update_interval=2, num_online_templates=2, score_threshold=0.2, clip_margin=4
    ),
)

GRAPHS = {
    # One token per template: its mean colour, and the double of it as value.
    'template': """
        <ir_version: 10, opset_import: ["": 20]>
        template (uint8[B, T, 8, 8, 3] crops)
            => (float[B, 1, 1, T, 3] keys, float[B, 1, 1, T, 3] values)
        <int64[2] pixels = {2, 3}, int64[2] heads = {1, 2}, float white = {255}>
        {
            numbers = Cast <to = 1> (crops)
            mean = ReduceMean <keepdims = 0> (numbers, pixels)
            colours = Div (mean, white)
            keys = Unsqueeze (colours, heads)
            values = Add (keys, keys)
        }""",
    # A box in the middle that differences of mean colours move; red is the score.
    'search': """
        <ir_version: 10, opset_import: ["": 20]>
        search (uint8[B, 16, 16, 3] crop,
                float[B, 1, 1, N, 3] keys, float[B, 1, 1, N, 3] values)
            => (float[B, 4] box, float[B] score)
        <int64[2] pixels = {1, 2}, int64[3] tokens = {1, 2, 3}, int64 red = {0},
         float white = {255},
         float[3, 4] weights = {0.3, 0.1, -0.2, 0.1, 0.2, -0.3, 0.1, 0.2, -0.1, 0.1, 0.3, -0.1},
         float[4] middle = {0.4, 0.4, 0.6, 0.6}>
        {
            numbers = Cast <to = 1> (crop)
            mean = ReduceMean <keepdims = 0> (numbers, pixels)
            seen = Div (mean, white)
            key = ReduceMean <keepdims = 0> (keys, tokens)
            value = ReduceMean <keepdims = 0> (values, tokens)
            change = Sub (seen, key)
            shift = Mul (change, value)
            moved = MatMul (shift, weights)
            box = Add (moved, middle)
            score = Gather <axis = 1> (seen, red)
        }""",
}


def write_toy(folder: Path, **changes) -> Path:
    """Write ``template.onnx`` and ``search.onnx``; gives the folder, which is made if need be.

    Args:
        folder: For the files.
        changes: Of ``INFO``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in GRAPHS.items():
        info = dataclasses.replace(INFO, graph=name, **changes)
        write_graph(folder / f'{name}.onnx', text, info.to_strings())
    return folder


def write_graph(path: Path, text: str, strings: dict[str, str]) -> None:
    """Write one graph with this metadata."""
    model = parser.parse_model(text)
    helper.set_model_props(model, {ONNX_PREFIX + key: value for key, value in strings.items()})
    onnx.save(model, path)


def write_toy_ir(folder: Path, **changes) -> Path:
    """The same as OpenVINO IR."""
    import openvino

    write_toy(folder, **changes)
    for name in GRAPHS:
        model = openvino.Core().read_model(folder / f'{name}.onnx')
        info = dataclasses.replace(INFO, graph=name, **changes)
        model.set_rt_info(info.to_strings(), RT_INFO_KEY)
        openvino.save_model(model, folder / f'{name}.xml', compress_to_fp16=False)
        (folder / f'{name}.onnx').unlink()
    return folder
