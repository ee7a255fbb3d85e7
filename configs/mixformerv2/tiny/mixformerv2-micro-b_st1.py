# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth (mixvit-micro_synthetic.py)
# makes: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth, 6 layers
# run:   python tools/train.py configs/mixformerv2/tiny/mixformerv2-micro-b_st1.py
#
# Dense to sparse. The teacher's backbone takes the place of the MAE weights to start from.
_base_ = [
    '../../_base_/models/mixformerv2-micro.py',
    '../../_base_/datasets/synthetic_micro_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/distillation/paper.py',
    '../../_base_/default_runtime.py',
]

teacher_checkpoint = 'work_dirs/mixvit-micro_synthetic/epoch_20.pth'
model = dict(
    type='DistillationSOT',
    teacher='{{ fileDirname }}/mixvit-micro_synthetic.py',
    teacher_checkpoint=teacher_checkpoint,
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=teacher_checkpoint, prefix='backbone.')
    ),
    losses=_base_.losses,
    distill_losses=_base_.dense_to_sparse,
)
train_cfg = dict(max_epochs=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=12,
        T_max=12,
        eta_min=1e-5,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
