# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/cvt-21-384-22k.pth, the weights of
#        CvT-21 from ImageNet-22k converted by tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformer-cvt_st1_8xb32-500e_got10k-lasot-trackingnet-coco/epoch_500.pth (no
#        scores), which tools/test.py measures on LaSOT
# run:   bash tools/dist_train.sh \
#            configs/mixformer_cvt/mixformer-cvt_st1_8xb32-500e_got10k-lasot-trackingnet-coco.py 8
#
# The first stage: all but the score prediction module. Tested like this, the online template stays
# a copy of the first; the published tracker without the module takes a new one at every interval,
# whatever it shows.
_base_ = [
    '../_base_/models/mixformer-cvt.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/cvt-21-384-22k.pth', prefix='backbone.'
        )
    ),
    score_head=None,
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        # As the released code since February 2023. The paper, and the code before, have GIoU:
        # loss_iou=dict(_delete_=True, type='mmdet.GIoULoss', loss_weight=2.0).
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(search_factor=4.55),  # published command
)
_base_.train_dataloader.dataset.pipeline[3].update(search_size=320, search_factor=5.0)
optim_wrapper = dict(optimizer=dict(lr=1e-4))  # published; a tenth of it for the backbone
default_hooks = dict(checkpoint=dict(interval=5))
