"""The model that mmtrack drives: test loop, training losses, state, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import load, make_input, needs_golden, noise_frame
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmtrack.apis import inference_sot
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample
from published import published_state_dict, small_manifest

from mmtrack_mixformerv2.checkpoints import convert_state_dict
from mmtrack_mixformerv2.models.dense_guidance import attention_on_target
from mmtrack_mixformerv2.tracking.sequence_tracker import TrackingSettings

FIRST_BOX = (60.0, 45.0, 30.0, 24.0)


def config(**changes) -> dict:
    """The network of the golden case a."""
    settings = dict(
        type='TemplateSearchTracker',
        data_preprocessor=dict(
            type='CropDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
        ),
        backbone=dict(
            type='PMAMViT',
            search_size=64,
            template_size=32,
            embed_dims=48,
            depth=3,
            num_heads=4,
            mlp_ratio=2.0,
        ),
        box_head=dict(type='TokenDistributionHead', in_channels=48, num_bins=16),
        score_head=dict(type='TokenScoreHead', in_channels=48),
        losses=dict(
            loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
            loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
        ),
        test_cfg=dict(search_factor=4.5, update_interval=4),
    )
    return {**settings, **changes}


def published_model(**changes):
    model = MODELS.build(config(**changes)).eval()
    manifest = small_manifest()
    converted = convert_state_dict(published_state_dict(manifest))
    model.load_state_dict(getattr(converted, 'state_dict', converted), strict=True)
    return model


def videos(name: str, count: int = 6) -> list[np.ndarray]:
    return [noise_frame(f'{name}_{index}') for index in range(count)]


def sample(frame_id: int, video_id: int = 0, length: int = 6) -> TrackDataSample:
    result = TrackDataSample()
    result.set_metainfo(dict(frame_id=frame_id, video_id=video_id, video_length=length))
    x, y, w, h = FIRST_BOX
    result.gt_instances = InstanceData(bboxes=torch.tensor([[x, y, x + w, y + h]]))
    return result


def batch(rgb: np.ndarray, **where) -> dict:
    """One frame as mmtrack's test pipeline hands it over: BGR, uint8, (1, 3, height, width)."""
    image = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1]).transpose(2, 0, 1))[None]
    return dict(inputs=dict(img=[image]), data_samples=[sample(**where)])


def boxes_of(model, frames, video_id=0) -> list[np.ndarray]:
    return [
        step(model, frame, frame_id=index, video_id=video_id) for index, frame in enumerate(frames)
    ]


def step(model, frame, **where) -> np.ndarray:
    return model.test_step(batch(frame, **where))[0].pred_track_instances.bboxes.numpy()


@needs_golden
def test_online_tracker_equals_the_published_one_around_a_real_network():
    arrays = load('mixformerv2/g_tracker_small_net.npz')
    model = published_model()
    frames = [noise_frame(f'frame_{index}') for index in range(13)]
    state = model.init(frames[0], FIRST_BOX)
    for index, frame in enumerate(frames[1:]):
        result = model.track(frame, state)
        np.testing.assert_allclose(result.box_xywh, arrays['boxes'][index], atol=1e-3)
        np.testing.assert_allclose(result.score, arrays['scores'][index], atol=2e-5)
        np.testing.assert_allclose(state.memory.best_score, arrays['max_score'][index], atol=2e-5)
        crop = torch.from_numpy(state.memory.templates[1]).permute(2, 0, 1)[None]
        online = model.data_preprocessor.scale(crop)
        np.testing.assert_allclose(
            online.flatten()[:8].numpy(), arrays['online_after_first8'][index], atol=2e-5
        )


def test_test_loop_is_the_tracking_loop():
    model = published_model()
    frames = videos('loop')
    through_mmtrack = boxes_of(model, frames)
    state = model.init(frames[0], FIRST_BOX)
    np.testing.assert_array_equal(through_mmtrack[0][0], np.float32([60, 45, 90, 69]))
    for frame, got in zip(frames[1:], through_mmtrack[1:]):
        x, y, w, h = model.track(frame, state).box_xywh
        np.testing.assert_array_equal(got[0], np.float32([x, y, x + w, y + h]))


def test_interleaved_videos_do_not_disturb_each_other():
    model = published_model()
    first, second = videos('first'), videos('second')
    apart = [boxes_of(model, first, 0), boxes_of(model, second, 1)]
    together = [[], []]
    for index in range(len(first)):
        together[0].append(step(model, first[index], frame_id=index, video_id=0))
        together[1].append(step(model, second[index], frame_id=index, video_id=1))
    np.testing.assert_array_equal(together, apart)


def test_the_state_of_a_video_goes_with_its_last_frame():
    model = published_model()
    frames = videos('end')
    boxes_of(model, frames)
    with pytest.raises(ValueError, match='frame 3 of video 0 came before its frame 0'):
        step(model, frames[3], frame_id=3)


def test_frames_stay_uint8_until_the_crop():
    model = published_model()
    data = batch(videos('uint8', 1)[0], frame_id=0)
    prepared = model.data_preprocessor(data, training=False)
    assert prepared['inputs']['img'][0] is data['inputs']['img'][0]
    frame = model._rgb_frame(prepared['inputs']['img'][0])
    assert np.shares_memory(frame, data['inputs']['img'][0].numpy())


def test_mmtracks_own_inference_function_works():
    model = published_model()
    model.cfg = Config.fromfile(
        Path(__file__).parents[1] / 'configs/mixformerv2/mixformerv2-b_test-lasot.py'
    )
    frames = videos('inference', 3)
    x, y, w, h = FIRST_BOX
    expected = boxes_of(model, frames)
    with DefaultScope.overwrite_default_scope('mmtrack'):
        for index, frame in enumerate(frames):
            got = inference_sot(model, frame[..., ::-1], [[x, y, x + w, y + h]], index)
            np.testing.assert_array_equal(got.pred_track_instances.bboxes, expected[index])
        with pytest.raises(TypeError, match='float32 from 0.0 to 0.99'):
            inference_sot(model, frames[0] / 256, [[x, y, x + w, y + h]], 0)


def training_batch(count: int = 4) -> dict:
    generator = torch.Generator().manual_seed(3)

    def crops(templates, size):
        return torch.randint(0, 256, (templates, 3, size, size), generator=generator).byte()

    samples = []
    for index in range(count):
        result = TrackDataSample()
        box = torch.tensor([[10.0 + index, 12, 40, 50 + 5 * index]])
        result.search_gt_instances = InstanceData(bboxes=box)
        samples.append(result)
    return dict(
        inputs=dict(
            img=[crops(2, 32) for _ in range(count)],
            search_img=[crops(1, 64) for _ in range(count)],
        ),
        data_samples=samples,
    )


def test_tensor_mode_returns_the_prediction_of_the_normalised_crops():
    model = published_model()
    data = model.data_preprocessor(training_batch(), training=True)
    raw = training_batch()['inputs']['search_img'][0][0].float().flip(0)  # RGB
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(
        data['inputs']['search_img'][0, 0], (raw / 255 - mean) / std, atol=2e-6, rtol=0
    )
    prediction = model(data['inputs'], mode='tensor')
    assert prediction.boxes.shape == (4, 4)
    assert prediction.edge_logits.shape == (4, 4, 16)
    assert prediction.score_logits.shape == (4,)
    assert MODELS.build(config(score_head=None))(data['inputs'], mode='tensor').score_logits is None


def test_losses_are_those_of_the_tensor_mode():
    model = published_model()
    data = model.data_preprocessor(training_batch(), training=True)
    losses = model(**data, mode='loss')
    boxes = model(data['inputs'], mode='tensor').boxes
    targets = torch.stack([s.search_gt_instances.bboxes[0] for s in data['data_samples']]) / 64
    targets = targets.clamp(0, 1)
    torch.testing.assert_close(losses['loss_l1'], 5 * (boxes - targets).abs().mean())
    torch.testing.assert_close(losses['loss_iou'], model.losses['loss_iou'](boxes, targets))
    assert set(losses) == {'loss_l1', 'loss_iou', 'iou'}


def test_training_with_guidance_lowers_every_loss():
    torch.manual_seed(0)
    auxiliary = dict(type='DenseGuidance', in_channels=48, cells=4)
    edge = dict(type='EdgeDistributionLoss')
    model = MODELS.build(
        config(auxiliary=auxiliary, losses={**config()['losses'], 'loss_edge': edge})
    ).train()
    data = model.data_preprocessor(training_batch(), training=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 2e-3)
    history = []
    for _ in range(40):
        losses = model(**data, mode='loss')
        history.append({name: value.item() for name, value in losses.items()})
        total = sum(value for name, value in losses.items() if 'loss' in name)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert set(history[0]) == {
        'loss_l1', 'loss_iou', 'loss_edge', 'iou', 'loss_dense', 'loss_attention2',
    }  # fmt: skip
    for name in history[0]:
        if name == 'iou':
            assert history[-1][name] > 0.5
        else:
            assert history[-1][name] < 0.7 * history[0][name], name
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == ['score_head.fc1.weight', 'score_head.fc1.bias', 'score_head.fc2.weight',
                      'score_head.fc2.bias']  # fmt: skip


def test_attention_on_target_counts_the_whole_attention():
    """A box over the whole region leaves out the templates and the prediction tokens only."""
    model = published_model().backbone
    templates, search = make_input('t', (2, 1, 3, 32, 32)), make_input('s', (2, 3, 64, 64))
    cache = model.encode_template(templates, out_layers=True)
    features = model.encode_search(search, cache, out_layers=True)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, 4)
    left, right = whole.clone(), whole.clone()
    left[:, 2], right[:, 0] = 0.5, 0.5
    mass = [attention_on_target(model, cache, features, 2, box) for box in (whole, left, right)]
    assert mass[0].shape == (2, 4)
    assert (mass[0] < 1).all() and (mass[0] > 0.5).all()
    torch.testing.assert_close(mass[1] + mass[2], mass[0])


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            dict(box_head=dict(type='TokenDistributionHead', in_channels=32)),
            'TokenDistributionHead has in_channels=32, expected 48',
        ),
        (
            dict(score_head=dict(type='TokenScoreHead', in_channels=96)),
            'TokenScoreHead has in_channels=96, expected 48',
        ),
        (
            dict(backbone={**config()['backbone'], 'num_prediction_tokens': 1}),
            'num_prediction_tokens=1; the box head reads 4, the score head at least 1',
        ),
        (
            dict(
                backbone={**config()['backbone'], 'num_prediction_tokens': 1},
                box_head=dict(
                    type='TokenDistributionHead', in_channels=48, num_tokens=1, mlps='box'
                ),
                losses=dict(loss_edge=dict(type='EdgeDistributionLoss')),
            ),
            'loss_edge needs edge distributions',
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config(**changes))


def test_refusals():
    with pytest.raises(ValueError, match="test_mode is 'VOT', expected 'OPE'"):
        MODELS.build(config(test_cfg=dict(test_mode='VOT')))
    with pytest.raises(TypeError, match='search_facto'):
        MODELS.build(config(test_cfg=dict(search_facto=4.5)))
    with pytest.raises(ValueError, match='update_interval is 0'):
        MODELS.build(config(test_cfg=dict(update_interval=0)))
    assert MODELS.build(config(test_cfg=None)).loop.settings == TrackingSettings()
