# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# makes: work_dirs/micro_t4_logits/epoch_4.pth
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_t4_logits.py
#
# Table 3c: as micro_t4.py, with the logits loss.
_base_ = [
    '../../../_base_/models/mixformerv2-micro.py',
    '../../../_base_/datasets/synthetic_micro_train.py',
    '../../../_base_/schedules/adamw_micro_4e.py',
    '../../../_base_/distillation/paper.py',
    '../../../_base_/default_runtime.py',
]

teacher_checkpoint = 'work_dirs/mixvit-micro_synthetic/epoch_20.pth'
model = dict(
    type='DistillationSOT',
    teacher='{{ fileDirname }}/../mixvit-micro_synthetic.py',
    teacher_checkpoint=teacher_checkpoint,
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=teacher_checkpoint, prefix='backbone.')
    ),
    losses=_base_.losses,
    distill_losses=_base_.dense_to_sparse,
)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
