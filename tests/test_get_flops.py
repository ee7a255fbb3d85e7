"""Counted parameters and multiply-adds against the published numbers and a formula."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from tools_loader import load_tool

from mmtrack_mixformerv2.analysis import analyse

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
# One of each system: counting the large ones takes seconds.
TINY = sorted(path.stem for path in (CONFIGS / '_base_/models').glob('*-tiny.py'))


@pytest.fixture(scope='module')
def tool():
    return load_tool('analysis_tools/get_flops')


def small_config(*, depth: int = 3, ratio: float = 2, bins: int = 16, online: int = 1) -> Config:
    return Config(
        {
            'model': {
                'type': 'TemplateSearchTracker',
                'backbone': {
                    'type': 'PMAMViT',
                    'search_size': 64,
                    'template_size': 32,
                    'embed_dims': 48,
                    'depth': depth,
                    'num_heads': 4,
                    'mlp_ratio': ratio,
                },
                'box_head': {'type': 'TokenDistributionHead', 'in_channels': 48, 'num_bins': bins},
                'score_head': {'type': 'TokenScoreHead', 'in_channels': 48},
                'test_cfg': {'num_online_templates': online},
            }
        }
    )


def block_cost(queries: int, keys: int, dims: int, ratio: float) -> int:
    """Projections, both attention products, output projection and MLP of one block."""
    linear = queries * dims * (3 * dims + dims + 2 * int(dims * ratio))
    return linear + 2 * queries * keys * dims


def few_cost(queries: int, own: int, given: int, dims: int, ratio: float) -> int:
    """The last block for a few queries, which are taken to the tokens instead of to their keys."""
    heads = 4
    linear = queries * dims * (2 * dims + 2 * int(dims * ratio))  # query, output, MLP
    taken = 2 * queries * dims * dims  # through the weights of keys and values
    products = 2 * heads * queries * own * dims + 2 * queries * given * dims
    return linear + taken + products + queries * dims  # the last: the bias of the keys


def corner_head_cost(design: str, dims: int, grid: int, c: int) -> int:
    """3x3 convolutions and the last one, of both corners: (side of the map, in, out) each."""
    layers = [(1, dims, c), (1, c, c // 2), (1, c // 2, c // 4), (1, c // 4, c // 8)]
    last = 1
    if design == 'pyramid':
        layers = [(1, dims, c), (1, c, c // 2), (2, c // 2, c // 4), (4, c // 4, c // 8)]
        layers += [(1, dims, c // 2), (1, dims, c // 4)]  # before they are upsampled
        layers += [(1, c // 2, c // 4), (1, c // 4, c // 8), (1, c // 8, 1)]
        layers += [(2, c // 4, c // 8), (2, c // 8, 1)]
        last = 4
    cells = grid * grid
    cost = sum(9 * cells * side * side * inputs * outputs for side, inputs, outputs in layers)
    return 2 * (cost + cells * last * last * c // 8)


@pytest.mark.parametrize('design', ['plain', 'pyramid'])
def test_multiply_adds_of_a_model_with_corner_head_follow_the_formula(design):
    dims, depth, ratio, templates, search = 48, 3, 2, 8, 16
    config = small_config(depth=depth, ratio=ratio)
    config.model.backbone.num_prediction_tokens = 0
    config.model.box_head = dict(type='CornerHead', in_channels=dims, channels=16, design=design)
    config.model.score_head = None
    cost, patch = analyse(config).cost, 3 * 16 * 16 * dims
    block = block_cost(search, templates + search, dims, ratio)
    assert cost.search == search * patch + depth * block
    assert cost.heads == corner_head_cost(design, dims, grid=4, c=16)


@pytest.mark.parametrize('online', [0, 1, 3])
def test_multiply_adds_follow_the_formula(online):
    dims, depth, ratio, bins = 48, 3, 2, 16
    cost = analyse(small_config(depth=depth, ratio=ratio, bins=bins, online=online)).cost
    templates, search, patch = 4 * (1 + online), 16, 3 * 16 * 16 * dims
    whole = templates * patch + depth * block_cost(templates, templates, dims, ratio)
    last = block_cost(templates, templates, dims, ratio) - templates * dims * 3 * dims
    assert cost.templates == whole - last
    own = search + 4
    block = block_cost(own, templates + own, dims, ratio)
    few = few_cost(4, own, templates, dims, ratio)
    assert cost.search == search * patch + (depth - 1) * block + few
    assert cost.published == cost.without_cache + last + block - few
    assert cost.heads == 4 * (dims * dims + dims * bins) + 4 * (dims * dims + dims)
    assert cost.without_cache == cost.templates + cost.search + cost.heads


def test_parameters_are_counted_by_part():
    parameters = analyse(small_config()).parameters
    assert list(parameters) == ['backbone', 'box_head', 'score_head', 'all']
    assert (parameters['all'].total, parameters['all'].trainable) == (100_801, 99_841)
    assert sum(part.total for part in parameters.values()) == 2 * 100_801


# Parameters by part and multiply-adds in G (of the published tracker, and of ours).
PUBLISHED = {
    'b': ((57_597_696, 666_144, 591_361), 58_855_201, 58_557_217, 28.1, 18.1),
    's': ((14_971_392, 666_144, 591_361), 16_228_897, 16_040_737, 4.82, 2.55),
}


@pytest.mark.parametrize('name', ['b', 's'])
def test_released_models_have_the_published_size_and_cost(tool, capsys, name):
    parts, total, trainable, full, ours = PUBLISHED[name]
    config = str(CONFIGS / f'mixformerv2/mixformerv2-{name}_test-lasot.py')
    assert tool.main([config, '--json']) == 0
    counted = json.loads(capsys.readouterr().out)
    parameters, cost = counted['parameters'], counted['cost']
    assert parameters['all'] == {'total': total, 'trainable': trainable}
    assert (
        tuple(parameters[key]['total'] for key in ('backbone', 'box_head', 'score_head')) == parts
    )
    # The published numbers have three digits, and count what nothing reads of the last block.
    assert cost['published'] / 1e9 == pytest.approx(full, abs=0.05)
    assert cost['with_cache'] / 1e9 == pytest.approx(ours, abs=0.005 if name == 's' else 0.05)


def test_a_teacher_has_the_published_number_of_parameters(tool, capsys):
    config = CONFIGS / 'mixvit/mixvit-b-plain224.py'
    assert tool.main([str(config), '--json']) == 0
    parameters = json.loads(capsys.readouterr().out)['parameters']
    # The published file has tensors that are never used (922,600 values); its frozen batch norms
    # are not counted.
    assert parameters['backbone']['total'] == 86_755_816 - 922_600
    assert parameters['box_head']['total'] == 7_051_778 + 2_880
    assert parameters['all']['total'] == 93_807_594 - 922_600 + 2_880


@pytest.mark.parametrize(
    ('config', 'parameters', 'published', 'without_attention'),
    [
        # Of FERMT the paper says 7.98 M and 2.40 G. The parameters are those without position
        # embeddings; the others are what the published system was measured to do.
        ('fermt/fermt_test-got10k.py', 7_979_403 + 320 * 192, 2.671, 2.397),
        ('mvt/mvt_test-got10k.py', 5_480_405, 2.987, None),
    ],
)
def test_published_systems_have_their_published_cost(
    tool, capsys, config, parameters, published, without_attention
):
    assert tool.main([str(CONFIGS / config), '--json']) == 0
    counted = json.loads(capsys.readouterr().out)
    cost = counted['cost']
    assert counted['parameters']['all']['total'] == parameters
    assert cost['published'] / 1e9 == pytest.approx(published, abs=5e-4)
    assert cost['with_cache'] < cost['published']
    if without_attention:
        rest = cost['published'] - cost['published_attention']
        assert rest / 1e9 == pytest.approx(without_attention, abs=5e-4)


@pytest.mark.parametrize('name', [*TINY, 'mixvit-micro'])
def test_every_system_can_be_counted(name):
    analysis = analyse(Config.fromfile(CONFIGS / f'_base_/models/{name}.py'))
    cost = analysis.cost
    assert 0 < cost.heads < cost.with_cache < cost.without_cache
    assert cost.with_cache < cost.published
    assert analysis.parameters['all'].total > 0


def test_tool_prints_tables_and_takes_cfg_options(tool, capsys, tmp_path):
    config = tmp_path / 'small.py'
    small_config().dump(config)
    assert tool.main([str(config)]) == 0
    printed = capsys.readouterr().out
    for text in ('100,801', '99,841', 'search 64 px, 2 templates', 'with cache', 'without cache'):
        assert text in printed
    options = ['model.score_head=None', 'model.test_cfg.num_online_templates=2']
    assert tool.main([str(config), '--cfg-options', *options]) == 0
    printed = capsys.readouterr().out
    assert 'score_head' not in printed and '3 templates of 32 px' in printed


def test_bad_configs_end_with_a_short_message(tool, capsys, tmp_path):
    stark = tmp_path / 'stark.py'
    stark.write_text("model = dict(type='Stark')")
    wrong = tmp_path / 'wrong.py'
    small_config().dump(wrong)
    for arguments, message in (
        (['nowhere.py'], 'config file nowhere.py does not exist'),
        ([str(stark)], "model of the config is 'Stark', expected a 'TemplateSearchTracker'"),
        ([str(wrong), '--cfg-options', 'model.backbone.num_heads=5'], 'num_heads=5'),
    ):
        assert tool.main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith('get_flops: ') and message in error
