# FERMT at a size that two CPU cores train in half an hour: patches of 8 pixels on a search region
# of 64 and a template of 32, width 96, 3 mixed and 3 cross layers with MLP ratio 2, a centre head
# of 8 x 8 cells.
_base_ = './fermt.py'

model = dict(
    backbone=dict(
        search_size=64,
        template_size=32,
        patch_size=8,
        embed_dims=96,
        depth=6,
        num_heads=6,
        mlp_ratio=2.0,
        attention=['A2'] * 3 + ['A5'] * 3,
        drop_path_rate=0.0,
    ),
    box_head=dict(in_channels=96, channels=64),
    test_cfg=dict(search_factor=3.5, clip_margin=4),
)
