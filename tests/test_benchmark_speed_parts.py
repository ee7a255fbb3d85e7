"""What the benchmark of runtimes is made of: the reference, the counts, the clip, the memory."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from small_tracker import lively_tracker
from torch import nn

from mmtrack_mixformerv2.benchmark.speed.ceiling import MatrixProducts
from mmtrack_mixformerv2.benchmark.speed.clip import open_clip, render_clip
from mmtrack_mixformerv2.benchmark.speed.contenders import (
    PUBLISHED,
    Contender,
    EncodedEveryFrame,
    build_model,
    choose,
    count_work,
)
from mmtrack_mixformerv2.benchmark.speed.curves import templates_curve
from mmtrack_mixformerv2.benchmark.speed.exports import export_models
from mmtrack_mixformerv2.benchmark.speed.frame_speed import PARTS, FrameRun, measure_frames
from mmtrack_mixformerv2.benchmark.speed.gpu_use import measure_gpu_use
from mmtrack_mixformerv2.benchmark.speed.process_memory import peak_growth
from mmtrack_mixformerv2.published import publish
from mmtrack_mixformerv2.runtime import BackendNotInstalled
from mmtrack_mixformerv2.tracking import SequenceTracker

ROUNDING = 1e-6  # of float32, in boxes of [0, 1]


@pytest.fixture(scope='module')
def model() -> nn.Module:
    return lively_tracker(depth=3)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return render_clip(tmp_path_factory.mktemp('clip'), frames=20, size=(96, 64))


def draw_crops(model: nn.Module, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Two different templates, and a search region."""
    rng = np.random.default_rng(seed)
    sizes = [model.backbone.template_size] * 2 + [model.backbone.search_size]
    *templates, search = (rng.integers(0, 256, (s, s, 3), dtype=np.uint8) for s in sizes)
    return templates, search


@pytest.mark.parametrize('seed', range(3))
def test_the_published_forward_finds_what_the_cached_tracker_finds(model, seed):
    templates, search = draw_crops(model, seed)
    cached, published = model.loop.predictor, publish(model)
    box, score, _ = cached.predict(search, cached.encode_templates(templates))
    expected, expected_score, _ = published.predict(search, published.encode_templates(templates))
    assert np.abs(box - expected).max() < ROUNDING
    assert score == pytest.approx(expected_score, abs=ROUNDING)
    other = published.predict(search, published.encode_templates(templates[::-1])).box
    assert np.abs(other - expected).max() < ROUNDING  # both templates have one position table
    changed = published.predict(search, published.encode_templates(templates[:1] * 2)).box
    assert np.abs(changed - expected).max() > 1e-4


def test_the_published_forward_tracks_as_the_tracker_does(model, clip):
    frames = clip.frames()
    first, box = next(frames)
    predictors = publish(model), model.loop.predictor
    predictors += (EncodedEveryFrame(model.loop.predictor),)
    loops = [SequenceTracker(predictor, model.loop.settings) for predictor in predictors]
    states = [loop.init(first, box) for loop in loops]
    for _ in range(5):  # templates are refreshed at every third
        frame, _ = next(frames)
        results = [loop.track(frame, state) for loop, state in zip(loops, states)]
        for result in results[1:]:
            np.testing.assert_allclose(result.box_xywh, results[0].box_xywh, atol=1e-3)
            assert result.template_updated == results[0].template_updated


def test_the_work_of_the_published_forward_follows_from_the_shapes(model):
    width, patch, bins = 32, 16, 16
    templates, search, tokens = 2 * 2 * 2, 4 * 4, 4
    whole = templates + search + tokens
    block = (4 + 2 * 4) * whole * width**2  # qkv, proj; MLP ratio 4
    attention = 2 * width * (templates**2 + (search + tokens) * whole)
    heads = tokens * (width**2 + width * bins) + tokens * (width**2 + width)
    embedding = (templates + search) * 3 * patch**2 * width
    assert count_work(model, PUBLISHED) == embedding + 3 * (block + attention) + heads


def test_the_cache_and_the_shorter_last_block_leave_less_work(model):
    cached, uncached = (count_work(model, Contender('torch', cached=c)) for c in (True, False))
    assert cached < uncached < count_work(model, PUBLISHED)
    assert count_work(model, Contender('openvino', 'int8')) == cached


def test_frames_are_measured_part_by_part(model, clip):
    published = SequenceTracker(publish(model), model.loop.settings)
    loops = {'published': published, 'ours': model.loop}
    runs = {name: FrameRun(loop, clip, 2) for name, loop in loops.items()}
    work = {'published': 2000, 'ours': 1000}
    products = {'published': None, 'ours': MatrixProducts('float32', 'cpu', [32, 64])}
    speeds, ceiling = measure_frames(runs, work, products, seconds=0, min_rounds=2)
    for name, speed in speeds.items():
        assert list(speed.parts) == list(PARTS)
        assert sum(speed.parts.values()) == pytest.approx(speed.mean)
        assert speed.median <= speed.p95 and speed.decode > 0
        assert speed.frames_per_second == pytest.approx(1000 / speed.median)
        assert len(runs[name].turns) == 2 and len(runs[name].turns[0]) == 2
    assert speeds['published'].parts['normalise'] > 0 == speeds['ours'].parts['normalise']
    assert speeds['published'].speedup == speeds['published'].network_speedup == 1
    assert speeds['published'].ceiling_share is None and speeds['ours'].ceiling_share > 0
    assert speeds['ours'].box_difference < ROUNDING * model.backbone.search_size
    assert list(ceiling) == ['float32'] and len(ceiling['float32']) == 2


def test_a_sample_of_the_ceiling_is_a_multiply_add():
    products = MatrixProducts('float32', 'cpu', [32, 64])
    timing = products()
    assert timing.samples % 32**3 == 0 and timing.wall > 0


def test_rendered_clips_go_on_for_ever(clip):
    frames = clip.frames()
    first = next(frames)
    for _ in range(19):
        next(frames)
    again = next(frames)
    assert first[0].shape == (64, 96, 3) and clip.size == (96, 64)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_frames_without_a_box_keep_the_one_before(clip, tmp_path):
    for path in clip.source.glob('0000000[1-3].jpg'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / 'groundtruth.txt').write_text('1,2,30,40\n0,0,0,0\n')
    frames = open_clip(tmp_path).frames()
    assert [next(frames)[1].tolist() for _ in range(3)] == [[1, 2, 30, 40]] * 3


def test_a_clip_without_annotation_needs_a_box(clip, tmp_path):
    picture = next(clip.source.glob('*.jpg'))
    (tmp_path / picture.name).write_bytes(picture.read_bytes())
    with pytest.raises(FileNotFoundError, match='--init x,y,width,height'):
        open_clip(tmp_path)
    assert open_clip(tmp_path, (1, 2, 3, 4)).boxes_xywh.tolist() == [[1, 2, 3, 4]]


def test_pairs_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="dtype is 'int8'.*runs on onnxruntime, openvino"):
        choose(['torch'], ['float32', 'int8'])
    with pytest.raises(ValueError, match="backend is 'tflite'"):
        choose(['tflite'], ['float32'])


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(BackendNotInstalled, match='pip install openvino'):
        choose(['openvino'], ['float32'])
    chosen, left_out = choose(['all'], ['float32', 'bfloat16'])
    assert [c.dtype for c in chosen if c.backend == 'torch'] == ['float32', 'bfloat16']
    assert not any(c.backend == 'openvino' for c in chosen)
    assert any('openvino float32 is left out: ' in line for line in left_out)
    assert any('onnxruntime bfloat16 is left out: ' in line for line in left_out)


def test_an_exported_model_that_nothing_runs_is_named():
    with pytest.raises(ValueError, match='exported for openvino int8, which is not among'):
        choose(['torch'], ['float32'], exported=[('openvino', 'int8')])


def test_exported_models_that_are_there_are_used(model, clip, tmp_path):
    given = {('openvino', 'int8'): tmp_path / 'here'}
    contenders = [PUBLISHED, Contender('openvino', 'int8'), Contender('torch')]
    contenders.append(Contender('openvino', 'int8', cached=False))
    folders = export_models(model, contenders, tmp_path / 'new', given, clip)
    assert list(folders) == contenders and not (tmp_path / 'new').exists()
    assert list(folders.values()) == [None, tmp_path / 'here', None, tmp_path / 'here']


def test_variants_are_chosen_once():
    chosen, left_out = choose(['torch', 'torch'], ['float32'], compile=True, uncached=True)
    assert not left_out and [str(c) for c in chosen] == [
        'published forward',
        'torch float32',
        'torch float32, compiled',
        'torch float32, uncached',
        'torch float32, compiled, uncached',
    ]


def test_a_model_that_is_no_tracker_is_named():
    with pytest.raises(ValueError, match="'TemplateSearchTracker'; use a test config"):
        build_model(Config({'model': {'type': 'SiamRPN'}}), None)


def fill_memory(megabytes: int):
    """A function that, once called, keeps so much memory."""
    kept = []
    return lambda: kept or kept.append(np.ones(megabytes << 20, np.uint8))


def test_memory_is_that_of_a_process_of_its_own():
    growth = peak_growth(fill_memory, 100, imports=['decimal'])
    if growth is None:
        pytest.skip('this system does not tell the memory of a process')
    assert 100 << 20 <= growth < 150 << 20


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_its_use_cannot_be_measured():
    with pytest.raises(RuntimeError, match='no GPU'):
        measure_gpu_use(lambda: None)


def test_the_curve_of_templates_is_about_as_many_templates(clip, model, monkeypatch):
    """A sequence begins with two, whatever is asked for."""
    predictor, seen = model.loop.predictor, []
    monkeypatch.setattr(predictor, 'predict', lambda _, cache: seen.append(cache.num_tokens))
    templates_curve({'torch': model.loop}, [1, 3], clip, seconds=0)
    one = (model.backbone.template_size // 16) ** 2
    assert set(seen) == {one, 3 * one}
