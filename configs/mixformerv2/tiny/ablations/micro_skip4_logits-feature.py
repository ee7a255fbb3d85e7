# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/micro_skip4_logits-feature/epoch_4.pth, 4 layers
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_skip4_logits-feature.py
#
# Tables 3d, 3e and 8b: as micro_skip4.py, with logits and feature losses.
_base_ = [
    '../../../_base_/models/mixformerv2-micro.py',
    '../../../_base_/datasets/synthetic_micro_train.py',
    '../../../_base_/schedules/adamw_micro_4e.py',
    '../../../_base_/distillation/paper.py',
    '../../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-b_st1/epoch_12.pth'
model = dict(
    type='DistillationSOT',
    backbone=dict(depth=4),
    teacher='{{ fileDirname }}/../mixformerv2-micro-b_st1.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(1, 2), (3, 5)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    shrink_parent=dict(type='ShrinkParentHook', keep_layers=[1, 2, 4, 5]),
)
