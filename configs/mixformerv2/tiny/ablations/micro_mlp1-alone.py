# needs: work_dirs/mixformerv2-micro-s_st1/epoch_4.pth
# makes: work_dirs/micro_mlp1-alone/epoch_4.pth, 2 layers with MLP ratio 1
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_mlp1-alone.py
#
# Table 3h: as ../mixformerv2-micro-s_st2-mlp.py, without distillation.
_base_ = [
    '../../../_base_/models/mixformerv2-micro.py',
    '../../../_base_/datasets/synthetic_micro_train.py',
    '../../../_base_/schedules/adamw_micro_4e.py',
    '../../../_base_/distillation/paper.py',
    '../../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-s_st1/epoch_4.pth'
model = dict(backbone=dict(depth=2, mlp_ratio=1.0), losses=_base_.losses)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    shrink_parent=dict(type='ShrinkParentHook', mlp_units='first'),
)
