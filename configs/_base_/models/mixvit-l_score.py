# MixViT-L as a tracker, with its score prediction module; released as `mixformer_vit_large_online`,
# 328,973,135 parameters (published: 330,198,127, with tensors that nothing reads).
_base_ = './mixvit-l.py'

model = dict(
    score_head=dict(_delete_=True, type='ScorePredictionModule', in_channels=1024, num_heads=16)
)
