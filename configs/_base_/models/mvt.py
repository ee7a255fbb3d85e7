# MVT: MobileViT-S without its last stage, in which search region and template attend to each other,
# search 256, template 128, pixel-wise correlation, centre head of 16 x 16 cells; released as
# `mobilevit_256_128x1_got10k_ep100_cosine_annealing`, 5,480,405 parameters.
model = dict(
    type='TemplateSearchTracker',
    data_preprocessor=dict(
        type='CropDataPreprocessor',
        mean=[0.0, 0.0, 0.0],  # grey values are only divided by 255
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='SiamMobileViT',
        search_size=256,
        template_size=128,
        widths=[16, 32, 64, 96, 128],
        dims=[144, 192],
        depths=[2, 4],
        num_heads=4,
        expansion=4,
        dropout=0.1,
    ),
    neck=dict(type='PixelCorrelationNeck', in_channels=128, out_channels=256, template_tokens=64),
    box_head=dict(type='CenterHead', in_channels=256, channels=256),
    # Weights of the released system; the poster leaves them open.
    losses=dict(
        # Not CenterNet's: all cells above 0.1 are positive.
        loss_cls=dict(type='CenterFocalLoss', loss_weight=1.0, positive=0.1),
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    test_cfg=dict(
        search_factor=4.0,
        template_factor=2.0,
        num_online_templates=0,  # the template is never refreshed
        clip_margin=10,
    ),
)
