# needs: data/GOT10k; checkpoints/mobilevit-s.pth, the ImageNet weights of MobileViT-S converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mvt_1xb128-100e_got10k/epoch_100.pth
# run:   python tools/train.py configs/mvt/mvt_1xb128-100e_got10k.py
#
# Without the ImageNet weights, add --cfg-options model.backbone.init_cfg=None. They come from a
# network with SiLU; this one has ReLU, as published.
_base_ = [
    '../_base_/models/mvt.py',
    '../_base_/datasets/got10k_center_train.py',
    '../_base_/schedules/adamw_100e_cosine.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/mobilevit-s.pth', prefix='backbone.'
        )
    )
)
train_dataloader = dict(batch_size=128, num_workers=10)  # 468 iterations
default_hooks = dict(checkpoint=dict(interval=5))
