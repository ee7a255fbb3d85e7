# 100 epochs of AdamW, the learning rate a cosine from epoch to epoch; no warm-up.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=100, eta_min=1e-9)
optim_wrapper = dict(
    type='OptimWrapper',
    # Weight decay is for everything, norms too.
    optimizer=dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),  # 4e-5
)
auto_scale_lr = dict(base_batch_size=128)  # 1 GPU x 128
