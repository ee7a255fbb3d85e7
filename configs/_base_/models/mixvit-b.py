# MixViT-B, a teacher of MixFormerV2: 12 layers without prediction tokens, search 288, templates
# 128, pyramid corner head of 72 bins (4 pixels). The released model without its score prediction
# module and without the tensors that it inherits and never uses; 97,481,294 parameters.
_base_ = './mixformerv2-b.py'

model = dict(
    backbone=dict(depth=12, num_prediction_tokens=0),
    box_head=dict(
        _delete_=True, type='CornerHead', in_channels=768, channels=384, design='pyramid'
    ),
    score_head=None,  # so the online template stays a copy of the first
)
