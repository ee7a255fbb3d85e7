# MixViT-L: 24 layers of width 1024, search 384, templates 192, pyramid corner head of 96 bins (4
# pixels), as MixViT-B otherwise; 318,468,942 parameters.
_base_ = './mixvit-b.py'

model = dict(
    backbone=dict(search_size=384, template_size=192, embed_dims=1024, depth=24, num_heads=16),
    box_head=dict(in_channels=1024),
)
