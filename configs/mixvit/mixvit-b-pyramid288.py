# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/mae_vit-b.pth, the MAE ViT-B weights
#        converted by tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixvit-b-pyramid288/epoch_500.pth, which tools/test.py measures on LaSOT; a
#        released MixViT-B that convert_checkpoint.py writes there does as well
# run:   bash tools/dist_train.sh configs/mixvit/mixvit-b-pyramid288.py 8
#
# The first stage of MixViT, which is all that a teacher needs. Tested without scores, it keeps the
# first template; the published tracker without the score prediction module takes a new online
# template at every interval, whatever it shows.
_base_ = [
    '../_base_/models/mixvit-b.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mae_vit-b.pth', prefix='backbone.')
    ),
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(search_factor=5.05),  # published command
)
_base_.train_dataloader.dataset.pipeline[3].update(search_factor=4.5)
default_hooks = dict(checkpoint=dict(interval=5))
