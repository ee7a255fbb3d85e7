# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/mae_vit-b.pth, the MAE ViT-B weights
#        converted by tools/model_converters/convert_checkpoint.py (8 of their 12 blocks are used)
# makes: work_dirs/mixformerv2-b_8xb32-500e_got10k-lasot-trackingnet-coco/epoch_500.pth (no scores)
# run:   bash tools/dist_train.sh \
#            configs/mixformerv2/mixformerv2-b_8xb32-500e_got10k-lasot-trackingnet-coco.py 8
#
# Training without a teacher, with the losses and the schedule of the published first stage, which
# is a distillation. Without the MAE weights, add
#            --cfg-options model.backbone.init_cfg=None
_base_ = [
    '../_base_/models/mixformerv2-b.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mae_vit-b.pth', prefix='backbone.')
    ),
    score_head=None,  # trained afterwards, with everything else frozen
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
    ),
)
default_hooks = dict(checkpoint=dict(interval=5))
