"""Models side by side: what is measured, what is written, and what is said where nothing is."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from small_tracker import annotated_test, lively_tracker, write_small_tracker

from mmtrack_mixformerv2 import cli
from mmtrack_mixformerv2.comparison import side_by_side
from mmtrack_mixformerv2.comparison.entries import find_entries

QUICK = ['--seconds', '0', '--threads', '1', '--size', '96', '64', '--quiet']
TINY = 'configs/mixformerv2/mixformerv2-tiny_test-synthetic.py'


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Path:
    """Folder of a small tracker, ``small_test.py`` and ``weights.pth``, and sequences in data."""
    folder = tmp_path_factory.mktemp('small')
    annotated_test(folder, videos=2, frames=20)
    return folder


@pytest.fixture
def compare(small, tmp_path, capsys):
    """Runs the command on the small tracker; gives the exit code, the document and the output."""

    def run(*argv: object) -> tuple[int, dict, str]:
        out = tmp_path / 'out'
        code = cli.main(['compare', *map(str, argv), '--out', str(out), *QUICK])
        file = out / 'comparison.json'
        document = json.loads(file.read_text()) if file.is_file() else {}
        printed = capsys.readouterr()
        return code, document, printed.out + printed.err

    return run


def test_size_speed_and_accuracy_of_models_with_and_without_weights(compare, small, tmp_path):
    config, weights = small / 'small_test.py', small / 'weights.pth'
    given = f'{config}={weights}'
    code, document, printed = compare(given, config, '--data', small / 'data', '--published')
    assert code == cli.FAILED  # a cell of the table is empty
    with_weights, without = document['models']
    assert (with_weights['name'], without['name']) == ('small (weights)', 'small (random)')
    assert (with_weights['weights'], without['weights']) == ('weights.pth', 'random')
    assert with_weights['parameters'] == without['parameters'] > 1000
    for model in (with_weights, without):
        assert list(model['speeds']) == ['published', 'torch']
        assert model['speeds']['published']['speedup'] == 1
        assert all(speed['frames_per_second'] > 0 for speed in model['speeds'].values())
        assert model['speeds']['torch']['box_difference'] < 1e-3  # pixels
    assert 0 <= with_weights['metrics']['success'] <= 100
    assert without['metrics'] == {} and without['checkpoint'] is None
    assert 'random weights' in without['missing']['accuracy']
    about = document['about']
    assert about['command'].startswith(f'mixformerv2 compare {given}')
    assert '2 sequences, 40 frames' in about['data'] and about['threads'] == '1'
    assert 'torch' in about['machine']
    assert about['ended'] == 'all but accuracy of small (random)'
    assert document['units']['metrics'] == '%'
    markdown = (tmp_path / 'out/comparison.md').read_text()
    assert markdown in printed
    for text in (
        'success AUC',
        'published frames/s',
        '| random',
        '| weights.pth',
        'small (random), no accuracy: ',
    ):
        assert text in markdown
    with (tmp_path / 'out/comparison.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['model'] for row in rows] == ['small (weights)', 'small (random)']
    assert float(rows[0]['success']) == with_weights['metrics']['success']
    assert rows[1]['success'] == '' and float(rows[1]['torch_frames_per_second']) > 0
    assert (tmp_path / 'out/comparison.png').read_bytes().startswith(b'\x89PNG')
    svg = (tmp_path / 'out/comparison.svg').read_text()
    assert '<svg' in svg and 'not shown, no success AUC or no speed: small (random)' in svg


def test_a_backend_that_is_not_there_is_an_empty_cell_with_a_reason(compare, small, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    config = small / 'small_test.py'
    code, document, printed = compare(config, config, '--backends', 'torch', 'openvino')
    assert code == cli.FAILED
    assert document['about']['ended'] == 'all but openvino of small, small (2)'
    for model in document['models']:
        assert list(model['speeds']) == ['torch']  # and there is nothing to compare it to
        assert model['speeds']['torch']['speedup'] is None
        assert model['speeds']['torch']['box_difference'] is None
        assert list(model['missing']) == ['openvino']
    assert printed.count('- all, no openvino: ') == 1  # once for all models


def test_nothing_that_can_run_is_an_error_at_once(compare, small, monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    code, document, printed = compare(small / 'small_test.py', '--backends', 'openvino')
    assert code == cli.FAILED and not document
    assert printed.count('pip install openvino') == 1


def test_all_that_was_asked_for_was_measured(compare, small, tmp_path):
    (tmp_path / 'out').mkdir()
    code, document, printed = compare(small / 'small_test.py')
    assert code == 0 and document['about']['ended'] == 'everything was measured'
    assert 'accuracy' not in printed and 'note: ' not in printed


def test_an_exported_model_is_measured(compare, exported_tracker, tmp_path, monkeypatch):
    """Exporting takes long, and this one is there already."""
    config, _ = write_small_tracker(tmp_path)
    config.write_text(config.read_text() + 'model["backbone"]["depth"] = 2\n')
    torch.save({'state_dict': lively_tracker(depth=2).state_dict()}, tmp_path / 'lively.pth')
    export, given = side_by_side.export_models, {('onnxruntime', 'float32'): exported_tracker}
    monkeypatch.setattr(
        side_by_side,
        'export_models',
        lambda model, wanted, folder, _, clip: export(model, wanted, folder, given, clip),
    )
    model = f'{config}={tmp_path / "lively.pth"}'
    code, document, _ = compare(model, '--backends', 'onnxruntime', 'torch', '--published')
    assert code == 0
    (model,) = document['models']
    assert list(model['speeds']) == ['published', 'onnxruntime', 'torch']
    assert model['speeds']['onnxruntime']['box_difference'] < 1e-3  # pixels
    assert 'onnxruntime ' in document['about']['machine']


def test_what_was_measured_is_kept_after_an_interruption(compare, small, monkeypatch):
    measure, calls = side_by_side.measure_tracker, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return measure(*arguments)

    monkeypatch.setattr(side_by_side, 'measure_tracker', interrupted)
    given = f'{small / "small_test.py"}={small / "weights.pth"}'
    code, document, printed = compare(given, given, '--data', small / 'nowhere')
    assert code == 1 and 'there is no' in printed and not calls  # no such data: before the work
    code, document, printed = compare(given, given, '--data', small / 'data')
    assert code == cli.INTERRUPTED
    first, second = document['models']
    assert 'success' in first['metrics'] and first['missing'] == {}
    assert second['metrics'] == {} and 'before it was measured' in second['missing']['accuracy']
    assert second['speeds']['torch']['frames_per_second'] > 0
    assert document['about']['ended'] == 'it was interrupted'


def test_what_was_measured_is_kept_after_an_error(compare, small, tmp_path):
    shutil.copytree(small / 'data', tmp_path / 'data')
    sorted((tmp_path / 'data').glob('*/*/*.jpg'))[-1].write_bytes(b'no picture')
    given = f'{small / "small_test.py"}={small / "weights.pth"}'
    code, document, printed = compare(given, '--data', tmp_path / 'data')
    assert code == cli.FAILED and 'cannot be decoded' in printed
    assert document['about']['ended'].startswith('it failed: ')
    assert 'cannot be decoded' in document['about']['ended']
    (model,) = document['models']
    assert model['speeds']['torch']['frames_per_second'] > 0 and list(model['missing']) == [
        'accuracy'
    ]


def test_an_interruption_in_the_speed_keeps_finished_turns(small, tmp_path, monkeypatch):
    turns = side_by_side.take_turns

    def interrupted(runs, *arguments):
        turns(dict(list(runs.items())[:1]), *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(side_by_side, 'take_turns', interrupted)
    config, out = str(small / 'small_test.py'), tmp_path / 'out'
    code = cli.main(['compare', config, config, '--out', str(out), *QUICK])
    first, second = json.loads((out / 'comparison.json').read_text())['models']
    assert code == cli.INTERRUPTED and list(first['speeds']) == ['torch']
    assert second['speeds'] == {} and 'before it was measured' in second['missing']['torch']


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['mixformerv2-tinny'], 'no model .mixformerv2-tinny.. Did you mean mixformerv2-tiny'),
        (['nowhere_test.py'], 'the config file nowhere_test.py does not exist'),
        ([f'{TINY}=nowhere.pth'], 'nowhere.pth'),
        ([f'{TINY}='], 'no checkpoint behind the =; give MODEL=CHECKPOINT'),
        (['weights/mixformerv2-tiny_synthetic.pth'], 'no config and no name.*mixformerv2 doctor'),
        ([TINY, '--data', 'nowhere'], 'there is no nowhere, expected a test config or a folder'),
        ([TINY, '--data', 'configs/_base_/models/fermt.py'], 'no test_dataloader'),
        ([TINY, '--init', '1,2,3,4'], '--init goes with --clip'),
    ],
)
def test_what_cannot_be_compared_is_named(compare, argv, message, monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    code, document, printed = compare(*argv)
    assert code == cli.FAILED and not document
    assert len(printed.splitlines()) <= 2
    assert re.search(f'error: .*{message}', printed), printed


def test_weights_of_another_model_are_named_before_anything_is_measured(compare, small, tmp_path):
    (tmp_path / 'other').mkdir()
    config, _ = write_small_tracker(tmp_path / 'other')
    text = config.read_text().replace("'depth': 1", "'depth': 2")
    config.write_text(text)
    code, document, printed = compare(f'{config}={small / "weights.pth"}')
    assert code == cli.FAILED and not document
    assert 'weights.pth does not fit the model' in printed


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_may_not_be_written_to_is_named_first(compare, tmp_path):
    (tmp_path / 'out').mkdir(mode=0o500)
    code, _, printed = compare('no-such-model')
    assert code == cli.FAILED and re.search('no files can be made in .*--out', printed)


def test_a_file_in_the_place_of_the_folder_is_named_first(compare, tmp_path):
    (tmp_path / 'out').write_text('')
    code, _, printed = compare('no-such-model')
    assert code == cli.FAILED and re.search('no files can be made in .*--out', printed)


def test_names_are_those_of_models_and_differ(small, tmp_path):
    def names(*models: object) -> list[str]:
        return [entry.name for entry in find_entries([str(model) for model in models])]

    config, other = small / 'small_test.py', small / 'small_test-other.py'
    shutil.copy(config, other)
    files = [tmp_path / name for name in ('a/best.pth', 'b/best.pth', 'b/last.pth')]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        shutil.copy(small / 'weights.pth', file)
    first, second, third = [f'{config}={file}' for file in files]
    assert names(config, config) == ['small', 'small (2)']
    assert names(config, other) == ['small_test', 'small_test-other']
    assert names(first, third, config) == ['small (best)', 'small (last)', 'small (random)']
    assert names(first, second) == ['small (a/best)', 'small (b/best)']


@pytest.mark.parametrize('seconds', ['-1', 'nan', 'inf', 'long'])
def test_seconds_are_a_number(compare, seconds, capsys):
    assert cli.parse_args(['compare', TINY, '--seconds', '0.5']).seconds == 0.5
    with pytest.raises(SystemExit):
        compare(TINY, '--seconds', seconds)
    assert 'is not a number of seconds from 0 up' in capsys.readouterr().err


def test_only_of_a_file_the_doctor_says_what_it_is(compare, tmp_path):
    _, _, printed = compare(tmp_path)
    assert 'no config and no name' in printed and 'mixformerv2 doctor' not in printed


def test_a_distillation_is_the_tracker_that_it_ends_with():
    root = Path(__file__).resolve().parents[1]
    path = root / 'configs/mixformerv2/tiny/mixformerv2-micro-b_st2.py'
    (entry,) = find_entries([str(path)])
    assert entry.config.model.type == 'TemplateSearchTracker'
    assert 'teacher' in Config.fromfile(path).model and 'teacher' not in entry.config.model
