"""Every tracker of the family runs on every backend, in the test loop and in a report."""

from __future__ import annotations

import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from layouts import make_got10k
from mmdet.structures.bbox import bbox_overlaps
from mmengine.runner import Runner
from small_family import (
    FAMILY,
    SIZES,
    TARGETS,
    assert_same,
    blotches,
    boxes_of,
    predict,
    searches,
    small_member,
    templates_of,
    write_small_member,
)
from small_tracker import on_videos

from mmtrack_mixformerv2 import apis
from mmtrack_mixformerv2.cli import main
from mmtrack_mixformerv2.explain.recording import Recording
from mmtrack_mixformerv2.explain.report import write_report
from mmtrack_mixformerv2.models.device_predictor import DevicePredictor
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.torch_predictor import TorchPredictor
from mmtrack_mixformerv2.structures import TemplateCache
from mmtrack_mixformerv2.synthetic import render_sequence
from mmtrack_mixformerv2.tracking import Tracker

ROOT = Path(__file__).resolve().parents[1]

SEVERAL = [name for name in FAMILY if name.startswith('mix')]  # whose templates are refreshed
WITHOUT_EDGES = {'mvt', 'fermt'}
WITHOUT_SCORE = {'fermt-corner', 'fermt-corner-reweighted'}


@pytest.fixture(scope='module')
def members() -> dict[str, torch.nn.Module]:
    return {name: small_member(name) for name in FAMILY}


@pytest.fixture(params=FAMILY)
def name(request) -> str:
    return request.param


@pytest.fixture
def model(name, members) -> torch.nn.Module:
    return members[name]


def test_small_members_are_worth_comparing(name, model):
    """Their boxes and scores depend on what they see, so that a mistake would show."""
    found = predict(model.loop.predictor, templates_of(model))
    assert np.ptp(boxes_of(found), axis=0).min() > 2
    assert all((one.edges is None) == (name in WITHOUT_EDGES) for one in found)
    assert all((one.score is None) == (name in WITHOUT_SCORE) for one in found)
    if name not in WITHOUT_SCORE:
        assert np.ptp([one.score for one in found]) > 0.05


def test_copies_for_inference_give_what_the_model_gives(model):
    templates = templates_of(model)
    expected = predict(model.loop.predictor, templates)
    frozen = InferenceNetwork.of(model).frozen()
    assert not any(
        isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.affine
        for part in (frozen.model.backbone, *frozen.model.heads)
        for module in part.modules()
    ), 'a batch norm stayed behind its convolution'
    assert_same(predict(TorchPredictor(frozen), templates), expected)
    device = DevicePredictor(frozen)
    assert_same(predict(device, templates), expected)
    # Other places, fewer of them, and once more with what is in place.
    caches = device.encode_templates_batch(templates)
    for chosen in ([3, 1], [1, 3], [2]):
        crops = [searches()[i] for i in chosen]
        found = device.predict_batch(crops, [caches[i] for i in chosen])
        assert_same(found, [expected[i] for i in chosen])


def test_several_targets_are_what_each_is_alone(model):
    predictor, templates = model.loop.predictor, templates_of(model)
    alone = [
        predictor.predict(crop, predictor.encode_templates(one))
        for crop, one in zip(searches(), templates)
    ]
    assert_same(predict(predictor, templates), alone)


def test_caches_can_be_packed_split_and_joined(model):
    network = InferenceNetwork.of(model)
    crops = torch.from_numpy(np.array(templates_of(model)))
    with torch.inference_mode():
        cache = network.encode_templates(crops)
    again = TemplateCache.join(cache.split())
    assert (again.batch, again.num_tokens, again.maker) == (TARGETS, cache.num_tokens, model)
    for dim in (0, 1):
        packed, same = cache.pack(dim), TemplateCache.unpack(again.pack(dim), dim).pack(dim)
        assert list(packed) == list(same)
        for one, other in zip(packed.values(), same.values()):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize('name', SEVERAL)
def test_copies_of_a_template_are_encoded_once(model):
    network = InferenceNetwork.of(model)
    size = SIZES['template_size']
    crops = torch.from_numpy(blotches(7, size, size))[None, None]
    with torch.inference_mode():
        once = network.encode_templates(crops).repeat(3).pack()
        thrice = network.encode_templates(crops.expand(-1, 3, -1, -1, -1)).pack()
    assert list(once) == list(thrice)
    for one, other in zip(once.values(), thrice.values()):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', sorted(set(FAMILY) - set(SEVERAL)))
def test_templates_that_the_backbone_cannot_see_are_refused(model):
    size = SIZES['template_size']
    with pytest.raises(ValueError, match='num_online_templates=0 in test_cfg'):
        model.loop.predictor.encode_templates([blotches(i, size, size) for i in range(2)])


@pytest.mark.filterwarnings('ignore:this CPU has no instructions')
@pytest.mark.parametrize(('dtype', 'bound'), [('bfloat16', 1.0), ('float16', 0.25)])
def test_sixteen_bits_are_near(model, dtype, bound):
    templates = templates_of(model)
    expected = boxes_of(predict(model.loop.predictor, templates))
    network = InferenceNetwork.of(model).frozen(dtype)
    found = boxes_of(predict(TorchPredictor(network), templates))
    assert 0 < np.abs(found - expected).max() < bound


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    return make_got10k(tmp_path_factory.mktemp('videos'), videos=3, frames=6)


def test_sequences_of_a_test_are_what_each_is_alone(name, members, videos, tmp_path):
    config, weights = write_small_member(tmp_path, name)
    cfg = on_videos(config, weights, videos)
    cfg.test_evaluator = {'type': 'SOTMetric', 'metric_options': {'only_eval_visible': True}}
    cfg.test_cfg.update(progress=False, strict=True, num_sequences=2)
    cfg.update(log_level='WARNING', work_dir=str(tmp_path), experiment_name=uuid.uuid4().hex)
    assert 'sot/success' in Runner.from_cfg(cfg).test()
    tracks = sorted((tmp_path / 'tracks').glob('*.csv'))
    assert len(tracks) == 3
    for path, folder in zip(tracks, sorted((videos / 'train').iterdir())):
        rows = np.loadtxt(path, delimiter=',', skiprows=2)[:, :5]
        frames = [cv2.imread(str(one))[..., ::-1] for one in sorted(folder.glob('*.jpg'))]
        tracker = Tracker(members[name].loop)
        tracker.init(frames[0], np.loadtxt(folder / 'groundtruth.txt', delimiter=',')[0])
        alone = [tracker.update(frame) for frame in frames[1:]]
        np.testing.assert_allclose(rows[1:, :4], [one.box_xywh for one in alone], atol=1e-3)
        if name in WITHOUT_SCORE:
            assert np.isnan(rows[1:, 4]).all()
        else:
            np.testing.assert_allclose(rows[1:, 4], [one.score for one in alone], atol=1e-4)
        assert np.ptp(rows[:, :2], axis=0).max() > 1  # the box moves


def test_the_command_says_why_there_is_no_attention(tmp_path, capsys):
    config, weights = write_small_member(tmp_path, 'mvt')
    for index in range(3):
        cv2.imwrite(str(tmp_path / f'{index}.png'), blotches(index))
    model = ['--model', str(config), '--checkpoint', str(weights), '--init', '60,45,30,24']
    out = str(tmp_path / 'report.html')
    code = main(
        ['report', str(tmp_path / '*.png'), *model, '--out', out, '--quiet', '--every', '1']
    )
    assert code == 0
    printed = capsys.readouterr().out
    assert '0 with attention' in printed
    assert 'No attention of test: its backbone, SiamMobileViT, does not give its' in printed


def test_targets_have_states_and_a_report_says_where_there_is_no_attention(name, tmp_path):
    config, weights = write_small_member(tmp_path, name)
    tracker = apis.Tracker(str(config), str(weights))
    recording = Recording({name: tracker.loop}, (60, 45, 30, 24), every=2)
    for index in range(5):
        recording.add(blotches(index))
    path = write_report(
        tmp_path / 'report.html',
        recording.album,
        recording.tracks,
        explanations=recording.explanations,
        notes=list(recording.unexplained.values()),
    )
    page = path.read_text()
    if name == 'mixvit-b_score':
        assert recording.explanations[0] and not recording.unexplained
    else:
        backbone = type(tracker.loop.predictor.network.model.backbone).__name__
        reason = f'its backbone, {backbone}, does not give its attention'
        assert reason in recording.unexplained[name] and reason in page
    for result in recording.tracks[0].results[1:]:
        assert result.state is not None and 0 <= result.confidence <= 1
        if name not in WITHOUT_SCORE:  # nothing was calibrated: the confidence is the score
            assert result.confidence == pytest.approx(result.score, abs=1e-5)


@pytest.mark.parametrize(
    'path',
    [
        'mixvit/mixvit-tiny-score',
        'mixformer_cvt/mixformer-cvt-tiny',
        'mvt/mvt-tiny',
        'fermt/fermt-tiny',
    ],
)
def test_tiny_weights_follow_a_target(path):
    """Those of the repository; standing still would overlap by less than 0.3."""
    config = ROOT / 'configs' / f'{path}_test-synthetic.py'
    weights = ROOT / 'weights' / f'{config.stem.split("_")[0]}_synthetic.pth'
    clip = render_sequence(seed=7, index=1, difficulty='easy', num_frames=25)
    tracker = apis.Tracker(str(config), str(weights), color='bgr', policy=None)
    tracker.init(clip.frames[0], clip.boxes_xywh[0])
    found = np.stack([tracker.update(image).box_xywh for image in clip.frames[1:]])
    still = np.tile(clip.boxes_xywh[0], (24, 1))
    overlap, without = (mean_overlap(boxes, clip.boxes_xywh[1:]) for boxes in (found, still))
    print(path, overlap, without)
    assert overlap > 0.5 > 0.3 > without


def mean_overlap(boxes: np.ndarray, truth: np.ndarray) -> float:
    """Mean IoU of x, y, width, height rows."""
    corners = (
        np.concatenate([one[:, :2], one[:, :2] + one[:, 2:]], axis=1) for one in (boxes, truth)
    )
    both = map(torch.from_numpy, corners)
    return bbox_overlaps(*both, is_aligned=True).mean().item()
