# Losses and pruning as the paper writes them (sections 3.3 and 4.1; Eqs. 5, 6, 9 and 10). A stage
# picks what it needs, as losses=_base_.losses.
losses = dict(
    loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
    loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
)
dense_to_sparse = dict(loss_kl=dict(type='EdgeKLLoss', loss_weight=1.0, sides='sum'))
deep_to_shallow = dict(
    loss_kl=dict(type='EdgeKLLoss', loss_weight=1.0, sides='sum'),
    loss_feature=dict(type='FeatureMimickingLoss', loss_weight=0.2, pairs='sum', tokens='search'),
)
depth_pruning = dict(
    type='DepthPruningHook', horizon=40, by_epoch=True, offset=0, fade='residual', frozen=False
)
score_losses = dict(loss_score=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True))
