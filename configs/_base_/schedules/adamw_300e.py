# 300 epochs of AdamW, the learning rate divided by 10 after 240; no warm-up.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[240], gamma=0.1)
optim_wrapper = dict(
    type='OptimWrapper',
    # Weight decay is for everything, norms too.
    optimizer=dict(type='AdamW', lr=4e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    # 4e-5 for all under `backbone`, FERMT's new Dual Attention Unit included, as published.
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
auto_scale_lr = dict(base_batch_size=128)  # 4 GPUs x 32
