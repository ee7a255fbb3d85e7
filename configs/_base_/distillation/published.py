# The same as the code does it that the authors published (revision 1041438). To train so, let a
# stage inherit this file in the place of paper.py.
losses = dict(
    loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
    # No gradient turns an inverted box over; nothing to worry about from MAE weights.
    loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0, inverted='published'),
)
# The mean over the sides at weight 5 is 1.25 times the sum at weight 1.
dense_to_sparse = dict(loss_kl=dict(type='EdgeKLLoss', loss_weight=5.0, sides='mean'))
deep_to_shallow = dict(
    loss_kl=dict(type='EdgeKLLoss', loss_weight=5.0, sides='mean'),
    # One mean over pairs, templates and prediction tokens too.
    loss_feature=dict(type='FeatureMimickingLoss', loss_weight=0.2, pairs='mean', tokens='all'),
)
# Epochs are counted from 1 and one is added, each branch of a fading layer is scaled, and it does
# not train. The published code stops after 45 epochs, drops the layers from the file and starts
# anew for 500; here they leave the running training.
depth_pruning = dict(
    type='DepthPruningHook', horizon=40, by_epoch=True, offset=2, fade='branches', frozen=True
)
score_losses = dict(loss_score=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True))
