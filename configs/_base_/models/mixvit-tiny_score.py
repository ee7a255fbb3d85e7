# MixViT-tiny as a tracker: its score prediction module chooses a second template every 10 frames.
_base_ = './mixvit-tiny.py'

model = dict(
    score_head=dict(_delete_=True, type='ScorePredictionModule', in_channels=128, num_heads=4),
    test_cfg=dict(num_online_templates=1, update_interval=10),
)
