"""Strict conversion of published weights, and the converter tool."""

from __future__ import annotations

import math
import os
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.runner import load_checkpoint
from mmtrack.registry import MODELS
from published import assert_same, save_published, small_manifest, small_published
from tools_loader import TOOLS, load_tool

from mmtrack_mixformerv2.checkpoints import (
    NOT_IN_A_VIT,
    RELEASED,
    Sizes,
    convert_state_dict,
    fitting_config,
    identify,
    measure,
    model_settings,
    write_checkpoint,
)
from mmtrack_mixformerv2.checkpoints.systems import SYSTEMS
from mmtrack_mixformerv2.position import sincos_position_table


@pytest.fixture(scope='module')
def net() -> OrderedDict:
    """Published weights of the small case; never written to."""
    return small_published()


@pytest.fixture(scope='module')
def mixvit() -> OrderedDict:
    """Published weights of the small MixViT with pyramid head; never written to."""
    return small_published('mixvit')


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
    parameters = sum(tensor.numel() for tensor in conversion.state_dict.values())
    assert parameters == small_manifest()['parameters_total']
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
    rules = system.layouts[0].rules(sizes).values()
    no_parameters = ('running_mean', 'running_var', 'num_batches_tracked')
    ours = sum(math.prod(r.shape) for r in rules if not r.target.endswith(no_parameters))
    assert ours == parameters - MIXVIT_EXTRA.get(name, 0)


@pytest.mark.parametrize('name', list(RELEASED))
def test_config_that_is_said_to_fit_has_these_sizes(name):
    pattern = fitting_config(RELEASED[name])
    configs = list(TOOLS.parent.glob(pattern))
    if not RELEASED[name].score_head:
        assert pattern == f'configs/mixvit/{name}.py' and len(configs) == 1
    elif name.startswith('mixvit'):
        assert pattern == f'configs/mixvit/{name}_test-*.py' and len(configs) == 3
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
    assert '--keep-score' in note
    stage1 = {name: t for name, t in mixvit.items() if not name.startswith('score_branch')}
    assert convert_state_dict(stage1).notes == ()
    bare = {name: tensor for name, tensor in stage1.items() if name not in idle}
    assert_same(convert_state_dict(bare).state_dict, conversion.state_dict)
    for extra in ('backbone.head.scale', 'backbone.pos_embed_u', 'backbone.fc_norm.weight'):
        with pytest.raises(ValueError, match=f"have unknown '{extra}'"):
            convert_state_dict({**mixvit, extra: torch.ones(1)})


def test_the_score_prediction_module_of_mixvit_is_kept_on_demand(mixvit):
    without = convert_state_dict(mixvit)
    conversion = convert_state_dict(mixvit, keep_score=True)
    assert conversion.notes == () and conversion.sizes.score_head
    assert [f'backbone.{name}' for name in IDLE] == list(conversion.dropped)
    config = Config.fromfile(TOOLS.parent / 'configs/_base_/models/mixvit-b_score.py')
    config.merge_from_dict(model_settings(conversion.sizes, num_heads=4))
    model = MODELS.build(config.model)
    model.load_state_dict({**model.state_dict(), **conversion.state_dict}, strict=True)
    token = conversion.state_dict['score_head.score_token']
    assert torch.equal(token, mixvit['score_branch.score_token'])
    rest = {n: v for n, v in conversion.state_dict.items() if not n.startswith('score_head.')}
    assert_same(rest, without.state_dict)
    stage1 = {name: t for name, t in mixvit.items() if not name.startswith('score_branch')}
    assert convert_state_dict(stage1, keep_score=True).sizes == without.sizes
    name = 'score_branch.proj_q.1.bias'
    with pytest.raises(ValueError, match=f"lack '{name}'"):
        convert_state_dict({n: v for n, v in mixvit.items() if n != name}, keep_score=True)


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
        (['backbone.prediction_tokens', 'box_head.mlps.0.fc1.bias'], 'need no conversion'),
        (['layer1.0.conv1.weight', 'fc.bias'], "unknown system, with names .* 'fc.bias'"),
    ],
)
def test_other_systems_are_named_and_refused(names, message):
    with pytest.raises(ValueError, match=message) as error:
        convert_state_dict({name: torch.ones(1) for name in names})
    if 'no conversion' not in message:
        systems = 'MixFormerV2, MixFormer-CvT, MVT, FERMT, MixViT, MAE ViT'
        assert f'supported systems: {systems}' in str(error.value)


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
    assert 'model.backbone.init_cfg' in printed and '8xb32-*.py with' in printed
    assert torch.load(target, weights_only=True)['meta']['dropped'][-1].startswith('decoder_')


def test_tool_says_what_mixvit_weights_are_good_for(path, mixvit, tool, capsys):
    save_published(path, mixvit)
    target = path.with_name('teacher.pth')
    assert tool.main([str(path), str(target), '--num-heads', '4']) == 0
    printed = capsys.readouterr().out
    assert 'MixViT with pyramid corner head and no score head' in printed
    assert '64, template 32 pixels, 16 bins, corner head of 32 channels' in printed
    assert 'tensors of cls_token, pos_embed, norm, head, score_branch' in printed
    assert 'no scores are asked of a teacher' in printed and 'mixvit-b-pyramid*.py with' in printed
    options = printed.split('--cfg-options ')[1].splitlines()[0].split()
    model = build_mixvit(parse_cfg_options(options))
    load_checkpoint(model, str(target), strict=True)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert f'parameters:  {counted:,} in {len(list(model.parameters()))} tensors' in printed


@pytest.mark.parametrize(
    ('system', 'base', 'options'),
    [
        ('mixformer_cvt', 'mixformer-cvt', ['--num-heads', '3']),
        ('mvt', 'mvt', []),
        ('fermt', 'fermt', []),
        ('fermt', 'fermt-corner', []),
        ('mixvit', 'mixvit-b_score', ['--num-heads', '4', '--keep-score']),
    ],
)
def test_tool_prints_settings_that_fit_for_every_system(path, system, base, options, tool, capsys):
    net = small_published(system)
    if system == 'fermt':  # the fixture has both heads
        others = {'fermt': '_(tl|br)', 'fermt-corner': '_(ctr|size|offset)'}[base]
        net = {name: value for name, value in net.items() if not re.search(others, name)}
    save_published(path, net)
    target = path.with_name('converted.pth')
    assert tool.main([str(path), str(target), *options]) == 0
    printed = capsys.readouterr().out
    settings = parse_cfg_options(printed.split('--cfg-options ')[1].splitlines()[0].split())
    config = Config.fromfile(TOOLS.parent / f'configs/_base_/models/{base}.py')
    settings.setdefault('model.backbone.template_size', 32)  # no shape of MixFormer-CvT tells
    settings.setdefault('model.backbone.search_size', 64)
    config.merge_from_dict(settings)
    model = MODELS.build(config.model)
    load_checkpoint(model, str(target), strict=True)
    sizes = measure(model.state_dict())
    assert f'system:      {sizes.title}' in printed and sizes.details in printed
    meta = torch.load(target, weights_only=True)['meta']
    assert {**meta['sizes']} == asdict(sizes)


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
