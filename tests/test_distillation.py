"""A student and its frozen teacher: what trains, what is saved, what is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from mmtrack.registry import MODELS
from mmtrack.structures import TrackDataSample

from mmtrack_mixformerv2.engine import BFloat16OptimWrapper, StrictLoadHook
from mmtrack_mixformerv2.models.distillation import DistillationSOT, tracker_settings

BASES = Path(__file__).resolve().parents[1] / 'configs' / '_base_'

SIZES = dict(search_size=64, template_size=32, embed_dims=16, num_heads=2, mlp_ratio=2.0)
BOX_LOSSES = dict(
    loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
    loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
)


def tracker(depth: int = 3, bins: int = 16, **backbone) -> dict:
    return dict(
        type='TemplateSearchTracker',
        data_preprocessor=dict(
            type='CropDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True
        ),
        backbone=dict(type='PMAMViT', **{**SIZES, 'depth': depth, **backbone}),
        box_head=dict(
            type='TokenDistributionHead',
            in_channels=backbone.get('embed_dims', 16),
            num_bins=bins,
        ),
        test_cfg=dict(num_online_templates=0),
    )


def corner_tracker(**backbone) -> dict:
    settings = tracker(num_prediction_tokens=0, **backbone)
    settings['box_head'] = dict(type='CornerHead', in_channels=16, channels=8)
    return settings


def save_teacher(folder: Path, settings: dict, seed: int = 1) -> str:
    torch.manual_seed(seed)
    path = folder / 'teacher.pth'
    torch.save(dict(state_dict=MODELS.build(settings).state_dict()), path)
    return str(path)


def distillation(folder: Path, teacher: dict, **changes) -> dict:
    """Settings of a student of 3 layers and 16 bins with a teacher of random weights."""
    settings = dict(
        losses=BOX_LOSSES,
        teacher=teacher,
        teacher_checkpoint=save_teacher(folder, teacher),
        distill_losses=dict(
            loss_kl=dict(type='EdgeKLLoss'), loss_feature=dict(type='FeatureMimickingLoss')
        ),
        layer_pairs=[(0, 1), (-1, -1)],
    )
    return {**tracker(), 'type': 'DistillationSOT', **settings, **changes}


def batch(size: int = 2, templates: int = 2, search: int = 64, template: int = 32):
    generator = torch.Generator().manual_seed(3)

    def images(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    inputs = dict(
        img=images(size, templates, 3, template, template),
        search_img=images(size, 1, 3, search, search),
    )
    samples = []
    for i in range(size):
        sample = TrackDataSample()
        box = torch.tensor([[10.0 + i, 12.0, 40.0, 30.0 + i]])
        sample.search_gt_instances = InstanceData(bboxes=box)
        samples.append(sample)
    return inputs, samples


def boxes(model, inputs: dict) -> torch.Tensor:
    return model(inputs, mode='tensor').boxes


def total(losses: dict) -> torch.Tensor:
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.fixture
def student(tmp_path):
    torch.manual_seed(0)
    return MODELS.build(distillation(tmp_path, tracker(depth=4)))


def test_the_checkpoint_is_the_student(student):
    plain = MODELS.build(tracker())
    assert student.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(student.state_dict())
    inputs, _ = batch()
    plain.eval(), student.eval()
    assert torch.equal(boxes(plain, inputs), boxes(student, inputs))


def test_the_teacher_is_out_of_reach(student):
    own = {id(p) for p in student.parameters()}
    teacher = list(student.teacher.parameters())
    assert not own & {id(p) for p in teacher}
    assert not any(p.requires_grad for p in teacher)
    student.train()
    assert not any(module.training for module in student.teacher.modules())
    wrapper = build_optim_wrapper(
        student, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    )
    in_optimizer = {id(p) for g in wrapper.optimizer.param_groups for p in g['params']}
    assert in_optimizer == own
    average = ExponentialMovingAverage(student)
    assert {n.removeprefix('module.') for n in average.state_dict()} - {'steps'} == set(
        student.state_dict()
    )
    assert average.module.teacher is student.teacher


def test_the_teacher_follows_to_another_type(student):
    copied = deepcopy(student).double()
    assert next(copied.teacher.parameters()).dtype == torch.float64
    inputs, samples = batch()
    assert total(student.loss(inputs, samples)).isfinite()  # not hurt by what its copy became
    assert next(student.teacher.parameters()).dtype == torch.float32
    student.double()
    assert next(student.teacher.parameters()).dtype == torch.float64


def test_only_the_student_learns(student):
    before = deepcopy(student.teacher.state_dict())
    wrapper = build_optim_wrapper(
        student, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    )
    inputs, samples = batch()
    first = student.loss(inputs, samples)
    assert {'loss_l1', 'loss_iou', 'loss_kl', 'loss_feature', 'iou'} == set(first)
    wrapper.update_params(total(first))
    for _ in range(20):
        wrapper.update_params(total(student.loss(inputs, samples)))
    last = student.loss(inputs, samples)
    assert total(last) < total(first)
    after = student.teacher.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in student.teacher.parameters())


def test_every_parameter_gets_a_gradient(student):
    """So distributed training needs no search for unused parameters."""
    total(student.loss(*batch())).backward()
    unused = [n for n, p in student.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(tmp_path):
    model = MODELS.build(distillation(tmp_path, tracker(), layer_pairs=[(0, 0), (1, 1), (2, 2)]))
    model.load_state_dict(model.teacher.state_dict())
    model.eval()
    losses = model.loss(*batch())
    assert losses['loss_kl'].item() == pytest.approx(0, abs=1e-6)
    assert losses['loss_feature'].item() == pytest.approx(0, abs=1e-10)


def test_dense_to_sparse_from_a_corner_head(tmp_path):
    kl = dict(loss_kl=dict(type='EdgeKLLoss'))
    settings = distillation(tmp_path, corner_tracker(), distill_losses=kl, layer_pairs=[])
    model = MODELS.build(settings).eval()
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    maps = model.teacher.backbone(inputs['img'], inputs['search_img'][:, 0])
    heat = model.teacher.box_head.corner_logits(maps).flatten(2).softmax(-1).view(2, 2, 16, 16)
    left, top = heat[:, 0].sum(1), heat[:, 0].sum(2)  # Eq. 4: over rows, over columns
    right, bottom = heat[:, 1].sum(1), heat[:, 1].sum(2)
    wanted = torch.stack([left, top, right, bottom], dim=1)
    own = model(inputs, mode='tensor').edge_logits.softmax(-1)
    divergence = (wanted * (wanted / own).log()).sum(dim=(1, 2)).mean()
    torch.testing.assert_close(losses['loss_kl'], divergence, atol=1e-5, rtol=0)


@pytest.mark.parametrize('tokens', ['search', 'all'])
def test_a_teacher_of_other_sizes_and_bins(tmp_path, tokens):
    teacher = tracker(depth=4, bins=23, search_size=96, template_size=48)
    losses = dict(
        loss_kl=dict(type='EdgeKLLoss'),
        loss_feature=dict(type='FeatureMimickingLoss', tokens=tokens),
    )
    model = MODELS.build(distillation(tmp_path, teacher, distill_losses=losses))
    assert all(value.isfinite() for value in model.loss(*batch()).values())
    total(model.loss(*batch())).backward()


def test_the_teacher_sees_the_student_s_crops_resized(tmp_path):
    """A constant picture stays constant, whatever its size, also for the templates."""
    model = MODELS.build(distillation(tmp_path, tracker(search_size=96, template_size=48)))
    grey = [
        dict(
            img=torch.full((1, 2, 3, template, template), 0.3),
            search_img=torch.full((1, 1, 3, search, search), 0.3),
        )
        for template, search in ((32, 64), (48, 96))
    ]
    _, _, prediction = model._ask_teacher(grey[0])
    wanted = boxes(model.teacher, grey[1])
    torch.testing.assert_close(prediction.boxes, wanted, atol=1e-5, rtol=0)


def test_mixed_precision_and_accumulation(student):
    """Two accumulated halves of a batch in bfloat16 move the weights as the whole does."""
    moved = []
    for counts in (1, 2):
        model = deepcopy(student)
        model.eval()  # drop path would differ
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        wrapper = BFloat16OptimWrapper(optimizer, accumulative_counts=counts)
        wrapper.initialize_count_status(model, 0, counts)
        inputs, samples = batch(size=4)
        step = 4 // counts
        for i in range(0, 4, step):
            part = {name: value[i : i + step] for name, value in inputs.items()}
            with wrapper.optim_context(model):
                losses = model.loss(part, samples[i : i + step])
            assert losses['loss_kl'].dtype == losses['loss_feature'].dtype == torch.float32
            wrapper.update_params(total(losses))
        moved.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    start = torch.cat([p.detach().flatten() for p in student.parameters()])
    difference = (moved[0] - moved[1]).norm() / (moved[0] - start).norm()
    assert difference < 0.02


def test_tokens_at_one_point_come_apart(tmp_path):
    """A degenerate start: four equal tokens, so four equal edges and a box of no area."""
    kl = dict(loss_kl=dict(type='EdgeKLLoss'))
    settings = distillation(tmp_path, corner_tracker(), distill_losses=kl, layer_pairs=[])
    torch.manual_seed(0)
    model = MODELS.build(settings)
    with torch.no_grad():
        tokens = model.backbone.prediction_tokens
        tokens.copy_(tokens[:, :1] + 1e-4 * torch.randn(1, 4, 16))
    inputs, samples = batch()
    start = boxes(model, inputs)
    assert (start.amax(1) - start.amin(1)).max() < 1e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        losses = model.loss(inputs, samples)
        assert all(value.isfinite() for value in losses.values())
        optimizer.zero_grad()
        (total(losses) - losses['loss_kl']).backward()  # what the true box alone teaches
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
    end = boxes(model, inputs)
    assert (end[:, 2:] > end[:, :2]).all()
    assert losses['iou'] > 0.5


def test_removal_renumbers_the_pairs(student):
    inputs, samples = batch()
    student.remove_layers([1])
    assert student.layer_pairs == [(0, 1), (1, 3)]
    assert student.loss(inputs, samples)['loss_feature'].isfinite()
    plain = MODELS.build(tracker(depth=2))
    plain.load_state_dict(student.state_dict())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(layer_pairs=[(3, 0)]), r'\(3, 0\), but the student has 3 layers'),
        (dict(layer_pairs=[(0, 4)]), r'\(0, 4\), but the teacher has 4 layers'),
        (dict(layer_pairs=[2, 3]), r'layer_pairs is \[2, 3\], expected pairs'),
        (dict(layer_pairs=[(2, 'a')]), 'expected pairs'),
        (dict(layer_pairs=[(1, 2, 2)]), 'expected pairs'),
        (dict(layer_pairs=3), 'layer_pairs is 3'),
        (dict(layer_pairs=None), '0 pairs'),
        (dict(layer_pairs=[]), '0 pairs with a loss_feature'),
        (dict(distill_losses={}), 'distill_losses are'),
        (dict(distill_losses=dict(loss_other=dict(type='EdgeKLLoss'))), 'loss_other'),
        (
            dict(teacher_checkpoint='nowhere.pth'),
            'nowhere.pth does not exist .setting model.teacher_checkpoint.*convert_checkpoint.py',
        ),
        (dict(teacher_checkpoint=None), 'set teacher_checkpoint'),
        (
            dict(losses=dict(loss_score=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True))),
            'loss_score',
        ),
        (dict(teacher='nowhere.py'), 'nowhere.py'),
        (dict(teacher=BASES / 'default_runtime.py'), 'default_runtime.py, .*has no model'),
        (dict(auxiliary=dict(type='DenseGuidance')), 'takes no auxiliary'),
        (dict(teacher=tracker(depth=5)), '4 entries in the checkpoint and 5 in the model'),
        (dict(teacher=tracker(depth=4, bins=17)), 'of another shape'),
    ],
)
def test_refusals(tmp_path, changes, message):
    settings = {**distillation(tmp_path, tracker(depth=4)), **changes}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        MODELS.build(settings)


def test_features_of_another_width_are_refused(tmp_path):
    settings = distillation(tmp_path, tracker(embed_dims=32))
    with pytest.raises(ValueError, match='student has 16, the teacher 32'):
        MODELS.build(settings)


def test_all_tokens_need_as_many_prediction_tokens(tmp_path):
    losses = dict(loss_feature=dict(type='FeatureMimickingLoss', tokens='all'))
    settings = distillation(tmp_path, corner_tracker(), distill_losses=losses)
    with pytest.raises(ValueError, match="tokens='search'"):
        MODELS.build(settings)


def test_a_box_without_distributions_cannot_learn_any(tmp_path):
    box_head = dict(type='TokenDistributionHead', in_channels=16, num_tokens=1, mlps='box')
    backbone = dict(type='PMAMViT', **SIZES, depth=3, num_prediction_tokens=1)
    kl = dict(loss_kl=dict(type='EdgeKLLoss'))
    settings = distillation(
        tmp_path,
        tracker(),
        box_head=box_head,
        backbone=backbone,
        distill_losses=kl,
        layer_pairs=[],
    )
    with pytest.raises(ValueError, match='student.s box head'):
        MODELS.build(settings)


def test_a_stage_ends_in_a_plain_tracker():
    stage = Config(
        dict(
            model={**tracker(depth=6), 'type': 'DistillationSOT', 'teacher': 'x', 'losses': {}},
            default_hooks=dict(depth_pruning=dict(type='DepthPruningHook', layers=[0, 3])),
        )
    )
    plain = MODELS.build(tracker_settings(stage))
    assert len(plain.backbone.blocks) == 4
    stage.model.type = DistillationSOT  # a class may stand for its name
    stage.model.backbone.pop('depth')
    assert tracker_settings(stage).type == 'TemplateSearchTracker'
    assert tracker_settings(stage).backbone.depth == 10
    StrictLoadHook().check(
        plain, MODELS.build(tracker(depth=4)).state_dict(), source='it', whole=True
    )


def test_a_teacher_saved_by_a_distributed_wrapper_is_read(tmp_path):
    settings = distillation(tmp_path, tracker())
    plain = MODELS.build(settings).teacher.state_dict()
    wrapped = {f'module.{name}': value for name, value in plain.items()}
    torch.save(dict(state_dict=wrapped), settings['teacher_checkpoint'])
    loaded = MODELS.build(settings).teacher.state_dict()
    assert all(torch.equal(plain[name], loaded[name]) for name in plain)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1], 'holds a list'),
        (dict(state_dict=[1]), 'expected a state dict'),
        ('nan', 'NaN'),
        ('whole', r'box_head.mlps.0.fc1.bias torch.int64 instead of torch.float32'),
    ],
)
def test_a_broken_teacher_file_is_refused(tmp_path, content, message):
    settings = distillation(tmp_path, tracker())
    if isinstance(content, str):
        name, state = 'box_head.mlps.0.fc1.bias', MODELS.build(settings).teacher.state_dict()
        value = state[name]
        state[name] = value.long() if content == 'whole' else torch.full_like(value, torch.nan)
        content = dict(state_dict=state)
    torch.save(content, settings['teacher_checkpoint'])
    with pytest.raises(ValueError, match=message):
        MODELS.build(settings)


def test_a_teacher_sees_the_colours_that_it_was_trained_with(tmp_path):
    """The same function of the pixels, once of scaled ones and once of raw ones."""
    scaled = MODELS.build(distillation(tmp_path, tracker()))
    raw = tracker()
    raw['data_preprocessor'] = {**raw['data_preprocessor'], 'mean': [0.0] * 3, 'std': [1.0] * 3}
    model = MODELS.build(distillation(tmp_path, raw))
    model.load_state_dict(scaled.state_dict())
    of_raw, of_scaled = (m.teacher for m in (model, scaled))
    of_raw.load_state_dict(of_scaled.state_dict())
    preprocessor = of_scaled.data_preprocessor
    of_raw.backbone.fold_scaling(preprocessor.mean.flatten(), preprocessor.std.flatten())
    losses, expected = (m.eval().loss(*batch()) for m in (model, scaled))
    for name in ('loss_kl', 'loss_feature'):
        torch.testing.assert_close(losses[name], expected[name], rtol=1e-4, atol=1e-6)


def test_student_and_teacher_agree_on_the_order_of_channels(tmp_path):
    teacher = tracker()
    teacher['data_preprocessor'] = {**teacher['data_preprocessor'], 'bgr_to_rgb': False}
    with pytest.raises(ValueError, match='bgr_to_rgb of their data_preprocessor has to agree'):
        MODELS.build(distillation(tmp_path, teacher))


def test_template_layers_that_a_backbone_does_not_keep_are_refused(tmp_path):
    """Those of FERMT end where the template begins to see the search region."""
    fermt = dict(type='FERMTViT', search_size=64, template_size=32, embed_dims=16, depth=2)
    plain = {
        **corner_tracker(),
        'backbone': {**fermt, 'num_heads': 2, 'attention': ['A2', 'A5']},
    }
    changes = dict(
        backbone=plain['backbone'],
        box_head=plain['box_head'],
        distill_losses=dict(loss_feature=dict(type='FeatureMimickingLoss', tokens='all')),
        layer_pairs=[(1, 1)],
    )
    with pytest.raises(ValueError, match="FERMTViT does not keep; use tokens='search'"):
        MODELS.build(distillation(tmp_path, plain, **changes))
    changes['distill_losses']['loss_feature']['tokens'] = 'search'
    model = MODELS.build(distillation(tmp_path, plain, **changes))
    assert model.loss(*batch(templates=1))['loss_feature'].isfinite()
