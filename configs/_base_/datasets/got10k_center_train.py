# The training split of GOT-10k alone, all 9,335 videos, 60,000 pairs per epoch: one template and a
# later search frame. Crops, jitter and augmentation of MVT and FERMT. The published code also
# computes the losses on 10,000 pairs of other videos now and then; here nothing is validated while
# training.
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='stack_crops'),  # a batch is sent as two tensors
    sampler=dict(type='SampleKeySampler', samples_per_epoch=60000),
    dataset=dict(
        type='SampledTripletDataset',
        num_templates=1,
        max_gap=199,  # "max gap 200" of the published code leaves out the last one
        min_visible=5,
        datasets=[
            dict(
                type='GOT10kDataset',
                data_root='data/GOT10k/',
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
                template_size=128,
                search_size=256,
                template_factor=2.0,
                search_factor=4.0,
                center_jitter=3.0,
                scale_jitter=0.25,
            ),
            dict(type='CropBrightness', low=0.8, high=1.2),
            dict(type='CropFlip', prob=0.5),  # template and search on their own
            dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
        ],
    ),
)
