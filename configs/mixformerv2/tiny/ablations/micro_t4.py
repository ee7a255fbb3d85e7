# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# makes: work_dirs/micro_t4/epoch_4.pth
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_t4.py
#
# Tables 3a, 3c and 8a: four tokens, one MLP, without distillation.
_base_ = [
    '../../../_base_/models/mixformerv2-micro.py',
    '../../../_base_/datasets/synthetic_micro_train.py',
    '../../../_base_/schedules/adamw_micro_4e.py',
    '../../../_base_/distillation/paper.py',
    '../../../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mixvit-micro_synthetic/epoch_20.pth',
            prefix='backbone.',
        )
    ),
    losses=_base_.losses,
)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
