"""A checkpoint that was given to the config of another model is named as what it is."""

from __future__ import annotations

import re
from itertools import permutations
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmtrack.registry import MODELS
from published import save_published, small_published

from mmtrack_mixformerv2.apis import load_tracker
from mmtrack_mixformerv2.checkpoints import (
    SYSTEMS,
    convert_state_dict,
    describe_misfit,
    fitting_config,
    name_weights,
    weights_in,
    write_checkpoint,
)
from mmtrack_mixformerv2.engine import StrictLoadHook
from mmtrack_mixformerv2.models.distillation import FrozenTeacher

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
# Every model that needs a config of its own: what it is called, and a config of it.
MODELS_BY_TITLE = {
    'MixFormerV2 with score head': 'mixformerv2/mixformerv2-s_test-lasot.py',
    'MixViT with pyramid corner head and no score head': 'mixvit/mixvit-b-pyramid288.py',
    'MixViT with plain corner head and no score head': 'mixvit/mixvit-b-plain224.py',
    'MixViT with pyramid corner head and a score head': 'mixvit/mixvit-b-score_test-lasot.py',
    'MixFormer-CvT with score head': 'mixformer_cvt/mixformer-cvt_test-lasot.py',
    'MixFormer-CvT without score head': 'mixformer_cvt/mixformer-cvt_test-lasot.py',
    'MVT': 'mvt/mvt_test-got10k.py',
    'FERMT with the centre head': 'fermt/fermt_test-got10k.py',
    'FERMT with the corner head': 'fermt/fermt-corner_test-got10k.py',
}


@pytest.fixture(scope='module')
def trackers() -> dict[str, torch.nn.Module]:
    """The trackers at their published sizes, by title; their tensors have no values."""
    built = {}
    for title, path in MODELS_BY_TITLE.items():
        settings = Config.fromfile(CONFIGS / path).model
        if title == 'MixFormer-CvT without score head':
            settings.score_head = None
        with torch.device('meta'):
            built[title] = MODELS.build(settings)
    return built


def published_names(named) -> list[dict[str, torch.Tensor]]:
    """Tensors without values under the names of every layout in which a tracker is published."""
    layouts = []
    for layout in named.system.layouts:
        try:
            rules = layout.rules(named.sizes)
            state = {n: torch.empty(rule.shape, device='meta') for n, rule in rules.items()}
            found = layout.measure(state)
        except ValueError:
            continue  # a layout of other sizes, such as that of a bare backbone
        if found == named.sizes:
            layouts.append(state)
    return layouts


def misfit(model: torch.nn.Module, state: dict) -> str:
    """What is said when these weights are given to the model."""
    with pytest.raises(ValueError, match='does not fit the model') as error:
        StrictLoadHook().check(model, state, source='weights.pth', whole=True)
    return str(error.value)


@pytest.mark.parametrize('title', MODELS_BY_TITLE)
def test_trackers_are_told_by_their_names_and_shapes(trackers, title):
    state = trackers[title].state_dict()
    named = name_weights({**state, 'auxiliary.conv.weight': torch.ones(1)})
    assert named.title == title and named.converted
    assert len(named.sizes.details) > 20
    pattern = fitting_config(named.sizes)
    settings = Config.fromfile(min(CONFIGS.parent.glob(pattern))).model
    with torch.device('meta'):
        tracker = MODELS.build(settings)
    assert name_weights(tracker.state_dict()).sizes == named.sizes
    layouts = published_names(named)
    assert layouts
    for published in layouts:
        again = name_weights(published)
        assert (again.title, again.sizes, again.converted) == (title, named.sizes, False)


def test_every_pair_is_told_apart(trackers):
    states = {title: tracker.state_dict() for title, tracker in trackers.items()}
    named = {title: name_weights(state) for title, state in states.items()}
    published = {title: published_names(one) for title, one in named.items()}
    for held, built in permutations(trackers, 2):
        said, _ = describe_misfit('weights.pth', states[held], states[built])
        assert f'it holds {held} (converted); the config builds {built}.' in said
        assert f'Use {fitting_config(named[held].sizes)} with it.' in said
        told, has_score = held, trackers[built].score_head is not None
        if 'and a score head' in held and not has_score:
            told = held.replace('and a score', 'and no score')  # left out on conversion
        for state in published[held]:
            said, _ = describe_misfit('weights.pth', {'net': state, 'epoch': 3}, states[built])
            assert f'it holds {told} (as published, not converted); the config builds' in said
            assert 'convert_checkpoint.py weights.pth weights_converted.pth' in said
            assert ('--keep-score' in said) == ('and a score head' in told)


def test_names_are_listed_where_the_system_is_the_same(trackers):
    centre, corner = (trackers[f'FERMT with the {one} head'] for one in ('centre', 'corner'))
    said = misfit(corner, centre.state_dict())
    assert 'it holds FERMT with the centre head (converted); the config builds FERMT with' in said
    assert 'only in the checkpoint: box_head.' in said
    said = misfit(trackers['MVT'], centre.state_dict())
    assert 'only in' not in said and said.endswith('Use configs/fermt/fermt_test-*.py with it.')


@pytest.mark.parametrize('title', MODELS_BY_TITLE)
def test_published_weights_of_the_right_model_only_need_conversion(trackers, title):
    named = name_weights(trackers[title].state_dict())
    for state in published_names(named):
        said = misfit(trackers[title], {'state_dict': state})
        assert f'it holds {title} (as published, not converted)' in said
        assert 'Use the converted file.' in said


def test_other_sizes_of_one_system_are_named_with_what_differs(trackers):
    state = trackers['FERMT with the centre head'].state_dict()
    shorter = {name: value for name, value in state.items() if '.blocks.11.' not in name}
    said = misfit(trackers['FERMT with the centre head'], shorter)
    assert 'it holds FERMT with the centre head (converted; 11 layers' in said
    assert 'builds FERMT with the centre head (12 layers' in said
    assert 'Use the FERMT config that it was made with' in said
    assert 'only in the model: backbone.blocks.11.' in said


def test_no_mark_of_a_layout_is_in_our_names(trackers):
    """Else converted weights would be taken for published ones."""
    marks = tuple(mark for one in SYSTEMS for layout in one.layouts for mark in layout.marks)
    for title, tracker in trackers.items():
        assert not [name for name in tracker.state_dict() if name.startswith(marks)], title


@pytest.fixture(scope='module')
def mvt_config() -> Config:
    return Config.fromfile(CONFIGS / 'mvt/mvt-tiny_test-synthetic.py')


def test_files_are_named_where_trackers_and_teachers_are_loaded(tmp_path, mvt_config):
    net = small_published('mixvit')
    write_checkpoint(convert_state_dict(net).state_dict, {}, tmp_path / 'converted.pth')
    held = 'it holds MixViT with pyramid corner head and no score head (converted); the config'
    with pytest.raises(ValueError, match='does not fit') as error:
        load_tracker(mvt_config, tmp_path / 'converted.pth')
    assert f'{held} builds MVT.' in str(error.value)
    with pytest.raises(ValueError, match='the teacher_checkpoint .* does not fit') as error:
        FrozenTeacher(mvt_config.model, tmp_path / 'converted.pth')
    assert f'{held} builds MVT.' in str(error.value)
    torch.save({'net': net, 'epoch': 1}, tmp_path / 'MixFormer_ep0001.pth.tar')
    with pytest.raises(ValueError, match='not converted.; the config builds MVT') as error:
        FrozenTeacher(mvt_config.model, tmp_path / 'MixFormer_ep0001.pth.tar')
    command = f'{tmp_path}/MixFormer_ep0001.pth.tar MixFormer_ep0001.pth`'
    assert f'convert_checkpoint.py {command}' in str(error.value)


def test_published_files_with_code_are_named_before_they_are_refused(tmp_path, mvt_config):
    save_published(tmp_path / 'online.pth.tar', small_published('mixformer_cvt'))
    with pytest.raises(ValueError, match='pickled code, which is not executed') as error:
        load_tracker(mvt_config, tmp_path / 'online.pth.tar')
    assert 'It holds MixFormer-CvT with score head (as published, not conv' in str(error.value)
    assert 'convert_checkpoint.py' in str(error.value)


@pytest.mark.parametrize('system', ['mixformerv2', 'mixvit', 'mixformer_cvt', 'mvt', 'fermt'])
def test_the_prefix_of_a_distributed_wrapper_is_no_part_of_a_name(system):
    state = small_published(system)
    if system == 'fermt':  # the file has both heads
        state = {n: v for n, v in state.items() if not re.search('_(tl|br)', n)}
    wrapped = {f'module.{name}': value for name, value in state.items()}
    conversion, plain = (convert_state_dict(one, keep_score=True) for one in (wrapped, state))
    assert list(conversion.state_dict) == list(plain.state_dict)
    assert name_weights(weights_in({'net': wrapped})).sizes == conversion.sizes


def test_the_vit_of_fermt_is_named_although_its_names_begin_like_a_wrapper(mvt_config):
    shapes = {n: v.shape for n, v in small_published('fermt').items()}
    vit = {n: torch.zeros(s) for n, s in shapes.items() if 'backbone.blocks.' in n or '.proj' in n}
    vit = {name.replace('backbone.', 'module.model.'): value for name, value in vit.items()}
    model = MODELS.build(mvt_config.model).state_dict()
    told, _ = describe_misfit('vit.pth', {'model': vit}, model)
    assert told.startswith(
        'it holds a ViT backbone of FERMT (as published, not converted); the con'
    )


def test_weights_of_strangers_are_named(mvt_config):
    model = MODELS.build(mvt_config.model).state_dict()
    stark = dict.fromkeys(
        ('backbone.conv1.weight', 'head.transformer.a.weight', 'head.bbox_head.tl.weight'),
        torch.ones(1),
    )
    with pytest.raises(ValueError, match='weights of STARK, which has no config here'):
        convert_state_dict(stark)
    told = describe_misfit('stark.pth', {'state_dict': stark}, model)
    assert told == ('it holds STARK, which has no config here; the config builds MVT.', False)


def test_weights_in_the_place_of_published_ones_are_told(mvt_config):
    model = MODELS.build(mvt_config.model).state_dict()
    told, lists = describe_misfit('mine.pth', {'net': model}, model)
    assert "it holds MVT (converted), but under 'net'" in told and not lists


def test_a_file_whose_names_are_numbers_is_unknown(mvt_config):
    """As the state of an optimizer that was saved alone."""
    model = MODELS.build(mvt_config.model).state_dict()
    assert describe_misfit('state.pth', {0: torch.ones(1), 1: torch.ones(1)}, model) is None
