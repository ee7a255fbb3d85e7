"""Weights of a large tracker to those of a small one, as pure functions."""

from __future__ import annotations

import pytest
import torch
from shrinking import build, loaded, output

from mmtrack_mixformerv2.checkpoints import (
    depth_of,
    drop_layers,
    first_layers,
    fit_position_tables,
    hidden_widths,
    keep_layers,
    mlp_ratios,
    reduce_mlp,
    skip_layers,
)
from mmtrack_mixformerv2.position import sincos_position_table


def test_a_layer_that_adds_nothing_can_be_dropped_without_changing_a_bit():
    model = build(depth=3)
    for layer in (model.backbone.blocks[1].attn.proj, model.backbone.blocks[1].mlp.fc2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    smaller = loaded(drop_layers(model.state_dict(), [1]), depth=2)
    assert torch.equal(output(smaller), output(model))
    other = loaded(drop_layers(model.state_dict(), [0]), depth=2)
    assert not torch.equal(output(other), output(model))


def test_layers_that_have_faded_out_can_be_dropped_without_changing_a_bit():
    model = build(depth=4)
    for i in (0, 2):
        model.backbone.blocks[i].gamma = 0.0
    smaller = loaded(drop_layers(model.state_dict(), [2, 0]), depth=2)
    assert torch.equal(output(smaller), output(model))


def test_layers_are_numbered_densely_and_the_rest_stays_as_it_is():
    state = build(depth=12).state_dict()
    names = list(state)
    smaller = keep_layers(state, [11, 0, 10])
    assert list(state) == names  # the input is left alone
    for new, old in enumerate([0, 10, 11]):
        for name in [n for n in state if n.startswith(f'backbone.blocks.{old}.')]:
            assert smaller[name.replace(f'blocks.{old}.', f'blocks.{new}.')] is state[name]
    others = [n for n in names if '.blocks.' not in n]
    assert [n for n in smaller if '.blocks.' not in n] == others
    assert all(smaller[n] is state[n] for n in others)
    assert depth_of(smaller) == 3
    assert list(keep_layers(state, range(12))) == list(drop_layers(state, [])) == names
    loaded(smaller, depth=3)


@pytest.mark.parametrize(
    ('depth', 'count', 'first', 'skip'),
    [
        (12, 4, [0, 1, 2, 3], [2, 5, 8, 11]),  # Table 3e
        (12, 8, list(range(8)), [1, 2, 4, 5, 7, 8, 10, 11]),  # all but 0, 3, 6, 9
        (8, 4, [0, 1, 2, 3], [1, 3, 5, 7]),
        (6, 4, [0, 1, 2, 3], [1, 2, 4, 5]),
        (5, 5, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
        (7, 1, [0], [6]),
    ],
)
def test_initialisations_of_the_paper(depth, count, first, skip):
    assert first_layers(depth, count) == first
    assert skip_layers(depth, count) == skip


@pytest.mark.parametrize('choose', [first_layers, skip_layers])
@pytest.mark.parametrize('count', [0, -1, 13])
def test_more_or_fewer_layers_than_there_are_are_refused(choose, count):
    with pytest.raises(ValueError, match=f'cannot take {count} of 12 layers; expected 1 to 12'):
        choose(12, count)


@pytest.mark.parametrize(
    ('cut', 'layers', 'message'),
    [
        (drop_layers, [0, 3, -1], r'cannot drop the layers -1, 3: there are 3, numbered 0 to 2'),
        (keep_layers, [3], r'cannot keep the layers 3: there are 3'),
        (drop_layers, [1, 1], r'the layers 1 are named more than once'),
        (keep_layers, [2, 0, 2], r'the layers 2 are named more than once'),
        (drop_layers, [2, 1, 0], r'no layer is left'),
        (keep_layers, [], r'no layer is left'),
    ],
)
def test_layers_that_cannot_be_cut_are_named(cut, layers, message):
    with pytest.raises(ValueError, match=message):
        cut(build(depth=3).state_dict(), layers)


def test_weights_of_something_else_are_refused():
    state = build(depth=3).state_dict()
    head = {name: value for name, value in state.items() if not name.startswith('backbone')}
    gap = {name: value for name, value in state.items() if '.blocks.1.' not in name}
    half = {name: value for name, value in state.items() if '.blocks.1.mlp.' not in name}
    for cut in (lambda s: drop_layers(s, [0]), lambda s: reduce_mlp(s, 4), depth_of):
        with pytest.raises(ValueError, match='no backbone.blocks.0, .*convert_checkpoint.py'):
            cut(head)
        with pytest.raises(ValueError, match='have the layers 0, 2 and none between'):
            cut(gap)
    with pytest.raises(ValueError, match='lack backbone.blocks.1.mlp.fc1.weight'):
        reduce_mlp(half, 4)


def test_first_units_are_slices_of_the_weights():
    state = build(depth=2, mlp_ratio=4.0).state_dict()
    before = {name: value.clone() for name, value in state.items()}
    smaller = reduce_mlp(state, [32, 48])
    assert hidden_widths(state) == [128, 128]
    assert all(torch.equal(state[name], value) for name, value in before.items())
    for i, count in enumerate([32, 48]):
        mlp = f'backbone.blocks.{i}.mlp.'
        assert torch.equal(smaller[f'{mlp}fc1.weight'], state[f'{mlp}fc1.weight'][:count])
        assert torch.equal(smaller[f'{mlp}fc1.bias'], state[f'{mlp}fc1.bias'][:count])
        assert torch.equal(smaller[f'{mlp}fc2.weight'], state[f'{mlp}fc2.weight'][:, :count])
    cut = {name for name in state if smaller[name] is not state[name]}
    parts = ('fc1.weight', 'fc1.bias', 'fc2.weight')
    assert cut == {f'backbone.blocks.{i}.mlp.{part}' for i in range(2) for part in parts}
    # A view would keep, and write to a file, all that was cut off.
    for name in cut:
        assert smaller[name].untyped_storage().nbytes() == 4 * smaller[name].numel()
    assert mlp_ratios(smaller) == [1.0, 1.5]
    loaded(smaller, depth=2, mlp_ratio=[1.0, 1.5])
    assert list(reduce_mlp(state, 128)) == list(state)


def test_units_that_matter_are_kept_in_their_order():
    """Units without outgoing weights, or without incoming ones and a bias, add nothing."""
    model = build(depth=1, mlp_ratio=1.0)
    mlp = model.backbone.blocks[0].mlp
    dead_out, dead_in = [0, 3, 9, 31], [1, 4, 10, 30]
    with torch.no_grad():
        mlp.fc2.weight[:, dead_out] = 0
        mlp.fc1.weight[dead_out] *= 100  # large on one side only
        mlp.fc1.weight[dead_in] = 0
        mlp.fc1.bias[dead_in] = 0
        mlp.fc2.weight[:, dead_in] *= 100
    state = model.state_dict()
    smaller = reduce_mlp(state, 24, 'norm')
    kept = [i for i in range(32) if i not in dead_out + dead_in]
    assert torch.equal(smaller['backbone.blocks.0.mlp.fc1.bias'], mlp.fc1.bias[kept])
    assert torch.equal(smaller['backbone.blocks.0.mlp.fc2.weight'], mlp.fc2.weight[:, kept])
    got = output(loaded(smaller, depth=1, mlp_ratio=0.75))
    torch.testing.assert_close(got, output(model), atol=1e-5, rtol=0)
    first = output(loaded(reduce_mlp(state, 24), depth=1, mlp_ratio=0.75))
    assert (first - output(model)).abs().max() > 1e-3


def test_equally_strong_units_are_taken_from_the_front():
    state = build(depth=1, mlp_ratio=1.0).state_dict()
    for name in ('fc1.weight', 'fc2.weight'):
        torch.nn.init.ones_(state[f'backbone.blocks.0.mlp.{name}'])
    first, norm = (reduce_mlp(state, 8, units) for units in ('first', 'norm'))
    assert all(torch.equal(first[name], norm[name]) for name in state)


@pytest.mark.parametrize(
    ('hidden', 'units', 'message'),
    [
        (65, 'first', 'layer 0 has 64 hidden units and cannot be cut to 65; expected 1 to 64'),
        ([64, 0], 'norm', 'layer 1 has 64 hidden units and cannot be cut to 0'),
        ([32], 'first', '1 hidden widths were given for 2 layers'),
        (32, 'last', "units is 'last', expected 'first' or 'norm'"),
    ],
)
def test_widths_that_cannot_be_cut_are_named(hidden, units, message):
    with pytest.raises(ValueError, match=message):
        reduce_mlp(build(depth=2, mlp_ratio=2.0).state_dict(), hidden, units)


def test_ratios_give_the_widths_back():
    """Also where hidden / width is no exact fraction."""
    for hidden in (1, 7, 29, 57):
        state = reduce_mlp(build(depth=1, mlp_ratio=2.0).state_dict(), hidden)
        loaded(state, depth=1, mlp_ratio=mlp_ratios(state)[0])


def test_position_tables_follow_the_formula_at_another_size():
    large, small = dict(search_size=96, template_size=48), dict(search_size=64, template_size=32)
    state, target = build(**large).state_dict(), build(**small).state_dict()
    grids = {'backbone.search_pos_embed': 4, 'backbone.template_pos_embed': 2}
    fitted, notes = fit_position_tables(state, grids)
    assert all(torch.equal(fitted[name], target[name]) for name in grids)
    assert notes == [
        'backbone.search_pos_embed by the formula for 4x4 tokens instead of 36',
        'backbone.template_pos_embed by the formula for 2x2 tokens instead of 9',
    ]
    assert all(fitted[name] is state[name] for name in state if name not in grids)
    loaded(fitted, **small)
    assert fit_position_tables(fitted, grids) == (fitted, [])
    lacking = {name: value for name, value in state.items() if name not in grids}
    assert fit_position_tables(lacking, grids) == (lacking, [])


def test_a_table_that_did_not_follow_the_formula_is_noted():
    table = sincos_position_table(3, 32)
    for old in (table + 0.1, table[:, :8]):
        name = 'backbone.search_pos_embed'
        _, notes = fit_position_tables({name: old}, {name: 4})
        assert notes[0].endswith('(the old table did not follow it)')
