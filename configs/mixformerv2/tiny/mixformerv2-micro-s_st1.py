# needs: work_dirs/mixformerv2-micro-b_st2/epoch_4.pth
# makes: work_dirs/mixformerv2-micro-s_st1/epoch_4.pth, 2 layers
# run:   python tools/train.py configs/mixformerv2/tiny/mixformerv2-micro-s_st1.py
#
# Deep to shallow again: layers 0 and 2 of 4 fade out; the 4-layer model is the teacher.
_base_ = [
    '../../_base_/models/mixformerv2-micro.py',
    '../../_base_/datasets/synthetic_micro_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/distillation/paper.py',
    '../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-b_st2/epoch_4.pth'
model = dict(
    type='DistillationSOT',
    backbone=dict(depth=4),
    teacher='{{ fileDirname }}/mixformerv2-micro-b_st2.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(1, 1), (3, 3)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    depth_pruning={
        **_base_.depth_pruning,
        'layers': [0, 2],
        'horizon': 375,  # iterations: an epoch
        'by_epoch': False,
    },
)
