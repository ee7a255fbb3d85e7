# MixViT-B as a tracker, with its score prediction module; released as `mixformer_vit_base_online`,
# 103,393,359 parameters (published: 104,311,151, with tensors that nothing reads).
_base_ = './mixvit-b.py'

model = dict(
    score_head=dict(_delete_=True, type='ScorePredictionModule', in_channels=768, num_heads=12)
)
