"""The tool that cuts layers and hidden units out of a checkpoint."""

from __future__ import annotations

import re

import pytest
import torch
from golden import load, load_manifest, make_input, needs_golden
from mmengine.config import Config, DictAction
from mmtrack.registry import MODELS
from published import published_state_dict, save_published
from shrinking import build, settings
from tools_loader import TOOLS, load_tool, run_tool

from mmtrack_mixformerv2.checkpoints import drop_layers, keep_layers, reduce_mlp
from mmtrack_mixformerv2.engine import load_from_local

TOOL = 'model_converters/prune_checkpoint'

# Published order of the prediction tokens (left, right, top, bottom) from ours.
SWAP = [0, 2, 1, 3]


@pytest.fixture
def parent(tmp_path):
    """Checkpoint of a training of six layers, with the state of its optimizer."""
    model = build(depth=6)
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    path = tmp_path / 'epoch_3.pth'
    torch.save(
        dict(
            state_dict=model.state_dict(),
            optimizer=optimizer.state_dict(),
            meta=dict(epoch=3, iter=30, seed=0, cfg='model = None'),
            message_hub={},
            param_schedulers=[],
        ),
        path,
    )
    return path


def weights(path) -> dict[str, torch.Tensor]:
    return load_from_local(path)['state_dict']


def prune(*arguments) -> int:
    return load_tool(TOOL).main([str(argument) for argument in arguments])


def fails(capsys, *arguments) -> str:
    """Run the tool, which has to refuse; give the line that it says."""
    assert prune(*arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith('error: ')
    assert message.count('\n') == 1
    return message


def assert_same(got, expected) -> None:
    assert list(got) == list(expected)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_a_checkpoint_becomes_a_small_file_and_settings_that_fit_it(tmp_path, parent):
    """As users run it; what is printed builds the model that the file fits."""
    target = tmp_path / 'new' / 'small.pth'
    printed = run_tool(f'{TOOL}.py', str(parent), str(target), '--skip', '2', '--mlp-ratio', '1')
    content = torch.load(target, weights_only=True)
    assert set(content) == {'state_dict', 'meta'}
    assert content['meta']['layers'] == [2, 5]
    assert content['meta']['source'] == 'epoch_3.pth'
    assert_same(content['state_dict'], reduce_mlp(keep_layers(weights(parent), [2, 5]), 32))
    assert target.stat().st_size < 4 * sum(v.numel() for v in content['state_dict'].values()) + 2e4

    before, after = (sum(v.numel() for v in weights(path).values()) for path in (parent, target))
    assert f'{parent}: depth 6, MLP ratio 2.0, {before:,} parameters' in printed
    assert f'{target}: depth 2, MLP ratio 1.0, {after:,} parameters' in printed
    cfg = Config(dict(model=settings(depth=6)))
    options = re.search(r'--cfg-options (.+)', printed)[1].split()
    cfg.merge_from_dict(
        {k: DictAction._parse_iterable(v) for k, v in (option.split('=') for option in options)}
    )
    MODELS.build(cfg.model).load_state_dict(content['state_dict'], strict=True)


@pytest.mark.parametrize(
    ('options', 'kept'),
    [
        (['--drop', '0,3'], [1, 2, 4, 5]),
        (['--skip', '4'], [1, 2, 4, 5]),
        (['--first', '4'], [0, 1, 2, 3]),
        (['--keep', '5,0'], [0, 5]),
        (['--mlp-ratio', '2'], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_layers_are_chosen_in_four_ways(tmp_path, parent, options, kept):
    target = tmp_path / 'small.pth'
    assert prune(parent, target, *options) == 0
    assert_same(weights(target), keep_layers(weights(parent), kept))


def test_units_are_chosen_by_norm_when_asked_for(tmp_path, parent, capsys):
    target = tmp_path / 'small.pth'
    assert prune(parent, target, '--mlp-ratio', '0.9', '--mlp-units', 'norm') == 0
    assert_same(weights(target), reduce_mlp(weights(parent), 28, 'norm'))
    assert 'model.backbone.mlp_ratio=0.875' in capsys.readouterr().out


def test_layers_of_several_widths_are_printed_as_a_list(tmp_path, capsys):
    state = build(depth=3, mlp_ratio=[2.0, 1.0, 0.5]).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'parent.pth')
    assert prune(tmp_path / 'parent.pth', tmp_path / 'small.pth', '--drop', '1') == 0
    assert 'model.backbone.depth=2 model.backbone.mlp_ratio=[2.0,0.5]' in capsys.readouterr().out
    build(depth=2, mlp_ratio=[2.0, 0.5]).load_state_dict(weights(tmp_path / 'small.pth'))


def test_what_cannot_be_done_is_refused_and_nothing_written(tmp_path, parent, capsys):
    target = tmp_path / 'small.pth'
    manifest = {'float': {'backbone.reg_tokens': (1, 4, 8), 'backbone.blocks.0.norm1.weight': (8,)}}
    published = published_state_dict(manifest)
    save_published(tmp_path / 'pickled.pth.tar', published)
    torch.save(dict(net=published), tmp_path / 'net.pth.tar')
    torch.save(published, tmp_path / 'plain.pth')
    (tmp_path / 'broken.pth').write_bytes(parent.read_bytes()[:-100])
    drop = ('--drop', '0')
    for name in ('pickled.pth.tar', 'net.pth.tar', 'plain.pth'):
        message = fails(capsys, tmp_path / name, target, *drop)
        assert name in message and 'convert_checkpoint.py' in message
    assert 'cannot be read' in fails(capsys, tmp_path / 'broken.pth', target, *drop)
    assert 'does not exist' in fails(capsys, tmp_path / 'no.pth', target, *drop)
    assert 'there are 6, numbered 0 to 5' in fails(capsys, parent, target, '--drop', '0,6')
    assert 'more than once' in fails(capsys, parent, target, '--keep', '1,1')
    assert 'cannot take 7 of 6' in fails(capsys, parent, target, '--first', '7')
    assert 'no layer is left' in fails(capsys, parent, target, '--drop', '0,1,2,3,4,5')
    assert '64 hidden units and cannot be cut to 128' in fails(
        capsys, parent, target, '--mlp-ratio', '4'
    )
    assert 'cannot be cut to 0' in fails(capsys, parent, target, '--mlp-ratio', '0.01')
    assert not target.exists()


@pytest.mark.parametrize(
    ('name', 'system'),
    [
        ('fermt-tiny', 'FERMT with the centre head'),
        ('mixformer-cvt-tiny', 'MixFormer'),
        ('mvt-tiny', 'MVT'),
    ],
)
@pytest.mark.parametrize('options', [['--drop', '0'], ['--mlp-ratio', '1']])
def test_other_systems_are_refused_by_name(tmp_path, capsys, name, system, options):
    target = tmp_path / 'small.pth'
    message = fails(capsys, TOOLS.parent / f'weights/{name}_synthetic.pth', target, *options)
    assert f'{name}_synthetic.pth holds {system}' in message
    assert 'only the ViT of MixFormerV2 and MixViT' in message
    assert not target.exists()


@pytest.mark.parametrize(
    ('name', 'damage', 'message'),
    [
        ('neck', lambda _: 3, 'neck is a int; expected a tensor'),
        ('backbone.blocks.1.mlp.fc2.weight', None, 'lack backbone.blocks.1.mlp.fc2.weight'),
        ('backbone.blocks.1.mlp.fc1.weight', lambda w: w[0], 'MLP of layer 1 has weights of the'),
        ('backbone.blocks.1.mlp.fc2.weight', lambda w: w[:, 1:], r'expected \(hidden, 32\)'),
        ('backbone.blocks.1.norm1.bias', lambda w: w / 0, 'norm1.bias has values that are NaN'),
    ],
)
@pytest.mark.parametrize('options', [['--first', '2'], ['--mlp-ratio', '1']])
def test_damaged_weights_are_refused(tmp_path, parent, capsys, name, damage, message, options):
    state, target = weights(parent), tmp_path / 'small.pth'
    value = state.pop(name, None)
    if damage:
        state[name] = damage(value)
    torch.save(dict(state_dict=state), tmp_path / 'damaged.pth')
    assert re.search(message, fails(capsys, tmp_path / 'damaged.pth', target, *options))
    assert not target.exists()


def test_files_are_replaced_only_by_force(tmp_path, parent, capsys):
    target = tmp_path / 'small.pth'
    target.write_text('mine')
    assert 'use --force to replace it' in fails(capsys, parent, target, '--drop', '0')
    assert target.read_text() == 'mine'
    assert prune(parent, target, '--drop', '0', '--force') == 0
    assert_same(weights(target), drop_layers(weights(parent), [0]))
    before = parent.read_bytes()
    assert 'the same file' in fails(capsys, parent, parent, '--drop', '0', '--force')
    assert parent.read_bytes() == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ([], 'say what to cut'),
        (['--mlp-units', 'norm'], 'say what to cut'),
        (['--drop', '0', '--skip', '4'], 'not allowed with'),
        (['--drop', '0;3'], "'0;3' is no list of layers"),
        (['--mlp-ratio', 'inf'], 'inf is no ratio'),
        (['--mlp-ratio', 'abc'], 'abc is no ratio'),
    ],
)
def test_command_lines_that_make_no_sense_are_refused(capsys, options, message):
    with pytest.raises(SystemExit) as stop:
        prune('in.pth', 'out.pth', *options)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@needs_golden
@torch.inference_mode()
def test_golden_h_pruned(tmp_path):
    """The published student, converted and cut, equals the published one after its rewriting."""
    source, whole, target = (tmp_path / name for name in ('12.pth.tar', 'whole.pth', 'pruned.pth'))
    manifest = load_manifest('mixformerv2/h_pruning.manifest.json')
    save_published(source, published_state_dict(manifest))
    assert load_tool('model_converters/convert_checkpoint').main([str(source), str(whole)]) == 0
    assert prune(whole, target, '--drop', '0,2') == 0

    changes = dict(embed_dims=48, num_heads=4, mlp_ratio=2.0, depth=1)
    model = settings(**changes)
    model['box_head']['in_channels'], model['score_head'] = 48, None
    model = MODELS.build(model).eval()
    model.load_state_dict(weights(target), strict=True)

    templates = [make_input(name, (2, 3, 32, 32)) for name in ('template', 'online_template')]
    search = make_input('search', (2, 3, 64, 64))
    features = model.backbone(torch.stack(templates, dim=1), search)
    left_top, right_bottom = model.box_head(features).boxes.split(2, dim=1)
    got = {
        'pred_tokens': features.tokens[:, SWAP],
        'box_cxcywh': torch.cat([(left_top + right_bottom) / 2, right_bottom - left_top], dim=1),
    }
    expected = load('mixformerv2/h_pruning.npz')
    worst = {
        f'{case}_{name}': (value - torch.from_numpy(expected[f'{case}_{name}'])).abs().max().item()
        for case in ('pruned', 'rate0.0')
        for name, value in got.items()
    }
    print(f'\nh_pruning, pruned: {worst}')
    assert max(worst.values()) <= 2e-5
