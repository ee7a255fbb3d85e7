# The chain of distillation at a size that two CPU cores train in minutes: search 64 and one
# template of 32 in patches of 8 pixels, width 64, 6 layers, MLP ratio 4, 32 bins of 2 pixels.
_base_ = './mixformerv2-b.py'

model = dict(
    backbone=dict(
        search_size=64,
        template_size=32,
        patch_size=8,
        embed_dims=64,
        depth=6,
        num_heads=2,
        mlp_ratio=4.0,
        drop_path_rate=0.0,
    ),
    box_head=dict(in_channels=64, num_bins=32),
    score_head=None,
    test_cfg=dict(search_factor=3.5, num_online_templates=0, clip_margin=4),
)
