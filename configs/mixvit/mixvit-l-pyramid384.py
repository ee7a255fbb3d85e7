# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/mae_vit-l.pth, the MAE ViT-L weights
#        converted by tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixvit-l-pyramid384/epoch_500.pth, which tools/test.py measures on LaSOT; a
#        released MixViT-L that convert_checkpoint.py writes there does as well
# run:   bash tools/dist_train.sh configs/mixvit/mixvit-l-pyramid384.py 8
#
# The first stage of MixViT, which is all that a teacher needs. Its 96 bins are those of the
# released MixFormerV2-B and -S. Tested without scores, it keeps the first template, as
# mixvit-b-pyramid288.py says.
_base_ = [
    '../_base_/models/mixvit-l.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/mae_vit-l.pth', prefix='backbone.')
    ),
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(search_factor=4.55),  # published command
)
train_dataloader = dict(batch_size=12)
_base_.train_dataloader.dataset.pipeline[3].update(
    search_size=384, template_size=192, search_factor=4.5
)
optim_wrapper = dict(
    type='BFloat16OptimWrapper',  # published: mixed precision
    accumulative_counts=3,
    # Published: patch embedding and layers 0 to 5 are frozen. Here they cost time but do not move;
    # the one difference is that the norm that clip_grad limits has their gradients in it.
    paramwise_cfg=dict(
        custom_keys={
            f'backbone.{part}.': dict(lr_mult=0.0)
            for part in ('patch_embed', *(f'blocks.{i}' for i in range(6)))
        }
    ),
)
auto_scale_lr = dict(base_batch_size=96)  # 8 GPUs x 12, as B; three such batches make a step
default_hooks = dict(checkpoint=dict(interval=5))
