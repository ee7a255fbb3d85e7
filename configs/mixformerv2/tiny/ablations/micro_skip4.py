# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/micro_skip4/epoch_4.pth, 4 layers
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_skip4.py
#
# Table 3d: layers 1, 2, 4 and 5 of 6 to start from, without distillation.
_base_ = [
    '../../../_base_/models/mixformerv2-micro.py',
    '../../../_base_/datasets/synthetic_micro_train.py',
    '../../../_base_/schedules/adamw_micro_4e.py',
    '../../../_base_/distillation/paper.py',
    '../../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-b_st1/epoch_12.pth'
model = dict(backbone=dict(depth=4), losses=_base_.losses)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    shrink_parent=dict(type='ShrinkParentHook', keep_layers=[1, 2, 4, 5]),
)
