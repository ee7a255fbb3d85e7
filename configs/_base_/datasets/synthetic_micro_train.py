# Rendered sequences, cropped for the micro models; the headers of the configs say how to render
# them.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,  # small samples cost less to make than to send
    drop_last=True,
    collate_fn=dict(type='stack_crops'),  # a batch is sent as two tensors
    sampler=dict(type='SampleKeySampler', samples_per_epoch=12000),
    dataset=dict(
        type='SampledTripletDataset',
        num_templates=1,
        weights=[1, 1],
        datasets=[
            dict(
                type='GOT10kDataset',
                data_root='data/synthetic-easy/',
                ann_file='annotations/got10k_train_infos.txt',
                data_prefix=dict(img_path=''),
            ),
            dict(
                type='GOT10kDataset',
                data_root='data/synthetic-medium/',
                ann_file='annotations/got10k_train_infos.txt',
                data_prefix=dict(img_path=''),
            ),
        ],
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='JointGrayscale', prob=0.05),
            dict(type='JointFlip', prob=0.5),
            dict(
                type='CropTemplatesAndSearch',
                template_size=32,
                search_size=64,
                patch_size=8,
                template_factor=2.0,
                search_factor=3.5,
                center_jitter=2.4,
                scale_jitter=0.25,
            ),
            dict(type='CropBrightness', low=0.8, high=1.2),
            dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
        ],
    ),
)
