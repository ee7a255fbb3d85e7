"""The predictor of a GPU on static buffers: the boxes of the plain one, in any order of calls.

Without a GPU the same steps run one operation after the other; what needs one is skipped.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from golden import noise_frame
from small_tracker import lively_tracker
from torch import nn
from torch.profiler import ProfilerActivity, profile

from mmtrack_mixformerv2.models.cuda_graphs import Step, StepCache, full_float32
from mmtrack_mixformerv2.models.device_predictor import DevicePredictor
from mmtrack_mixformerv2.models.inference import InferenceNetwork
from mmtrack_mixformerv2.models.torch_predictor import TorchPredictor
from mmtrack_mixformerv2.tracking import (
    Prediction,
    SequenceTracker,
    Tracker,
    TrackingSettings,
    TrackResult,
)
from mmtrack_mixformerv2.tracking.lock_step import LockStep
from mmtrack_mixformerv2.tracking.streams import run_streams

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICES = ['cpu', pytest.param('cuda', marks=needs_gpu)]
# Every third frame a new template, so that their number grows and then their content changes.
SETTINGS = TrackingSettings(num_online_templates=2, update_interval=3, score_threshold=0.0)


@pytest.fixture(scope='module')
def model() -> nn.Module:
    """Two blocks: one that all tokens pass, one for the prediction tokens alone."""
    return lively_tracker(depth=2)


def frozen(model: nn.Module, device: str = 'cpu') -> InferenceNetwork:
    """A copy on a device."""
    return InferenceNetwork.of(model.to(device)).frozen()


@pytest.fixture(params=DEVICES)
def predictor(model, request) -> DevicePredictor:
    return DevicePredictor(frozen(model, request.param))


@pytest.fixture
def plain(model) -> TorchPredictor:
    return TorchPredictor(frozen(model))


def crop(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def clip(number: int, length: int) -> SimpleNamespace:
    """Frames of a size of their own, and a first box."""
    frames = [noise_frame(f'{number}_{i}')[: 120 - 5 * number] for i in range(length)]
    return SimpleNamespace(frames=frames, boxes_xywh=np.array([[50.0 + number, 40, 30, 24]]))


def assert_same(found, expected, atol: float = 1e-5) -> None:
    """Compare boxes, scores and edges; a GPU rounds in its own way."""
    found, expected = list(found), list(expected)
    atol = 100 * atol if torch.cuda.is_available() else atol
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        (box, score, edges), (expected_box, expected_score, expected_edges) = one, other
        np.testing.assert_allclose(box, expected_box, atol=atol)
        np.testing.assert_allclose(edges, expected_edges, atol=atol)
        assert (score is None) == (expected_score is None)
        np.testing.assert_allclose(score or 0, expected_score or 0, atol=1e-3)


def seen(result: TrackResult) -> Prediction:
    """What a result says of box, score and edges."""
    return Prediction(result.box_xywh, result.score, result.edges.probabilities)


def test_any_order_of_batches_caches_and_numbers_of_templates(predictor, plain):
    """Caches come, change places and go; a new one may even get the memory of one that went."""
    rng, caches = np.random.default_rng(0), []
    predictor._steps.max_steps = 5
    for call in range(60):
        templates = [crop(32, 1000 + call * 3 + i) for i in range(rng.integers(1, 4))]
        if call % 4 == 1:
            templates = templates[:1] * len(templates)  # as before the first update
        caches = caches[-7:]
        caches.append([one.encode_templates(templates) for one in (predictor, plain)])
        tokens = rng.choice([own.num_tokens for own, _ in caches])
        alike = [pair for pair in caches if pair[0].num_tokens == tokens]
        chosen = [alike[i] for i in rng.integers(len(alike), size=rng.integers(1, 20))]
        crops = [crop(64, int(seed)) for seed in rng.integers(50, size=len(chosen))]
        own, others = zip(*chosen)
        assert_same(predictor.predict_batch(crops, own), plain.predict_batch(crops, others))
    assert len(predictor._steps) == 5


def test_results_do_not_change_with_the_next_call(predictor):
    cache = predictor.encode_templates([crop(32, 0)])
    box, score, _ = predictor.predict(crop(64, 1), cache)
    kept = box.copy()
    assert not np.array_equal(predictor.predict(crop(64, 2), cache)[0], kept)
    np.testing.assert_array_equal(box, kept)
    again, score_again, _ = predictor.predict(crop(64, 1), cache)
    np.testing.assert_array_equal(again, kept)
    assert score_again == score


def test_a_new_sequence_is_not_taken_for_one_that_is_gone(predictor, plain):
    for number in range(6):  # each cache may get the address of the one before
        own, other = (one.encode_templates([crop(32, number)]) for one in (predictor, plain))
        assert_same([predictor.predict(crop(64, 1), own)], [plain.predict(crop(64, 1), other)])


def test_large_batches_are_divided(predictor, plain):
    small = DevicePredictor(predictor.network, max_batch=3)
    crops = [crop(64, seed) for seed in range(8)]
    own, others = (
        one.encode_templates_batch([[crop(32, i)] for i in range(8)]) for one in (small, plain)
    )
    assert_same(small.predict_batch(crops, own), plain.predict_batch(crops, others))
    assert len(small._steps) == 2


def test_a_tracked_sequence_with_template_updates(predictor, plain):
    video = clip(0, 14)
    loops = [SequenceTracker(one, SETTINGS) for one in (predictor, plain)]
    states = [loop.init(video.frames[0], video.boxes_xywh[0]) for loop in loops]
    updates = 0
    for frame in video.frames[1:]:
        bgr = np.ascontiguousarray(frame[..., ::-1])
        own = loops[0].track(bgr[..., ::-1], states[0])
        expected = loops[1].track(frame, states[1])
        assert_same([seen(own)], [seen(expected)], atol=1e-3)
        assert own.template_updated == expected.template_updated
        updates += own.template_updated
    assert updates == 4 and len(states[0].memory.templates) == 3
    for own, expected in zip(states[0].memory.templates, states[1].memory.templates):
        np.testing.assert_array_equal(own.cpu().numpy(), expected)


def test_several_targets_in_one_frame(predictor, plain):
    video, boxes = clip(1, 8), [(50, 40, 30, 24), (20, 15, 18, 22), (90, 60, 25, 25)]
    trackers = [Tracker(SequenceTracker(one, SETTINGS)) for one in (predictor, plain)]
    for tracker in trackers:
        tracker.init(video.frames[0], boxes)
    for frame in video.frames[1:]:
        own, expected = (tracker.update(frame) for tracker in trackers)
        assert_same(map(seen, own), map(seen, expected), atol=1e-3)


@pytest.mark.parametrize('streams', [1, 2])
def test_sequences_in_lock_step_and_in_threads(predictor, plain, streams):
    videos = [clip(number, length) for number, length in enumerate((9, 4, 14, 5, 11, 2))]
    expected = {}
    loop = SequenceTracker(plain, SETTINGS)
    for number, video in enumerate(videos):
        state = loop.init(video.frames[0], video.boxes_xywh[0])
        expected[number] = [loop.track(frame, state) for frame in video.frames[1:]]
    loop, found = SequenceTracker(predictor, SETTINGS), {number: [] for number in expected}
    steps = [LockStep(loop, lambda frame: frame, 4 // streams) for _ in range(streams)]
    for events in run_streams(steps, range(len(videos)), videos.__getitem__):
        for event in events:
            found[event.sequence].append(event.result)
    for number, results in expected.items():
        assert_same(map(seen, found[number][1:]), map(seen, results), atol=1e-3)


def test_models_without_a_score_head(predictor, plain):
    predictor.network.model.score_head = plain.network.model.score_head = None
    crops, templates = [crop(64, seed) for seed in range(2)], [[crop(32, 5)], [crop(32, 6)]]
    found, expected = (
        one.predict_batch(crops, one.encode_templates_batch(templates))
        for one in (predictor, plain)
    )
    assert [one.score for one in found] == [None, None]
    assert_same(found, expected)


def test_what_cannot_be_is_named_with_the_fix(plain):
    with pytest.raises(ValueError, match=r"device 'cpu', expected 'cuda'.*model\.to\('cuda'\)"):
        DevicePredictor(plain.network, graph=True)
    with pytest.raises(ValueError, match='max_batch is 0, expected 1 or more'):
        DevicePredictor(plain.network, max_batch=0)


def test_the_step_not_used_longest_goes():
    cache, made = StepCache(2), []

    def make(key: int) -> Step:
        made.append(key)
        return Step(torch.neg, (torch.tensor([key]),), graph=False)

    for key in (1, 2, 1, 3, 1, 2):
        assert cache.get(key, lambda key=key: make(key)).run() == -key
    assert made == [1, 2, 3, 2] and len(cache) == 2


@pytest.mark.parametrize('precision', ['highest', 'high', 'medium'])
def test_tf32_is_off_for_a_while_and_then_as_before(precision):
    def settings() -> tuple:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def inside(_: int) -> list:
        with full_float32(torch.device('cuda')):
            if hasattr(torch.backends.cuda.matmul, 'fp32_precision'):
                matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv
                return [matmul.fp32_precision == 'ieee', cudnn.fp32_precision == 'ieee']
            return [not one for one in settings()]

    try:
        torch.set_float32_matmul_precision(precision)
        before = settings()
        assert before == (precision != 'highest', True)
        with ThreadPoolExecutor(4) as threads:
            assert all(sum(threads.map(inside, range(50)), []))
        assert settings() == before and torch.get_float32_matmul_precision() == precision
        with full_float32(torch.device('cpu')):
            assert settings() == before
    finally:
        torch.set_float32_matmul_precision('highest')


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, 'fp32_precision'), reason='torch 2.9 and later'
)
def test_tf32_may_have_been_asked_for_by_the_new_names():
    """After that torch refuses to answer by the old ones."""
    owners = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [owner.fp32_precision for owner in owners]
    try:
        for owner in owners:
            owner.fp32_precision = 'tf32'
        with full_float32(torch.device('cuda')):
            assert [owner.fp32_precision for owner in owners] == ['ieee'] * 2
        assert [owner.fp32_precision for owner in owners] == ['tf32'] * 2
    finally:
        for owner, value in zip(owners, before):
            owner.fp32_precision = value


@needs_gpu
def test_a_replayed_graph_gives_the_bits_of_its_operations(model):
    network = frozen(model, 'cuda')
    graph, eager = DevicePredictor(network), DevicePredictor(network, graph=False)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        for count in (1, 3, 8, 13):
            templates = [[crop(32, i), crop(32, i + 1)] for i in range(count)]
            crops = [crop(64, 100 + i) for i in range(count)]
            found, expected = (
                one.predict_batch(crops, one.encode_templates_batch(templates))
                for one in (graph, eager)
            )
            for (box, score), (expected_box, expected_score) in zip(found, expected):
                np.testing.assert_array_equal(box, expected_box)
                assert score == expected_score
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


@needs_gpu
@pytest.mark.parametrize('targets', [1, 5])
def test_a_frame_takes_few_launches_whatever_the_number_of_targets(model, targets):
    predictor = DevicePredictor(frozen(model, 'cuda'))
    # A threshold that no score passes: cutting a candidate for a template takes launches too.
    settings = TrackingSettings(score_threshold=1.0)
    tracker = Tracker(SequenceTracker(predictor, settings))
    frame = noise_frame('0')
    tracker.init(frame, [(50.0 + 3 * i, 40, 30, 24) for i in range(targets)])
    for _ in range(3):
        tracker.update(frame)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        tracker.update(frame)
        torch.cuda.synchronize()
    names = [event.name for event in recorded.events()]
    graphs = sum(name.startswith('cudaGraphLaunch') for name in names)
    started = sum(name.startswith(('cudaLaunch', 'cuLaunch', 'cudaMemcpyAsync')) for name in names)
    assert graphs == 2  # the crops and the network
    assert started <= 8
