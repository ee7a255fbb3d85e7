# MixFormer with the CvT-21 backbone: three stages of width 64, 192 and 384 with 1, 4 and 16 blocks,
# search 320, templates 128, plain corner head of 20 bins (16 pixels), score prediction module;
# released as `mixformer_cvt_online_22k`, 37,118,467 parameters with the batch norms' scale and
# shift (published: 37,459,499, with a classifier that nothing runs and without most of those).
# QuickGELU is what the weights were trained with. The port in MMTracking 0.x has the exact GELU:
# --cfg-options model.backbone.act_cfg.type=GELU gives its outputs.
_base_ = './mixformerv2-b.py'

model = dict(
    backbone=dict(_delete_=True, type='MixCvT', act_cfg=dict(type='QuickGELU')),
    box_head=dict(_delete_=True, type='CornerHead', in_channels=384, channels=384, design='plain'),
    score_head=dict(_delete_=True, type='ScorePredictionModule', in_channels=384, num_heads=6),
)
