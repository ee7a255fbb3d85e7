# MixViT-tiny as a tracker, with its score prediction module.
_base_ = './mixvit-tiny.py'

model = dict(
    score_head=dict(_delete_=True, type='ScorePredictionModule', in_channels=128, num_heads=4)
)
