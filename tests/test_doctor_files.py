"""What the doctor says about checkpoints, exported models and data sets."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from benchmark_layouts import (
    make_folder,
    make_got10k,
    make_lasot,
    make_lasot_ext,
    make_nfs,
    make_otb100,
    make_tnl2k,
    make_trackingnet,
)
from mmengine.config import Config
from mmtrack.registry import MODELS
from published import save_published, small_published
from small_tracker import write_small_tracker

from mmtrack_mixformerv2.checkpoints import measure, read_checkpoint
from mmtrack_mixformerv2.cli import main
from mmtrack_mixformerv2.doctor import Finding, Report, Status, known_answer
from mmtrack_mixformerv2.doctor.checkpoint import fitting_configs, identify
from mmtrack_mixformerv2.doctor.dataset import NAMES, guess
from mmtrack_mixformerv2.doctor.dataset import examine as examine_data
from mmtrack_mixformerv2.doctor.files import examine_files
from mmtrack_mixformerv2.doctor.trial import try_exported, try_weights

REPO = Path(__file__).resolve().parents[1]
TINY = REPO / 'weights' / 'mixformerv2-tiny_synthetic.pth'


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings}


def worst(findings: list[Finding]) -> set[Status]:
    return {one.status for one in findings} - {Status.OK, Status.NOTE}


# --- checkpoints -----------------------------------------------------------------------------


def test_our_weights_answer_as_they_are_known_to():
    report = Report(list(examine_files(checkpoint=str(TINY))))
    found = by_check([one for one in report.findings if one.section == 'checkpoint'])
    assert worst(list(found.values())) == set()
    assert 'mixformerv2-tiny' in found['config'].message
    assert found['known-answer'].facts['known'] == 'mixformerv2-tiny_synthetic'
    assert found['known-answer'].facts['largest_difference'] < known_answer.TOLERANCE
    assert 'not how well videos are tracked' in found['known-answer'].message
    assert found['run.torch'].facts['run.torch']['overlap_with_drawn_target'] > 0.7
    facts = json.loads(report.as_json())['checkpoint']
    assert facts['kind'] == 'toolbox' and facts['sizes']['depth'] == 6
    assert report.facts('backends')['openmmlab']['works']


def test_known_boxes_survive_another_score_head_and_another_type():
    state = read_checkpoint(TINY).state_dict
    key = known_answer.hash_boxes(state)
    assert key in known_answer.KNOWN
    bare = {name: v.double() for name, v in state.items() if not name.startswith('score_head.')}
    assert known_answer.hash_boxes(bare) == key
    name = next(name for name in state if name.startswith('box_head.'))
    assert known_answer.hash_boxes({**state, name: state[name] + 1}) != key


def test_a_config_with_other_heads_fits_and_answers_wrongly(tmp_path):
    """Their number shows in no shape, so nothing but the known answer can tell."""
    weights = identify(TINY).weights
    config = next(fitting_configs(weights.sizes))
    wrong = tmp_path / 'wrong.py'
    wrong.write_text(f'_base_ = {str(config)!r}\nmodel = dict(backbone=dict(num_heads=8))\n')
    found = by_check(list(try_weights(weights, str(wrong))))
    assert found['config'].status is Status.OK
    assert found['known-answer'].status is Status.PROBLEM
    assert 'num_heads' in found['known-answer'].remedy


def test_a_config_that_does_not_fit_is_a_problem():
    config = REPO / 'configs' / 'mixformerv2' / 'mixformerv2-s_test-folder.py'
    found = by_check(list(try_weights(identify(TINY).weights, str(config))))
    assert found['config'].status is Status.PROBLEM
    assert 'does not fit' in found['config'].message and list(found) == ['config']


def test_untrained_weights_are_suspicious_and_have_no_known_answer(tmp_path):
    config, path = write_small_tracker(tmp_path)
    weights = identify(path).weights
    found = by_check(list(try_weights(weights, str(config))))
    assert found['known-answer'].status is Status.NOTE
    assert 'no answer is known' in found['known-answer'].message
    assert worst(list(found.values())) == {Status.WARNING}
    nothing = by_check(list(try_weights(weights)))['config']
    assert nothing.status is Status.WARNING and 'model.backbone.depth=1' in nothing.remedy


def test_weights_that_are_no_numbers_are_a_problem(tmp_path):
    state = read_checkpoint(TINY).state_dict
    state['box_head.mlps.0.fc2.bias'] = torch.full_like(
        state['box_head.mlps.0.fc2.bias'], torch.nan
    )
    torch.save(state, tmp_path / 'nan.pth')
    found = list(examine_files(checkpoint=str(tmp_path / 'nan.pth')))
    problems = [one.check for one in found if one.status is Status.PROBLEM]
    assert problems == ['values', 'run.torch']


def test_training_leftovers_are_named(tmp_path):
    state = {**read_checkpoint(TINY).state_dict, 'auxiliary.conv.weight': torch.ones(1)}
    torch.save({'state_dict': state, 'optimizer': {}}, tmp_path / 'epoch_1.pth')
    found = by_check(identify(tmp_path / 'epoch_1.pth').findings)
    assert found['extras'].facts['extras'] == ['auxiliary']
    assert 'publish_model.py' in found['extras'].remedy


@pytest.mark.parametrize(
    ('system', 'title'),
    [
        ('mixformerv2', 'MixFormerV2 with score head'),
        ('mixvit', 'MixViT with pyramid corner head and a score head'),
        ('mixformer_cvt', 'MixFormer-CvT with score head'),
        ('mvt', 'MVT'),
        ('fermt', 'FERMT with the centre head'),
    ],
)
def test_published_weights_are_told_by_their_system(tmp_path, system, title):
    path = tmp_path / 'published.pth.tar'
    net = small_published(system)
    if system == 'fermt':  # the fixture has both heads
        net = {name: v for name, v in net.items() if not re.search('_(tl|br)', name)}
    save_published(path, net)
    identified = identify(path)
    found = by_check(identified.findings)
    assert found['system'].facts['kind'] == 'published'
    assert f'published weights of {title}: ' in found['system'].message
    assert 'convert_checkpoint.py' in found['convert'].remedy
    assert found['convert'].remedy.endswith(' --keep-score') == (system == 'mixvit')
    assert 'training_package.Settings' in found['code'].facts['ignored']
    # The sizes that were read from our names are those that were read from the published ones.
    assert measure(identified.weights.state_dict) == identified.weights.sizes


@pytest.mark.parametrize('folder', ['mixformer_cvt', 'mvt', 'fermt'])
def test_configs_of_every_system_are_found_by_sizes(folder):
    (tiny,) = (REPO / 'configs' / folder).glob('*-tiny_test-synthetic.py')
    with torch.device('meta'):
        tracker = MODELS.build(Config.fromfile(tiny).model)
    assert next(fitting_configs(measure(tracker.state_dict()))) == tiny


def test_a_truncated_checkpoint_is_a_problem(tmp_path):
    path = tmp_path / 'cut.pth'
    path.write_bytes(TINY.read_bytes()[:-5000])
    (found,) = identify(path).findings
    assert found.status is Status.PROBLEM and found.facts['kind'] == 'unreadable'
    assert 'fetch' in found.remedy


def test_pickled_code_is_not_run(tmp_path):
    class Mark:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'was_run',)

    path = tmp_path / 'foreign.pth'
    path.write_bytes(pickle.dumps({'state_dict': Mark()}))
    (found,) = identify(path).findings
    assert found.status is Status.PROBLEM
    assert not (tmp_path / 'was_run').exists()


@pytest.mark.parametrize(
    ('names', 'said'),
    [
        (['layer1.weight'], 'unknown system'),
        (['backbone.conv_1.weight'], "lack 'feature_fusor.pw_corr.CA_layer.fc1.weight'"),
        (['box_head.mlps.0.fc1.weight'], "lack 'backbone.patch_embed.weight'"),
    ],
)
def test_weights_of_others_are_a_problem(tmp_path, names, said):
    torch.save({name: torch.ones(2, 2) for name in names}, tmp_path / 'other.pth')
    found = by_check(identify(tmp_path / 'other.pth').findings)
    assert found['system'].status is Status.PROBLEM and said in found['system'].message


def test_a_misspelt_name_is_a_problem_that_suggests():
    (found,) = identify('mixformerv2-tinny').findings
    assert found.status is Status.PROBLEM and 'mixformerv2-tiny' in found.message


def test_a_folder_of_checkpoints_names_the_last_one(tmp_path):
    (tmp_path / 'epoch_3.pth').touch()
    (found,) = identify(tmp_path).findings
    assert found.status is Status.PROBLEM and found.remedy.endswith('epoch_3.pth')


# --- exported models -------------------------------------------------------------------------


def test_runtimes_agree_on_an_exported_model(tmp_path):
    for package in ('onnx', 'onnxruntime', 'openvino'):
        pytest.importorskip(package)
    from toy_graphs import write_toy

    identified = identify(write_toy(tmp_path / 'toy') / 'search.onnx')
    assert by_check(identified.findings)['file'].facts['kind'] == 'exported'
    found = by_check(list(try_exported(identified.exported)))
    assert found['system'].facts['model_hash'] == 'ab' * 32
    assert found['run.onnxruntime'].status is found['run.openvino'].status is Status.OK
    assert found['agreement'].facts['agreement']['openvino'] < 1e-3


def test_a_damaged_export_is_a_problem(tmp_path):
    pytest.importorskip('onnx')
    from toy_graphs import write_toy

    write_toy(tmp_path)
    (tmp_path / 'template.onnx').unlink()
    (found,) = identify(tmp_path).findings
    assert found.status is Status.PROBLEM and 'template.onnx is missing' in found.message


# --- data sets -------------------------------------------------------------------------------

LAYOUTS = {
    'lasot': make_lasot,
    'lasot_ext': make_lasot_ext,
    'got10k': make_got10k,
    'trackingnet': make_trackingnet,
    'uav123': lambda root: (root / 'data_seq' / 'UAV123').mkdir(parents=True),
    'tnl2k': make_tnl2k,
    'nfs240': make_nfs,
    'folder': make_folder,
}


@pytest.mark.parametrize('name', LAYOUTS)
def test_a_benchmark_is_told_by_its_layout(tmp_path, name):
    LAYOUTS[name](tmp_path)
    if name == 'tnl2k':  # else it is a folder of sequences
        next(tmp_path.glob('*/groundtruth.txt')).with_name('language.txt').touch()
    assert guess(tmp_path)[0] == name


def test_a_sound_folder_of_sequences(tmp_path):
    make_folder(tmp_path)
    found = list(examine_data(tmp_path))
    assert worst(found) == set()
    assert by_check(found)['test.sequences'].facts['test_checked']['sequences'] == 2


def test_missing_sequences_and_frames_are_named(tmp_path):
    make_otb100(tmp_path)
    frames = sorted(tmp_path.glob('data/*/img/*.jpg'))
    frames[1].unlink()
    found = list(examine_data(tmp_path))
    listed = by_check(found)['test.list']
    assert listed.status is Status.PROBLEM and 'missing sequences' in listed.message
    assert any('missing frames: ' in one.message for one in found)
    infos = by_check(found)['otb100.infos']
    assert infos.status is Status.WARNING and 'write_infos.py otb100' in infos.remedy


def test_what_is_there_of_several_splits_is_checked(tmp_path):
    make_got10k(tmp_path, 'val')
    found = list(examine_data(tmp_path))
    assert worst(found) <= {Status.WARNING}  # make_got10k may write no info file
    assert by_check(found)['val.sequences'].status is Status.OK
    assert by_check(found)['train.list'].status is Status.NOTE


def test_the_wrong_level_is_put_right(tmp_path):
    make_lasot(tmp_path / 'data')
    for wrong in (tmp_path, tmp_path / 'data' / 'LaSOTBenchmark'):
        found = by_check(list(examine_data(wrong)))['benchmark']
        assert found.status is Status.WARNING  # it is a folder of sequences nevertheless
        assert found.remedy == f'mixformerv2 doctor {tmp_path / "data"}'
    (tmp_path / 'data' / 'LaSOTBenchmark' / 'testing_set.txt').unlink()
    found = by_check(list(examine_data(tmp_path, 'lasot')))['layout']
    assert found.status is Status.PROBLEM and found.remedy.endswith('data')


@pytest.mark.parametrize('name', [name for name in NAMES if name != 'folder'])
def test_another_layout_than_was_said_is_a_problem(tmp_path, name):
    make_folder(tmp_path)
    found = list(examine_data(tmp_path, name))
    assert Status.PROBLEM in worst(found)
    assert all(one.message for one in found)


def test_no_data_set_at_all(tmp_path):
    (empty,) = examine_data(tmp_path)
    assert empty.status is Status.PROBLEM and '--benchmark' in empty.remedy
    (missing,) = examine_data(tmp_path / 'nowhere')
    assert 'does not exist' in missing.message


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--config', 'x.py'], 'give CHECKPOINT'),
        (['w.pth', '--config', 'nowhere.py'], 'no such file'),
        (['--benchmark', 'lasot'], 'give DATA_ROOT'),
        (['w.pth', 'data', '--benchmark', 'imagenet'], 'invalid choice'),
        (['--json', 'nowhere/out.json'], 'no such folder'),
    ],
)
def test_wrong_usage(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(['doctor', *arguments])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
