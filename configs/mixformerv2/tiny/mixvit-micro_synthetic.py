# needs: the rendered sequences of ../mixformerv2-tiny_1xb32-36e_synthetic.py (its header says how)
# makes: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# run:   python tools/train.py configs/mixformerv2/tiny/mixvit-micro_synthetic.py
#
# The teacher, from scratch: a dense corner head finds the target at once.
_base_ = [
    '../../_base_/models/mixvit-micro.py',
    '../../_base_/datasets/synthetic_micro_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
        loss_edge=dict(type='EdgeDistributionLoss', loss_weight=1.0),
    ),
)
train_cfg = dict(max_epochs=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=20,
        T_max=20,
        eta_min=1e-5,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
