# The teacher of mixformerv2-micro.py: the same backbone without prediction tokens, and a pyramid
# corner head of 32 bins.
_base_ = './mixformerv2-micro.py'

model = dict(
    backbone=dict(num_prediction_tokens=0),
    box_head=dict(_delete_=True, type='CornerHead', in_channels=64, channels=32, design='pyramid'),
)
