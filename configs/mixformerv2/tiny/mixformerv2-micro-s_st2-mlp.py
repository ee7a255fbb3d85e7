# needs: work_dirs/mixformerv2-micro-s_st1/epoch_4.pth
# makes: work_dirs/mixformerv2-micro-s_st2-mlp/epoch_4.pth, 2 layers with MLP ratio 1
# run:   python tools/train.py configs/mixformerv2/tiny/mixformerv2-micro-s_st2-mlp.py
#
# MLP reduction: the first quarter of the hidden units to start from, then distillation.
_base_ = [
    '../../_base_/models/mixformerv2-micro.py',
    '../../_base_/datasets/synthetic_micro_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/distillation/paper.py',
    '../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-s_st1/epoch_4.pth'
model = dict(
    type='DistillationSOT',
    backbone=dict(depth=2, mlp_ratio=1.0),
    teacher='{{ fileDirname }}/mixformerv2-micro-s_st1.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(0, 0), (1, 1)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    shrink_parent=dict(type='ShrinkParentHook', mlp_units='first'),
)
