"""Reading without executing, strict conversion, and the converter tool."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.runner import load_checkpoint
from mmtrack.registry import MODELS
from published import SETTINGS, published_state_dict, save_published
from tools_loader import TOOLS, load_tool

from mmtrack_mixformerv2.checkpoints import (
    NOT_IN_A_VIT,
    RELEASED,
    Sizes,
    convert_state_dict,
    fitting_config,
    identify,
    model_settings,
    read_checkpoint,
    reading,
    write_checkpoint,
)
from mmtrack_mixformerv2.checkpoints.key_maps import SYSTEMS
from mmtrack_mixformerv2.checkpoints.unpickling import Inert, TensorRecord, safe_unpickle
from mmtrack_mixformerv2.position import sincos_position_table

MANIFEST = json.loads(
    (Path(__file__).parent / 'data' / 'mixformerv2_small.manifest.json').read_text()
)


@pytest.fixture(scope='module')
def net() -> OrderedDict:
    """Published weights of the small case; never written to."""
    return published_state_dict(MANIFEST)


@pytest.fixture(scope='module')
def mixvit() -> OrderedDict:
    """Published weights of the small MixViT with pyramid head; never written to."""
    text = (Path(__file__).parent / 'data' / 'mixvit_small.manifest.json').read_text()
    return published_state_dict(json.loads(text))


@pytest.fixture(params=[False, True], ids=['zip', 'legacy'])
def legacy(request) -> bool:
    """Both formats of torch.save."""
    return request.param


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'MixFormer_ep0500.pth.tar'


def mae_state_dict(*, decoder: bool) -> dict[str, torch.Tensor]:
    """A two-block ViT of width 8 under MAE's names."""
    shapes = {
        'cls_token': (1, 1, 8),
        'pos_embed': (1, 5, 8),
        'patch_embed.proj.weight': (8, 3, 4, 4),
        'patch_embed.proj.bias': (8,),
        'norm.weight': (8,),
        'norm.bias': (8,),
    }
    for i in range(2):
        layers = {'norm1': (8,), 'attn.qkv': (24, 8), 'attn.proj': (8, 8)}
        layers.update({'norm2': (8,), 'mlp.fc1': (20, 8), 'mlp.fc2': (8, 20)})
        for name, shape in layers.items():
            shapes[f'blocks.{i}.{name}.weight'] = shape
            shapes[f'blocks.{i}.{name}.bias'] = shape[:1]
    if decoder:
        shapes.update({'mask_token': (1, 1, 6), 'decoder_blocks.0.attn.qkv.weight': (18, 6)})
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def assert_same(got, expected) -> None:
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name


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


# ---- conversion --------------------------------------------------------------------------------


def test_sizes_are_read_from_the_shapes(net):
    assert convert_state_dict(net).sizes == Sizes(48, 3, (2.0,) * 3, 16, 64, 32, 16, True)
    assert identify(net).name == 'MixFormerV2'


def test_converted_weights_fit_the_model_strictly_and_keep_their_values(net):
    before = {name: tensor.clone() for name, tensor in net.items()}
    conversion = convert_state_dict(net)
    assert_same(net, before)
    model = build_model(model_settings(conversion.sizes, num_heads=4))
    model.load_state_dict(conversion.state_dict, strict=True)
    assert conversion.dropped == () and conversion.notes == ()
    assert sum(t.numel() for t in conversion.state_dict.values()) == MANIFEST['parameters_total']
    published, ours = (
        net['backbone.reg_tokens'],
        conversion.state_dict['backbone.prediction_tokens'],
    )
    for edge, published_index in enumerate([0, 2, 1, 3]):  # left, top, right, bottom
        assert torch.equal(ours[:, edge], published[:, published_index])
    position = conversion.state_dict['backbone.prediction_pos_embed']
    assert torch.equal(position, net['backbone.pos_embed_reg'][:, [0, 2, 1, 3]])


def build_model(settings: dict):
    """A tracker with the given ``--cfg-options``."""
    config = Config(
        {
            'model': {
                'type': 'TemplateSearchTracker',
                'backbone': {'type': 'PMAMViT', 'search_size': 288, 'template_size': 128},
                'box_head': {'type': 'TokenDistributionHead'},
                'score_head': {'type': 'TokenScoreHead'},
            }
        }
    )
    config.merge_from_dict(settings)
    return MODELS.build(config.model)


def test_weights_without_score_head_and_with_other_mlp_ratios_convert(net):
    state = {name: t for name, t in net.items() if not name.startswith('score_head')}
    for name in ('fc1.weight', 'fc1.bias', 'fc2.weight'):
        key = f'backbone.blocks.1.mlp.{name}'
        state[key] = state[key][:, :31] if name == 'fc2.weight' else state[key][:31]
    conversion = convert_state_dict(state)
    assert not conversion.sizes.score_head
    settings = model_settings(conversion.sizes, num_heads=6)
    assert settings['model.score_head'] is None
    build_model(settings).load_state_dict(conversion.state_dict, strict=True)


# The published counts of MixViT include tensors that are never used and, in two cases, the score
# prediction module, but not the scales and shifts of frozen batch norms.
MIXVIT_EXTRA = {
    'mixvit-b-plain224': 922_600 - 2_880,
    'mixvit-b-pyramid288': 922_600 + 5_912_065 - 4_808,
    'mixvit-l-pyramid288': 1_229_800 - 4_808,
    'mixvit-l-pyramid384': 1_229_800 + 10_504_193 - 4_808,
}


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('mixformerv2-b', 58_855_201),
        ('mixformerv2-s', 16_228_897),
        ('mixvit-b-plain224', 93_807_594),
        ('mixvit-b-pyramid288', 104_311_151),
        ('mixvit-l-pyramid288', 319_353_966),
        ('mixvit-l-pyramid384', 330_198_127),
    ],
)
def test_released_sizes_have_the_published_number_of_parameters(name, parameters):
    """Reference: the published models, counted with their frozen position tables."""
    sizes = RELEASED[name]
    family = 'MixViT' if name.startswith('mixvit') else 'MixFormerV2'
    system = next(system for system in SYSTEMS if system.name == family)
    rules = system.layout(sizes).values()
    no_parameters = ('running_mean', 'running_var', 'num_batches_tracked')
    ours = sum(math.prod(r.shape) for r in rules if not r.target.endswith(no_parameters))
    assert ours == parameters - MIXVIT_EXTRA.get(name, 0)


@pytest.mark.parametrize('name', list(RELEASED))
def test_config_that_is_said_to_fit_has_these_sizes(name):
    pattern = fitting_config(RELEASED[name])
    configs = list(TOOLS.parent.glob(pattern))
    if name.startswith('mixvit'):
        assert pattern == f'configs/mixvit/{name}.py' and len(configs) == 1
    else:
        assert pattern == f'configs/mixformerv2/{name}_test-*.py' and len(configs) >= 5
    for file in configs:
        config = Config.fromfile(file)
        settings = model_settings(RELEASED[name])
        assert settings.pop('model.backbone.patch_size') == 16  # the default
        for key, value in settings.items():
            _, part, setting = key.split('.')
            assert config.model[part][setting] == value, (file, key)


@pytest.mark.parametrize(('side', 'dims'), [(2, 8), (7, 48), (18, 768)])
def test_position_table_is_exact_enough_to_check_published_ones(side, dims):
    """Reference: the formula, number by number and in double precision."""
    table = sincos_position_table(side, dims)[0]
    for row, column, channel in product({0, 1, side - 1}, {0, side - 1}, range(dims)):
        half, index = divmod(channel, dims // 2)
        wave, index = divmod(index, dims // 4)
        angle = (column, row)[half] * 10000 ** (-4 * index / dims)
        expected = (math.sin, math.cos)[wave](angle)
        assert table[row * side + column, channel].item() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_convert_and_keep_their_dtype(net, dtype):
    conversion = convert_state_dict({name: tensor.to(dtype) for name, tensor in net.items()})
    assert {tensor.dtype for tensor in conversion.state_dict.values()} == {dtype}
    assert conversion.notes == ()  # rounding is no deviation


@pytest.mark.parametrize('region', ['s', 't'])
def test_position_table_that_is_not_the_fixed_one_is_kept_and_noted(net, region):
    name = f'backbone.pos_embed_{region}'
    changed = net[name].clone()
    changed[0, 3, 5] += 2e-5
    conversion = convert_state_dict({**net, name: changed})
    (note,) = conversion.notes
    assert note.startswith(f'{name} differs from the fixed sin-cos table by up to 2e-05')
    model = build_model(model_settings(conversion.sizes, num_heads=4))
    model.load_state_dict(conversion.state_dict, strict=True)
    table = {'s': model.backbone.search_pos_embed, 't': model.backbone.template_pos_embed}[region]
    assert torch.equal(table, changed)


def test_every_missing_name_is_named(net):
    for name in net:
        state = {key: tensor for key, tensor in net.items() if key != name}
        with pytest.raises(ValueError, match='lack') as error:
            convert_state_dict(state)
        assert repr(name) in str(error.value)


def test_unknown_names_are_named(net):
    extra = {'backbone.extra.weight': torch.ones(1), 'box_head.layers.2.0.bias': torch.ones(1)}
    with pytest.raises(ValueError, match='unknown') as error:
        convert_state_dict({**net, **extra})
    assert all(repr(name) in str(error.value) for name in extra)


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('backbone.blocks.1.attn.qkv.weight', lambda t: t[:-1], r'\(143, 48\), expected \(144, 48'),
        ('backbone.reg_tokens', lambda t: t[:, :1], r'\(1, 1, 48\), expected \(1, 4, 48\)'),
        ('backbone.pos_embed_s', lambda t: t[:, :15], '15 tokens, expected a square grid'),
        ('backbone.pos_embed_t', lambda t: t[..., :44], r'\(1, 4, 44\), expected \(1, 4, 48\)'),
        ('box_head.layers.1.0.weight', lambda t: t[:0], 'expected 2 positive numbers'),
        ('backbone.patch_embed.proj.weight', lambda t: t[:, :2], r'\(48, 2, 16, 16\), expected'),
        ('score_head.layers.1.bias', lambda t: t * float('nan'), 'NaN or infinite'),
        ('backbone.blocks.0.norm1.bias', lambda t: t.long(), 'int64, expected floating-point'),
    ],
)
def test_weights_that_do_not_fit_each_other_are_refused_by_name(net, name, change, message):
    with pytest.raises(ValueError, match=message) as error:
        convert_state_dict({**net, name: change(net[name])})
    assert repr(name) in str(error.value)


def test_mixvit_sizes_are_read_from_names_and_shapes(mixvit):
    sizes = Sizes(48, 3, (4.0,) * 3, 16, 64, 32, 16, False, 'pyramid', 32)
    assert convert_state_dict(mixvit).sizes == sizes
    assert identify(mixvit).name == 'MixViT'
    plain = {name: tensor for name, tensor in mixvit.items() if '.adjust' not in name}
    sizes = Sizes(48, 3, (4.0,) * 3, 16, 64, 32, 4, False, 'plain', 32)
    assert convert_state_dict(plain).sizes == sizes
    one_left = {**plain, 'box_head.adjust3_br.2.0.bias': mixvit['box_head.adjust3_br.2.0.bias']}
    with pytest.raises(ValueError, match="lack 'box_head.adjust1_tl.0.weight'"):
        convert_state_dict(one_left)


IDLE = ('cls_token', 'pos_embed', 'norm.weight', 'norm.bias', 'head.weight', 'head.bias')


def test_idle_tensors_and_scores_of_mixvit_are_dropped_by_name(mixvit):
    conversion = convert_state_dict(mixvit)
    idle = [f'backbone.{name}' for name in IDLE]
    assert [name for name in conversion.dropped if name.startswith('backbone.')] == idle
    assert {n.split('.')[0] for n in conversion.dropped} == {'backbone', 'score_branch'}
    (note,) = conversion.notes
    assert note.startswith('the score prediction module (score_branch) is left out')
    stage1 = {name: t for name, t in mixvit.items() if not name.startswith('score_branch')}
    assert convert_state_dict(stage1).notes == ()
    bare = {name: tensor for name, tensor in stage1.items() if name not in idle}
    assert_same(convert_state_dict(bare).state_dict, conversion.state_dict)
    for extra in ('backbone.head.scale', 'backbone.pos_embed_u', 'backbone.fc_norm.weight'):
        with pytest.raises(ValueError, match=f"have unknown '{extra}'"):
            convert_state_dict({**mixvit, extra: torch.ones(1)})


def test_batch_norms_convert_with_and_without_their_counters(mixvit):
    """Score models have frozen batch norms, which count nothing."""
    counted = OrderedDict()
    for name, tensor in mixvit.items():
        counted[name] = tensor
        if name.endswith('running_var'):
            counted[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(7)
    conversion = convert_state_dict(counted)
    settings = model_settings(conversion.sizes, num_heads=4)
    with_counters, without = build_mixvit(settings), build_mixvit(settings)
    with_counters.load_state_dict(conversion.state_dict, strict=True)
    counters = [v for n, v in with_counters.state_dict().items() if n.endswith('tracked')]
    assert len(counters) == 22 and {int(counter) for counter in counters} == {7}
    without.load_state_dict(convert_state_dict(mixvit).state_dict, strict=True)
    names = {n for n in with_counters.state_dict() if not n.endswith('tracked')}
    assert all(torch.equal(with_counters.state_dict()[n], without.state_dict()[n]) for n in names)


def build_mixvit(settings: dict):
    """The model of a MixViT config with the given ``--cfg-options``."""
    config = Config.fromfile(TOOLS.parent / 'configs' / 'mixvit' / 'mixvit-b-plain224.py')
    config.merge_from_dict(settings)
    return MODELS.build(config.model)


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('box_head.conv1_tl.0.weight', lambda t: t[:30], 'has 30 output channels, .* of eight'),
        ('box_head.conv2_br.0.weight', lambda t: t[:15], r'\(15, 32, 3, 3\), expected \(16, 32, 3'),
        ('box_head.conv5_tl.weight', lambda t: t[..., 0], r'\(1, 4, 1\), expected \(1, 4, 1, 1\)'),
        ('box_head.adjust3_tl.2.1.running_var', lambda t: t / 0, 'NaN or infinite'),
        (
            'box_head.conv1_tl.1.num_batches_tracked',
            lambda t: torch.ones(()),
            'a torch.int64 count',
        ),
        (
            'box_head.conv1_tl.1.num_batches_tracked',
            lambda t: torch.ones(2),
            r'shape \(2,\), expect',
        ),
    ],
)
def test_mixvit_weights_that_do_not_fit_each_other_are_refused(mixvit, name, change, message):
    with pytest.raises(ValueError, match=message) as error:
        convert_state_dict({**mixvit, name: change(mixvit.get(name))})
    assert repr(name) in str(error.value)


def test_every_missing_name_of_mixvit_is_named(mixvit):
    needed = [n for n in mixvit if not n.startswith('score_branch.') and n[9:] not in IDLE]
    for name in needed:
        state = {key: tensor for key, tensor in mixvit.items() if key != name}
        with pytest.raises(ValueError, match='lack') as error:
            convert_state_dict(state)
        assert repr(name) in str(error.value)


@pytest.mark.parametrize('decoder', [False, True])
def test_mae_weights_become_a_backbone(decoder):
    state = mae_state_dict(decoder=decoder)
    conversion = convert_state_dict(state)
    assert conversion.system == 'MAE ViT'
    assert conversion.sizes == Sizes(8, 2, (2.5, 2.5), 4)
    extras = ['mask_token', 'decoder_blocks.0.attn.qkv.weight'] if decoder else []
    assert conversion.dropped == ('cls_token', 'pos_embed', 'norm.weight', 'norm.bias', *extras)
    settings = model_settings(conversion.sizes, num_heads=2)
    settings.update(
        {'model.backbone.search_size': 16, 'model.backbone.template_size': 8}
    )  # sizes of patch 4
    missing, unexpected = build_model(settings).load_state_dict(conversion.state_dict, strict=False)
    assert unexpected == []
    assert all(name.startswith(NOT_IN_A_VIT) for name in missing)
    weight = conversion.state_dict['backbone.blocks.1.mlp.fc2.weight']
    assert torch.equal(weight, state['blocks.1.mlp.fc2.weight'])
    with pytest.raises(ValueError, match="unknown 'head.weight'"):
        convert_state_dict({**state, 'head.weight': torch.ones(2, 8)})


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['backbone.stage0.patch_embed.proj.weight', 'box_head.conv1_tl.0.weight'], r'\(CvT\)'),
        (['backbone.conv_1.block.conv.weight', 'box_head.conv1_ctr.0.weight'], 'is MVT'),
        (['backbone.cls_token', 'backbone.pos_embed_z', 'backbone.dau.proj_1.bias'], 'is FERMT'),
        (['backbone.prediction_tokens', 'box_head.mlps.0.fc1.bias'], 'needs no conversion'),
        (['layer1.0.conv1.weight', 'fc.bias'], "unknown system, with names .* 'fc.bias'"),
    ],
)
def test_other_systems_are_named_and_refused(names, message):
    with pytest.raises(ValueError, match=message) as error:
        convert_state_dict({name: torch.ones(1) for name in names})
    if 'no conversion' not in message:
        assert 'upported systems: MixFormerV2, MixViT, MAE ViT' in str(error.value)


def test_heads_must_divide_the_width(net):
    sizes = convert_state_dict(net).sizes
    assert 'model.backbone.num_heads' not in model_settings(sizes)  # 48 is no multiple of 64
    assert model_settings(RELEASED['mixformerv2-b'])['model.backbone.num_heads'] == 12
    with pytest.raises(ValueError, match='5 heads do not divide the width 48'):
        model_settings(sizes, num_heads=5)


# ---- the written file and the tool -------------------------------------------------------------


@pytest.fixture(scope='module')
def tool():
    return load_tool('model_converters/convert_checkpoint')


def test_tool_writes_a_plain_file_and_prints_settings_that_fit(path, net, tool, capsys):
    save_published(path, net)
    target = path.with_name('new') / 'converted.pth'
    assert tool.main([str(path), str(target), '--num-heads', '4']) == 0
    printed = capsys.readouterr().out
    assert 'MixFormerV2' in printed and '100,801' in printed and '500' in printed
    assert [entry.name for entry in target.parent.iterdir()] == ['converted.pth']

    plain = torch.load(target, weights_only=True)
    assert plain['meta']['source']['epoch'] == 500
    assert_same(plain['state_dict'], convert_state_dict(net).state_dict)

    options = printed.split('--cfg-options ')[1].splitlines()[0].split()
    model = build_model(parse_cfg_options(options))
    load_checkpoint(model, str(target), strict=True)
    tokens = plain['state_dict']['backbone.prediction_tokens']
    assert torch.equal(model.backbone.prediction_tokens, tokens)
    assert model.backbone.blocks[0].attn.num_heads == 4


def test_tool_tells_of_an_unusual_position_table(path, net, tool, capsys):
    save_published(path, {**net, 'backbone.pos_embed_s': net['backbone.pos_embed_s'] + 0.25})
    target = path.with_name('converted.pth')
    assert tool.main([str(path), str(target), '--num-heads', '4']) == 0
    note = 'backbone.pos_embed_s differs from the fixed sin-cos table by up to 0.25'
    assert f'note:        {note}' in capsys.readouterr().out
    assert torch.load(target, weights_only=True)['meta']['notes'][0].startswith(note)


def parse_cfg_options(options: list[str]) -> dict:
    """What ``--cfg-options`` of tools/test.py makes of its arguments."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def test_tool_names_what_mae_weights_leave_open(path, tool, capsys):
    torch.save({'model': mae_state_dict(decoder=True)}, path)
    target = path.with_name('mae.pth')
    assert tool.main([str(path), str(target), '--num-heads', '2']) == 0
    printed = capsys.readouterr().out
    assert 'dropped:     6 tensors of cls_token, pos_embed, norm, mask_token, decoder' in printed
    assert 'StrictLoadHook' in printed and 'backbone.prediction_tokens' in printed
    assert torch.load(target, weights_only=True)['meta']['dropped'][-1].startswith('decoder_')


def test_tool_says_what_mixvit_weights_are_good_for(path, mixvit, tool, capsys):
    save_published(path, mixvit)
    target = path.with_name('teacher.pth')
    assert tool.main([str(path), str(target), '--num-heads', '4']) == 0
    printed = capsys.readouterr().out
    assert '64, template 32, 16 bins, pyramid corner head of 32 channels' in printed
    assert 'tensors of cls_token, pos_embed, norm, head, score_branch' in printed
    assert 'no scores are asked of a teacher' in printed and 'any MixViT config with' in printed
    options = printed.split('--cfg-options ')[1].splitlines()[0].split()
    model = build_mixvit(parse_cfg_options(options))
    load_checkpoint(model, str(target), strict=True)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert f'parameters:  {counted:,} in {len(list(model.parameters()))} tensors' in printed


def test_tool_overwrites_only_with_force_and_never_its_source(path, net, tool, capsys):
    save_published(path, net)
    target = path.with_name('converted.pth')
    target.write_text('precious')
    assert tool.main([str(path), str(target)]) == 1
    assert 'exists and is left as it is; use --force' in capsys.readouterr().err
    assert target.read_text() == 'precious'
    assert tool.main([str(path), str(target), '--force']) == 0
    assert 'state_dict' in torch.load(target, weights_only=True)
    before = path.read_bytes()
    assert tool.main([str(path), str(path), '--force']) == 1
    assert 'are the same file' in capsys.readouterr().err
    assert path.read_bytes() == before
    assert tool.main([str(path), str(path.parent), '--force']) == 1
    assert 'is a directory' in capsys.readouterr().err


def test_tool_leaves_the_destination_alone_when_the_source_is_bad(path, net, tool, capsys):
    target = path.with_name('converted.pth')
    target.write_text('precious')
    bad = {name: t for name, t in net.items() if name != 'box_head.layers.0.1.bias'}
    for write in (
        lambda: None,
        lambda: path.write_bytes(b'PK\x03\x04 and no more'),
        lambda: save_published(path, bad),
        lambda: save_published(path, {'layer1.weight': torch.ones(1)}),
    ):
        write()
        assert tool.main([str(path), str(target), '--force']) == 1
        error = capsys.readouterr().err
        assert error.startswith('convert_checkpoint: ') and len(error.splitlines()) == 1
        assert target.read_text() == 'precious'
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, target.name]


def test_failed_write_leaves_nothing_behind(tmp_path):
    target = tmp_path / 'converted.pth'
    target.write_text('precious')
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write_checkpoint({}, {'meta': lambda: None}, target, force=True)
    assert target.read_text() == 'precious'
    assert list(tmp_path.iterdir()) == [target]


def test_tool_teaches(tool, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(['--help'])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for word in ('SRC', 'DST', '--force', 'MAE', 'examples:', 'tools/test.py'):
        assert word in shown


def test_tool_fails_from_the_command_line_with_a_short_message(tmp_path):
    script = TOOLS / 'model_converters' / 'convert_checkpoint.py'
    failed = subprocess.run(
        [sys.executable, str(script), str(tmp_path / 'no.pth'), str(tmp_path / 'out.pth')],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(TOOLS.parent)},
    )
    assert failed.returncode == 1
    assert 'no.pth is not there' in failed.stderr and 'Traceback' not in failed.stderr
