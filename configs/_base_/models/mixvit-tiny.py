# MixViT at the size of mixformerv2-tiny.py: the same backbone without prediction tokens, and a
# pyramid corner head of 36 bins of 2 pixels.
_base_ = './mixformerv2-tiny.py'

model = dict(
    backbone=dict(num_prediction_tokens=0),
    box_head=dict(_delete_=True, type='CornerHead', in_channels=128, channels=64, design='pyramid'),
    score_head=None,
    test_cfg=dict(confidence=None),  # calibrated for other weights
)
