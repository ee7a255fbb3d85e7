# needs: python tools/render_sequences.py --out data/synthetic-easy --train 2000 --train-frames 20 \
#            --size 256 192 --seed 1 --difficulty easy --workers 2
#        python tools/render_sequences.py --out data/synthetic-medium --train 4000 \
#            --train-frames 20 --size 256 192 --seed 2 --difficulty medium --workers 2
# makes: work_dirs/mixformerv2-tiny_1xb32-36e_synthetic/epoch_36.pth
# run:   python tools/train.py configs/mixformerv2/mixformerv2-tiny_1xb32-36e_synthetic.py
#
# From scratch, without MAE weights and without a teacher. The token head alone would stay at the
# mean box: `loss_edge` gives every bin a gradient, and the auxiliary, which is dropped after
# training, teaches the search tokens where the corners are and the prediction tokens where to look.
_base_ = [
    '../_base_/models/mixformerv2-tiny.py',
    '../_base_/datasets/synthetic_micro_train.py',
    '../_base_/schedules/adamw_micro_4e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    score_head=None,  # mixformerv2-tiny_score_synthetic.py adds it afterwards
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
        loss_edge=dict(type='EdgeDistributionLoss', loss_weight=1.0),
    ),
    auxiliary=dict(type='DenseGuidance', in_channels=128, cells=4),
)

train_dataloader = dict(num_workers=1, persistent_workers=True)
# The weights were trained with this patch_size, which only says which crops show too little.
_base_.train_dataloader.dataset.pipeline[3].update(template_size=40, search_size=72, patch_size=16)

train_cfg = dict(max_epochs=36)
_base_.param_scheduler[0].update(end=200)
_base_.param_scheduler[1].update(end=36, T_max=36)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
