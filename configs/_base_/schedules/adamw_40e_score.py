# 40 epochs of AdamW for the score head, the learning rate divided by 10 after 20, as the published
# code; the paper writes 50 epochs.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40)
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[20], gamma=0.1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
auto_scale_lr = dict(base_batch_size=256)  # 8 GPUs x 32
