# MixFormerV2-S: 4 layers of the same width, MLP ratio 1, search 224, templates 112, 96 bins of
# 7/3 pixels; released as `224_depth4_mlp1_score`, 16,228,897 parameters.
_base_ = './mixformerv2-b.py'

model = dict(backbone=dict(search_size=224, template_size=112, depth=4, mlp_ratio=1.0))
