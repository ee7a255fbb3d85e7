# FERMT with the corner head that its paper draws, without the reweighting of features, which is
# not defined and not published: 16 bins of 16 pixels, no score, so no window. 7,209,864 parameters:
# with the tensors that the published model has and never uses, 7,247,880.
_base_ = './fermt.py'

model = dict(
    box_head=dict(_delete_=True, type='CornerHead', in_channels=192, channels=256, design='plain'),
    losses=dict(
        _delete_=True,
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
)
