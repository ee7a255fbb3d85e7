"""Files of exported models: what they say, and what is said about bad ones."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
pytest.importorskip('openvino')

from toy_graphs import GRAPHS, INFO, write_graph, write_toy, write_toy_ir

from mmtrack_mixformerv2.runtime import ExportedModelError, ModelInfo, open_predictor
from mmtrack_mixformerv2.tracking import ConfidenceModel, StatePolicy, TrackingSettings
from mmtrack_mixformerv2.version import __version__

STRINGS = INFO.to_strings()
RUNTIMES = ['onnxruntime', 'openvino']


def refuses(folder, match: str, backend: str | None = None) -> None:
    with pytest.raises(ExportedModelError, match=match):
        open_predictor(folder, backend=backend)


class TestInfo:
    def test_strings_give_back_an_equal_value(self):
        odd = TrackingSettings(
            search_factor=4, template_factor=0.1 + 0.2, max_score_decay=1 - 1e-16
        )
        judging = TrackingSettings(
            confidence=ConfidenceModel(0.1 + 0.2, 0.7, -2.0, 'clips, "hidden"'),
            policy=StatePolicy(patience=7, lost_search_scale=1.25),
        )
        infos = [
            dataclasses.replace(INFO, settings=one, cache=tuple('abc')) for one in (odd, judging)
        ]
        for info in (INFO, *infos):
            strings = info.to_strings()
            assert all(isinstance(text, str) for pair in strings.items() for text in pair)
            assert ModelInfo.from_strings({**strings, 'later': 'key'}, 'file') == info

    @pytest.mark.parametrize(
        ('changes', 'match'),
        [
            ({'graph': 'both'}, "graph is 'both', expected one of template, search"),
            ({'dtype': 'float64'}, 'dtype is .*expected one of float32, bfloat16'),
            ({'backend': 'onnx'}, 'backend is .*expected one of onnxruntime'),
            ({'model_hash': 'abc'}, "model_hash is 'abc', expected 64"),
            ({'search_size': 0}, 'search_size is 0, expected a positive'),
            ({'template_size': 8.0}, 'template_size is 8.0, expected a positive'),
            ({'cache': ()}, r'cache is \(\), expected names'),
            ({'cache': ('keys values',)}, 'cache is .* expected names'),
        ],
    )
    def test_values_are_checked(self, changes, match):
        with pytest.raises(ValueError, match=match):
            dataclasses.replace(INFO, **changes)

    @pytest.mark.parametrize(
        ('changes', 'match'),
        [
            ({'format': None}, 'm.onnx has none of the metadata .* export the checkpoint with'),
            (
                {'search_factor': None, 'name': None},
                'm.onnx lacks the metadata name, search_factor',
            ),
            ({'search_size': '12.5'}, 'm.onnx has metadata that is not valid: .*12.5'),
            ({'update_interval': '0'}, 'm.onnx has .*update_interval is 0.* export the checkpoint'),
            ({'clip_margin': 'wide'}, 'm.onnx has metadata that is not valid: .*wide'),
            ({'policy': '{"patience": 0}'}, 'm.onnx has .*policy.patience is 0'),
            ({'policy': '{"later": 0}'}, "m.onnx has .*unexpected keyword argument 'later'"),
            ({'confidence': '[1]'}, 'm.onnx has .*confidence is .1., expected a ConfidenceModel'),
            ({'confidence': 'high'}, 'm.onnx has metadata that is not valid'),
            ({'dtype': 'int4'}, "m.onnx has .*dtype is 'int4'"),
        ],
    )
    def test_strings_are_checked(self, changes, match):
        strings = {k: v for k, v in {**STRINGS, **changes}.items() if v is not None}
        with pytest.raises(ExportedModelError, match=match):
            ModelInfo.from_strings(strings, 'm.onnx')

    def test_another_format_is_named_with_the_way_out(self):
        strings = {**STRINGS, 'format': '2', 'package_version': '9.1.0'}
        with pytest.raises(ExportedModelError) as raised:
            ModelInfo.from_strings(strings, 'm.onnx')
        assert str(raised.value) == (
            "m.onnx has format '2', written by version 9.1.0 of this package; version "
            f"{__version__} reads format '1': export the checkpoint again with "
            'tools/deployment/export.py.'
        )


def test_the_metadata_of_every_kind_of_file_is_read(tmp_path):
    onnx, ir = write_toy(tmp_path / 'onnx'), write_toy_ir(tmp_path / 'ir')
    for folder, backend in ((onnx, 'onnxruntime'), (onnx, 'openvino'), (ir, 'openvino')):
        predictor = open_predictor(folder, backend=backend)
        assert predictor.info == dataclasses.replace(INFO, graph='search')
        assert (predictor.search_size, predictor.template_size) == (16, 8)


def test_a_folder_without_a_model(tmp_path):
    refuses(tmp_path / 'none', 'none is not there, expected the folder of an exported model')
    (tmp_path / 'file').touch()
    refuses(tmp_path / 'file', 'file is a file, expected the folder')
    refuses(tmp_path, 'has no exported model, expected template.onnx and search.onnx')
    folder = write_toy_ir(tmp_path / 'ir')
    refuses(folder, 'has .xml files, expected .onnx; choose the backend', 'onnxruntime')


@pytest.mark.parametrize(
    ('write', 'name'), [(write_toy, 'search.onnx'), (write_toy_ir, 'template.bin')]
)
def test_a_file_that_is_missing_or_empty(tmp_path, write, name):
    path = write(tmp_path) / name
    path.write_bytes(b'')
    refuses(tmp_path, f'{name} is empty; copy it again')
    path.unlink()
    refuses(tmp_path, f'{name} is missing; copy all files of an export, or export')


@pytest.mark.parametrize('backend', RUNTIMES)
def test_an_onnx_file_that_cannot_be_read(tmp_path, backend):
    path = write_toy(tmp_path) / 'search.onnx'
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-20], b'<html>not found</html>\n'):
        path.write_bytes(damaged)
        refuses(tmp_path, f'search.onnx .{len(damaged)} bytes. cannot be read: it is cut', backend)


def test_openvino_files_that_cannot_be_read(tmp_path):
    folder = write_toy_ir(tmp_path)
    for name in ('search.xml', 'search.bin'):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        refuses(folder, r'search.xml \(.* bytes\) cannot be read: it is cut off, damaged')
        path.write_bytes(content)
    (folder / 'template.xml').write_text('not found')
    refuses(folder, 'template.xml .* The runtime says: it is no XML')


@pytest.mark.parametrize('backend', RUNTIMES)
def test_a_graph_that_no_export_of_ours_made(tmp_path, backend):
    folder = write_toy(tmp_path)
    write_graph(folder / 'template.onnx', GRAPHS['template'], {})
    refuses(folder, 'template.onnx has none of the metadata', backend)
    write_graph(folder / 'template.onnx', GRAPHS['template'], {**STRINGS, 'format': '7'})
    refuses(folder, "template.onnx has format '7'", backend)


def test_files_under_the_names_of_each_other(tmp_path):
    folder = write_toy(tmp_path)
    (folder / 'search.onnx').rename(folder / 'other.onnx')
    (folder / 'template.onnx').rename(folder / 'search.onnx')
    (folder / 'other.onnx').rename(folder / 'template.onnx')
    refuses(folder, 'template.onnx has the search graph, expected the template graph')


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'model_hash': 'cd' * 32}, "model_hash is 'abab.*' in one and 'cdcd.*' in the other"),
        ({'dtype': 'int8'}, "dtype is 'float32' in one and 'int8' in the other"),
        ({'settings': TrackingSettings(update_interval=7)}, 'settings is'),
    ],
)
def test_graphs_of_two_models(tmp_path, changes, match):
    folder, other = write_toy(tmp_path / 'one'), write_toy(tmp_path / 'other', **changes)
    (other / 'search.onnx').replace(folder / 'search.onnx')
    refuses(folder, f'template.onnx and .*search.onnx do not belong together: {match}')


@pytest.mark.parametrize('backend', RUNTIMES)
@pytest.mark.parametrize(
    ('name', 'change', 'match'),
    [
        ('search', (' crop', ' image'), 'search.onnx maps image .* expected crop '),
        ('search', ('uint8[B, 16, 16', 'float[B, 16, 16'), r'search.onnx maps crop \(float32'),
        ('search', ('uint8[B, 16, 16', 'uint8[B, 32, 32'), 'uint8 N x 32 x 32 x 3.* expected'),
        (
            'search',
            ('crop,', 'crop, float[B] more,'),
            'maps crop .*, more .float32 N.,',
        ),
        ('search', ('box', 'boxes'), 'search.onnx maps .* to boxes, score; expected .* to box'),
        ('template', ('[B, T, 8', '[1, T, 8'), 'template.onnx maps crops .uint8 1 x N x 8'),
        ('template', (' values', ' other'), 'to keys, other; expected .* to keys, values'),
    ],
)
def test_other_inputs_and_outputs_than_ours(tmp_path, backend, name, change, match):
    folder = write_toy(tmp_path)
    old, new = change
    text = GRAPHS[name].replace('(crop)', '(image)') if new == ' image' else GRAPHS[name]
    assert old in text
    info = dataclasses.replace(INFO, graph=name)
    write_graph(folder / f'{name}.onnx', text.replace(old, new), info.to_strings())
    refuses(folder, match, backend)
