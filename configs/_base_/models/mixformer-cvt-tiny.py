# MixFormer (CvT) at a size that two CPU cores train in half an hour: a search region of 128 and
# templates of 64 pixels, widths 24, 48 and 96 with 1, 1 and 4 blocks, a corner head of 8 x 8
# cells, no score head: its only template is that of the first frame.
_base_ = './mixformer-cvt.py'

model = dict(
    backbone=dict(
        search_size=128,
        template_size=64,
        stage_dims=[24, 48, 96],
        num_heads=[1, 2, 4],
        depths=[1, 1, 4],
        mlp_ratio=2.0,
        drop_path_rates=[0.0, 0.0, 0.0],
    ),
    box_head=dict(in_channels=96, channels=64),
    score_head=None,
    test_cfg=dict(search_factor=3.5, num_online_templates=0, clip_margin=4),
)
