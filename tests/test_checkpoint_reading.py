"""Published files are read without executing what is pickled in them; bad ones are refused."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import torch
from published import SETTINGS, assert_same, save_published, small_published

from mmtrack_mixformerv2.checkpoints import (
    read_checkpoint,
    reading,
)
from mmtrack_mixformerv2.checkpoints.unpickling import Inert, TensorRecord, safe_unpickle


@pytest.fixture(scope='module')
def net() -> OrderedDict:
    """Published weights of the small case; never written to."""
    return small_published()


@pytest.fixture(params=[False, True], ids=['zip', 'legacy'])
def legacy(request) -> bool:
    """Both formats of torch.save."""
    return request.param


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'MixFormer_ep0500.pth.tar'


# ---- reading -----------------------------------------------------------------------------------


def test_published_file_is_read_though_its_training_package_is_not_installed(path, net, legacy):
    save_published(path, net, legacy=legacy)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.state_dict, net)
    assert checkpoint.found_under == 'net'
    assert checkpoint.info == {
        'epoch': 500,
        'actor_type': 'MixFormerActor',
        'net_type': 'MixFormer',
    }
    assert checkpoint.ignored == (f'{SETTINGS}.Settings',)


@pytest.mark.parametrize('key', ['net', 'state_dict', 'model', ''])
def test_state_dict_is_found_in_every_supported_place(path, legacy, key):
    state = OrderedDict(a=torch.arange(3.0))
    state._metadata = {'': {'version': 1}}  # as nn.Module.state_dict() adds
    torch.save(
        {key: state, 'epoch': 3} if key else state, path, _use_new_zipfile_serialization=not legacy
    )
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.state_dict, state)
    assert checkpoint.found_under == key
    assert checkpoint.info == ({'epoch': 3} if key else {})


def test_every_kind_of_tensor_arrives_as_it_was(path, legacy):
    base = torch.arange(24.0).reshape(2, 3, 4)
    state = {
        'view': base[:, 1:],
        'transposed': base.transpose(0, 2),
        'whole': base,
        'scalar': torch.tensor(2.5),
        'empty': torch.empty(0, 3),
        'parameter': torch.nn.Parameter(torch.ones(2)),
        'frozen': torch.nn.Parameter(torch.ones(3), requires_grad=False),
        'half': torch.ones(2).half(),
        'bfloat': torch.full((2,), 1.5).bfloat16(),
        'double': torch.tensor([1 / 3], dtype=torch.float64),
        'int': torch.tensor([-7]),
        'complex': torch.ones(1, dtype=torch.complex64),
        'bool': torch.tensor([True, False]),
    }
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    assert_same(read_checkpoint(path).state_dict, state)


def test_pickled_modules_are_not_needed_beside_the_weights(path, net, legacy):
    save_published(path, net, legacy=legacy, network=torch.nn.Linear(2, 2))
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.state_dict, net)
    assert 'torch.nn.modules.linear.Linear' in checkpoint.ignored


# ---- hostile files -----------------------------------------------------------------------------


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Pickle insists that what is to be called can be."""


class CallWithState(Call):
    """Pickles as a call whose result is then given a state, items and elements."""

    def __reduce__(self):
        return (*self.call, {'x': 1}, iter([1, 2]), iter([('k', 'v')]))


def attack(kind: str, canary: Path) -> object:
    """An object whose unpickling creates the canary."""
    touch = f'touch {canary}'
    return {
        'system': Call(os.system, touch),
        'eval': Call(eval, f'__import__("pathlib").Path({str(canary)!r}).touch()'),
        'exec': Call(exec, f'open({str(canary)!r}, "w")'),
        'popen': Call(subprocess.getoutput, touch),
        'getattr': Call(Call(getattr, Call(importlib.import_module, 'os'), 'system'), touch),
        'open': Call(open, str(canary), 'w'),
        'torch': Call(torch.save, {}, str(canary)),
        'nested': {'a': [(1, {'b': Call(Call, os.system), 'c': [Call(os.system, touch)]})]},
        'state': CallWithState(subprocess.getoutput, touch),
    }[kind]


KINDS = ['system', 'eval', 'exec', 'popen', 'getattr', 'open', 'torch', 'nested', 'state']


@pytest.mark.parametrize('kind', KINDS)
def test_pickled_code_is_not_run_and_the_weights_are_read(path, tmp_path, net, legacy, kind):
    canary = tmp_path / 'canary'
    save_published(path, net, legacy=legacy, zzz=attack(kind, canary))
    with io.BytesIO() as control:  # the attack works on those who load it as it is
        torch.save(attack(kind, canary), control, _use_new_zipfile_serialization=not legacy)
        control.seek(0)
        try:
            torch.load(control, weights_only=False)
        except (TypeError, AttributeError):  # what the attack returns need not be usable
            assert kind in ('state', 'getattr')
    assert canary.exists()
    canary.unlink()
    assert_same(read_checkpoint(path).state_dict, net)
    assert not canary.exists()


def test_code_in_place_of_the_weights_is_refused(path, tmp_path, net, legacy):
    canary = tmp_path / 'canary'
    hostile = OrderedDict(net, **{'backbone.reg_tokens': attack('system', canary)})
    save_published(path, hostile, legacy=legacy)
    with pytest.raises(ValueError, match="'backbone.reg_tokens' of the state dict is not a tensor"):
        read_checkpoint(path)
    assert not canary.exists()


def unpickle(text: bytes):
    return safe_unpickle(io.BytesIO(text))[0]


@pytest.mark.parametrize(
    'program',
    [
        b"(S'touch %s'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch %s'\no.",  # OBJ
        b"cos\nsystem\n(S'touch %s'\ntR.",  # GLOBAL, REDUCE
        b'\x80\x04\x8c\x02os\x8c\x06system\x93(\x8c%c%stR.',  # STACK_GLOBAL
        b'\x80\x04cos\nsystem\n\x81)\x81.',  # NEWOBJ without arguments
    ],
)
def test_every_way_to_call_is_inert(tmp_path, program):
    canary = tmp_path / 'canary'
    if b'%c' in program:
        text = f'touch {canary}'.encode()
        program = program.replace(b'%c', bytes([len(text)])).replace(b'%s', text)
    else:
        program = program.replace(b'%s', str(canary).encode())
    try:
        result = unpickle(program)
    except pickle.UnpicklingError:
        assert b'\x81)' in program  # malformed on purpose
    else:
        assert isinstance(result, Inert)
    assert not canary.exists()


@pytest.mark.parametrize(
    'name',
    [
        b'ctorch._utils\n_rebuild_tensor_v2\n',
        b'ctorch._utils\n_rebuild_parameter\n',
        b'ccollections\nOrderedDict\n',
        b'ctorch\nFloatStorage\n',
        b'cbuiltins\ngetattr\n',
    ],
)
def test_state_cannot_be_planted_on_what_names_stand_for(name):
    """BUILD with slots state sets attributes on whatever it is given, classes included."""
    before = {kind: dict(vars(kind)) for kind in (Inert, TensorRecord)}
    planted = b"(N}S'__call__'\nS'planted'\nsS'planted'\nI1\nstb."
    unpickle(name + planted)
    with suppress(AttributeError):  # what the call returned may be None
        unpickle(name + b')R' + planted)
    assert {kind: dict(vars(kind)) for kind in (Inert, TensorRecord)} == before
    assert not hasattr(OrderedDict, 'planted')


def test_attributes_of_the_state_dict_cannot_be_replaced(path):
    state = OrderedDict(a=torch.ones(1))
    state.values = state.get = None
    torch.save(state, path)
    assert_same(read_checkpoint(path).state_dict, {'a': torch.ones(1)})


@pytest.mark.parametrize(
    ('program', 'message'),
    [
        (b'\x82\x01.', 'extension codes'),
        (b'Nr\xff\xff\xff\x7f.', 'numbers an object'),
        (b'(' * 30_000 + b't' * 30_000 + b'.', None),
        (b'cos\nsystem\n', 'STOP'),
        (b'Pid\n.', 'reference to tensor data'),
    ],
)
def test_programs_that_only_harm_the_reader_are_refused(program, message):
    if message is None:
        unpickle(program)  # deep, but legal; must not crash the interpreter
        return
    with pytest.raises((ValueError, pickle.UnpicklingError), match=message):
        unpickle(program)


@pytest.mark.filterwarnings('ignore:TypedStorage is deprecated')
@pytest.mark.parametrize(
    ('size', 'stride', 'offset'),
    [
        ((4,), (1,), 0),
        ((3,), (1,), 1),
        ((2,), (3,), 0),
        ((10**15,), (0,), 0),
        ((-1,), (1,), 0),
        ((2,), (1,), -1),
        ((2, 1), (1,), 0),
        ((True,), (1,), 0),
        ('ab', (1,), 0),
    ],
)
def test_tensors_that_reach_beyond_their_data_are_refused(path, size, stride, offset):
    class Crafted:
        def __reduce__(self):
            data = torch.ones(3).untyped_storage()
            typed = torch.storage.TypedStorage(wrap_storage=data, dtype=torch.float32)
            return torch._utils._rebuild_tensor_v2, (typed, offset, size, stride, False, None)

    torch.save({'net': {'crafted': Crafted()}}, path)
    with pytest.raises(ValueError, match='crafted'):
        read_checkpoint(path)


def save_shared(path, numel: int, names: int, *, legacy: bool, view=None) -> None:
    """One storage of so many floats under so many names, each the whole of it or a view."""
    whole = torch.arange(float(numel))
    state = {f'w{i}': view(whole, i) if view else whole for i in range(names)}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)


def test_tied_weights_share_memory(path, legacy):
    save_shared(path, 1000, 3, legacy=legacy)
    tensors = list(read_checkpoint(path).state_dict.values())
    assert len({tensor.data_ptr() for tensor in tensors}) == 1
    assert all(torch.equal(tensor, torch.arange(1000.0)) for tensor in tensors)


def test_parts_of_a_storage_own_only_their_part_and_it_is_read_once(path, legacy, monkeypatch):
    save_shared(path, 30_000, 3, legacy=legacy, view=lambda t, i: t[10_000 * i :][:10_000])
    archive = reading._LegacyArchive if legacy else reading._ZipArchive
    read, reads = archive.read_storage, []
    monkeypatch.setattr(archive, 'read_storage', lambda *args: reads.append(1) or read(*args))
    state = read_checkpoint(path).state_dict
    assert len(reads) == 1
    for i, tensor in enumerate(state.values()):
        assert torch.equal(tensor, torch.arange(10_000.0) + 10_000 * i)
        assert tensor.untyped_storage().nbytes() == 40_000


@pytest.mark.parametrize('view', [None, lambda t, i: t[: len(t) - i]], ids=['whole', 'parts'])
def test_one_storage_under_very_many_names_is_refused_unread(path, legacy, monkeypatch, view):
    save_shared(path, 500_000, 1000, legacy=legacy, view=view)
    for archive in (reading._ZipArchive, reading._LegacyArchive):
        monkeypatch.delattr(archive, 'read_storage')
    with pytest.raises(ValueError, match='more than such a file holds'):
        read_checkpoint(path)


def test_archive_whose_parts_claim_more_than_the_file_is_refused_unread(path):
    """Parts of a zip archive can overlap; no honest file holds more than its own size."""
    torch.save({'a': torch.zeros(4000), 'b': torch.ones(4000)}, path)
    records = {
        str(i): TensorRecord(reading._Storage(str(i), torch.float32, 4000), 0, (4000,), (1,))
        for i in range(3)
    }
    with pytest.raises(ValueError, match='claim 48000 stored bytes'):
        reading._read_tensors(None, records, path.stat().st_size)


def test_stored_bytes_that_are_not_as_many_as_said_are_refused(path):
    torch.save({'a': torch.arange(5.0)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in parts.items():
            archive.writestr(name, content + bytes(4) if name.endswith('data/0') else content)
    with pytest.raises(ValueError, match='data/0 has 24 bytes, expected 20'):
        read_checkpoint(path)


# ---- damaged files and other files -------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'git lfs pull'),
        (b'\n<!DOCTYPE html><html>', 'web page'),
        (b'\x89PNG\r\n\x1a\n' + bytes(100), 'expected a PyTorch checkpoint'),
        (bytes(1000), 'expected a PyTorch checkpoint'),
        (pickle.dumps({'net': 1}), 'not one that torch.save wrote'),
    ],
)
def test_other_files_are_told_from_checkpoints(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'(?i){message}') as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth is not there; expected a PyTorch'):
        read_checkpoint(tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match='is a directory'):
        read_checkpoint(tmp_path)


def test_real_tar_archive_is_named(path):
    with tarfile.open(path, 'w') as archive:
        archive.add(__file__, 'weights')
    with pytest.raises(ValueError, match='is a tar archive .* unpack it'):
        read_checkpoint(path)


@pytest.mark.parametrize('share', [0.001, 0.02, 0.3, 0.9, 0.999])
def test_truncated_file_is_refused(path, net, legacy, share):
    save_published(path, net, legacy=legacy)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r'truncated|fetched again'):
        read_checkpoint(path)


def test_flipped_bits_in_a_zip_file_are_noticed(path, net):
    save_published(path, net)
    with zipfile.ZipFile(path) as archive:
        target = max(archive.infolist(), key=lambda info: info.file_size)
    content = bytearray(path.read_bytes())
    content[target.header_offset + 200] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(ValueError, match='Bad CRC-32'):
        read_checkpoint(path)


def test_wrong_length_of_a_legacy_storage_is_noticed(path):
    torch.save({'a': torch.arange(5.0)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    length, numbers = struct.pack('<q', 5), torch.arange(5.0).numpy().tobytes()
    assert content.endswith(length + numbers)
    path.write_bytes(content[: -len(length + numbers)] + struct.pack('<q', 4) + numbers)
    with pytest.raises(ValueError, match='storage .* of 5 values is cut off'):
        read_checkpoint(path)


def test_zip_archives_that_torch_did_not_save_are_refused(path):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('weights/readme.txt', 'hello')
    with pytest.raises(ValueError, match='without a data.pkl'):
        read_checkpoint(path)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('weights/data.pkl', bytes(10**6))
    with pytest.raises(ValueError, match='is compressed'):
        read_checkpoint(path)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1)), path)
    with pytest.raises(ValueError, match='TorchScript'):
        read_checkpoint(path)


def test_randomly_damaged_files_end_in_a_value_error_or_whole_tensors(path, legacy):
    state = {f'layer.{i}.weight': torch.arange(4.0) + i for i in range(3)}
    torch.save({'net': state}, path, _use_new_zipfile_serialization=not legacy)
    whole, random = path.read_bytes(), Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(random.randint(1, 3)):
            content[random.randrange(len(content))] = random.randrange(256)
        path.write_bytes(content)
        try:
            checkpoint = read_checkpoint(path)
        except ValueError:
            refused += 1
        else:
            assert all(isinstance(value, torch.Tensor) for value in checkpoint.state_dict.values())
    assert refused > 50


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'holds list, not a dict'),
        (torch.nn.Linear(1, 1), 'a whole pickled object, not a dict'),
        ({'optimizer': {'lr': 1}, 'epoch': 3}, "no tensors under .* only .'optimizer', 'epoch'"),
        ({'net': {'a': torch.ones(1), 'b': 3}}, "'b' of the state dict is not a tensor"),
        ({'net': {'a': torch.ones(1), 7: torch.ones(1)}}, '7 of the state dict is not a tensor'),
        (
            {'net': {'a': torch.ones(1), 'b': torch.ones(3, dtype=torch.uint16)}},
            "'b' of the state dict is not a tensor",
        ),
    ],
)
def test_files_without_a_state_dict_say_what_they_hold(path, legacy, content, message):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)
