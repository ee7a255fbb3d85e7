# MVT at a size that two CPU cores train in half an hour: a search region of 128 and a template of
# 64 pixels, a third of the widths, a centre head of 8 x 8 cells.
_base_ = './mvt.py'

model = dict(
    backbone=dict(
        search_size=128,
        template_size=64,
        widths=[8, 8, 16, 32, 48],
        dims=[48, 64],
        expansion=2,
        depths=[1, 2],
        dropout=0.0,
    ),
    neck=dict(in_channels=48, out_channels=64, template_tokens=16),
    box_head=dict(in_channels=64, channels=64),
    test_cfg=dict(search_factor=3.5, clip_margin=4),
)
