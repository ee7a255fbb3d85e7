# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/mixformerv2-micro-b_st2/epoch_4.pth, 4 layers
# run:   python tools/train.py configs/mixformerv2/tiny/mixformerv2-micro-b_st2.py
#
# Deep to shallow: layers 0 and 3 of 6 fade out in the first of four epochs.
_base_ = [
    '../../_base_/models/mixformerv2-micro.py',
    '../../_base_/datasets/synthetic_micro_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/distillation/paper.py',
    '../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-b_st1/epoch_12.pth'
model = dict(
    type='DistillationSOT',
    teacher='{{ fileDirname }}/mixformerv2-micro-b_st1.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(2, 2), (5, 5)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    depth_pruning={
        **_base_.depth_pruning,
        'layers': [0, 3],
        'horizon': 375,  # iterations: an epoch
        'by_epoch': False,
    },
)
