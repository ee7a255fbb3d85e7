"""MMEngine's own checkpoints are read, and nothing in a file is executed."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from toy import write_config

from mmtrack_mixformerv2.engine import build_runner, check_training, read_config
from mmtrack_mixformerv2.engine.stand_ins import stand_ins_allowed


def load(path) -> dict:
    """Read a file as MMEngine does when it resumes or loads weights."""
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def run(path, **settings):
    """Train with a config file; return the runner afterwards."""
    cfg = read_config(path, settings)
    check_training(cfg)
    runner = build_runner(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with the checkpoints of two epochs, written by MMEngine; and the final model."""
    folder = tmp_path_factory.mktemp('trained')
    runner = run(write_config(folder, custom_hooks=[dict(type='EMAHook')]))
    return folder / 'work_dir', runner


def test_training_state_has_the_values_that_were_saved(trained):
    folder, runner = trained
    checkpoint = load(folder / 'epoch_2.pth')
    saved = runner.message_hub.log_scalars
    restored = checkpoint['message_hub']['log_scalars']
    assert all(type(history) is HistoryBuffer for history in restored.values())
    for name in ('train/loss', 'train/lr'):  # those of the validation go on after the file
        history = restored[name]
        assert len(history.data[0]) == 8
        for array, expected in zip(history.data, saved[name].data):
            assert type(array) is np.ndarray
            np.testing.assert_array_equal(array, expected)
        assert history.statistics('mean') == saved[name].mean()
    assert checkpoint['meta']['epoch'] == 2


def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path):
    folder, runner = trained
    settings = dict(custom_hooks=[dict(type='EMAHook')])
    path = write_config(tmp_path, **settings)
    resumed = run(path, resume=True, load_from=str(folder / 'epoch_1.pth'))
    assert resumed.iter == runner.iter == 8
    for name, value in runner.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)
    first, second = (load(f / 'epoch_2.pth') for f in (folder, tmp_path / 'work_dir'))
    for name, value in first['ema_state_dict'].items():
        torch.testing.assert_close(second['ema_state_dict'][name], value, rtol=0, atol=0)
    losses = [c['message_hub']['log_scalars']['train/loss'].data[0] for c in (first, second)]
    np.testing.assert_array_equal(*losses)


def test_pretrained_weights_are_loaded(trained, tmp_path):
    folder, _ = trained
    file = folder / 'epoch_2.pth'
    init = dict(type='Pretrained', checkpoint=str(file))
    runner = build_runner(read_config(write_config(tmp_path, model=dict(init_cfg=init))))
    runner.model.init_weights()
    for name, value in load(file)['state_dict'].items():
        torch.testing.assert_close(runner.model.state_dict()[name], value)


def test_numpy_values_survive(tmp_path):
    values = dict(
        big_endian=np.arange(6, dtype='>i4').reshape(2, 3),
        fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        empty=np.zeros((0, 3), dtype=np.float32),
        scalar=np.float64(0.25),
        flag=np.bool_(True),
        dtype=np.dtype('float32'),
        nested=[(np.float32(1.5), OrderedDict(history=HistoryBuffer([1.0, 2.0], [1, 3])))],
    )
    torch.save(values, tmp_path / 'values.pth')
    loaded = load(tmp_path / 'values.pth')
    for name in ('big_endian', 'fortran', 'empty'):
        np.testing.assert_array_equal(loaded[name], values[name])
        assert loaded[name].dtype == values[name].dtype
    for name in ('scalar', 'flag', 'dtype'):
        assert loaded[name] == values[name]
        assert type(loaded[name]) is type(values[name])
    number, inner = loaded['nested'][0]
    assert number == np.float32(1.5)
    assert inner['history'].mean() == 0.75


def test_loaded_state_can_be_saved_and_loaded_again(trained, tmp_path):
    folder, _ = trained
    torch.save(load(folder / 'epoch_1.pth'), tmp_path / 'again.pth')
    histories = load(tmp_path / 'again.pth')['message_hub']['log_scalars']
    assert len(histories['train/loss'].data[0]) == 4


@pytest.mark.parametrize('new_format', [True, False])
def test_code_in_a_file_is_named_and_not_executed(tmp_path, new_format):
    marker = tmp_path / 'executed'
    bomb = Calls(os.system, f'touch {marker}')
    file = tmp_path / 'bomb.pth'
    torch.save(
        dict(state_dict={}, message_hub=bomb), file, _use_new_zipfile_serialization=new_format
    )
    with pytest.raises(ValueError, match=r'system: this file holds pickled code.*convert_check'):
        load(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (HistoryBuffer, '__init__'),  # ... and from there __globals__
        (HistoryBuffer, 'register_statistics'),
        (HistoryBuffer, '_statistics_methods'),
        (HistoryBuffer, 'mean.__globals__'),
        (np.dtype, 'mean'),
        (np.ndarray, 'mean'),
        (HistoryBuffer([1.0], [1]), 'mean'),
    ],
)
def test_getattr_gives_a_file_nothing(tmp_path, owner, name):
    file = tmp_path / 'gadget.pth'
    torch.save(dict(x=Calls(getattr, owner, name)), file)
    with pytest.raises(ValueError, match='calls getattr for'):
        load(file)


@pytest.mark.parametrize(
    'value',
    [
        Calls(np.dtype, 'O'),
        Calls(np.dtype, [('field', 'f8')]),
        Calls(np.array([1.0]).__reduce__()[0], Calls, (0,), b'b'),
        np.array(['text']),
        np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')]),
        np.datetime64('2020-01-01'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, value):
    file = tmp_path / 'array.pth'
    torch.save(dict(x=value), file)
    with pytest.raises(ValueError, match='array of numbers|plain array|pickled code'):
        load(file)


def test_a_history_of_something_else_is_refused(tmp_path):
    history = HistoryBuffer([1.0], [1])
    history._log_history = 'text'
    torch.save(dict(x=history), tmp_path / 'history.pth')
    with pytest.raises(ValueError, match='expected a log history'):
        load(tmp_path / 'history.pth')


def test_source_code_that_mmengine_would_run_is_dropped(tmp_path):
    meta = dict(config='import os', cfg='model = dict()', epoch=1)
    torch.save(dict(meta=meta, state_dict={}), tmp_path / 'config.pth')
    assert load(tmp_path / 'config.pth')['meta'] == dict(cfg='model = dict()', epoch=1)


def test_the_rules_of_torch_are_back_after_loading(trained, tmp_path):
    folder, _ = trained
    before = set(torch.serialization.get_safe_globals())
    with torch.serialization.safe_globals([np.dtype]):
        load(folder / 'epoch_1.pth')  # what the user allowed does not get into our way
        assert set(torch.serialization.get_safe_globals()) == before | {np.dtype}
    with pytest.raises(RuntimeError, match='inside'), stand_ins_allowed():
        raise RuntimeError('inside')
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize('keep', [0, 100, 0.5, 0.98])
def test_a_truncated_file_is_refused(trained, tmp_path, keep):
    folder, _ = trained
    content = (folder / 'epoch_1.pth').read_bytes()
    file = tmp_path / 'truncated.pth'
    file.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(ValueError, match=r'truncated.pth \(\d+ bytes\) cannot be read'):
        load(file)


def test_a_text_file_is_refused(tmp_path):
    file = tmp_path / 'text.pth'
    file.write_text('<html>not found</html>')
    with pytest.raises(ValueError, match=r'text.pth'):
        load(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.pth does not exist'):
        load(tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match='is a directory'):
        load(tmp_path)


def test_downloads_are_read_in_the_same_way(tmp_path, monkeypatch):
    marker = tmp_path / 'executed'
    torch.save(dict(x=Calls(os.system, f'touch {marker}')), tmp_path / 'bomb.pth')
    torch.save(dict(x=torch.ones(2), h=HistoryBuffer([1.0], [1])), tmp_path / 'good.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        assert load(f'{address}/good.pth')['h'].mean() == 1.0
        with pytest.raises(ValueError, match='pickled code'):
            load(f'{address}/bomb.pth')
        server.shutdown()
    assert not marker.exists()
