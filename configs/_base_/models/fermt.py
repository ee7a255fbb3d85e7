# FERMT: ViT-Tiny with 12 heads, 6 blocks of mixed and 6 of cross attention behind a Dual Attention
# Unit, search 256, one template of 128, centre head. The paper draws a corner head; its 7.98 M
# parameters and 2.40 G multiply-adds are those of this published system. 8,040,843 parameters:
# with the tensors that the published model has and never uses, 8,078,859.
model = dict(
    type='TemplateSearchTracker',
    data_preprocessor=dict(
        type='CropDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='FERMTViT',
        search_size=256,
        template_size=128,
        patch_size=16,
        embed_dims=192,
        depth=12,
        num_heads=12,
        mlp_ratio=4.0,
        attention=['A2', 'A2', 'A2', 'A2', 'A2', 'A2', 'A5', 'A5', 'A5', 'A5', 'A5', 'A5'],
        dual_attention=True,
        drop_path_rate=0.1,
    ),
    box_head=dict(type='CenterHead', in_channels=192, channels=256),
    # The released `vit_tiny_ep300`; the paper's L_cls is the focal loss.
    losses=dict(
        loss_cls=dict(type='CenterFocalLoss', loss_weight=1.0, positive='peak'),
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(
        search_factor=4.0,
        template_factor=2.0,
        num_online_templates=0,
        clip_margin=10,
    ),
)
