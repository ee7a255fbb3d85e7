# The four training sets in equal shares, 60,000 samples per epoch; layouts and info files as in
# mmtrack. The sizes of the crops are those of MixFormerV2-B. The published code also computes the
# losses on 10,000 samples of GOT-10k's other 1,249 videos every 5 epochs; here nothing is validated
# while training.
got10k_root = 'data/GOT10k/'
lasot_root = 'data/LaSOT_full/'
trackingnet_root = 'data/TrackingNet/'
coco_root = 'data/coco/'

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,  # 234 iterations of 256 samples
    collate_fn=dict(type='stack_crops'),  # a batch is sent as two tensors
    sampler=dict(type='SampleKeySampler', samples_per_epoch=60000),
    dataset=dict(
        type='SampledTripletDataset',
        weights=[1, 1, 1, 1],
        num_templates=2,
        max_gap=200,
        datasets=[
            dict(
                type='GOT10kDataset',
                data_root=got10k_root,
                # Without the 1,000 videos that VOT also has; 7,086 are left.
                ann_file='annotations/got10k_train_vot_infos.txt',
                data_prefix=dict(img_path=''),
            ),
            dict(
                type='LaSOTDataset',
                data_root=lasot_root,
                ann_file='annotations/lasot_train_infos.txt',
                data_prefix=dict(img_path='LaSOTBenchmark'),
            ),
            dict(
                type='TrackingNetDataset',
                data_root=trackingnet_root,
                ann_file='annotations/trackingnet_train_infos.txt',
                data_prefix=dict(img_path=''),
                chunks_list=['all'],
            ),
            dict(
                type='SOTCocoDataset',
                data_root=coco_root,
                ann_file='annotations/instances_train2017.json',
                data_prefix=dict(img_path='train2017'),
            ),
        ],
        pipeline=[
            dict(type='LoadFrames'),
            dict(type='JointGrayscale', prob=0.05),
            dict(type='JointFlip', prob=0.5),
            dict(
                type='CropTemplatesAndSearch',
                template_size=128,
                search_size=288,
                template_factor=2.0,
                search_factor=5.0,  # 4.5 for S
                center_jitter=4.5,
                scale_jitter=0.5,
            ),
            dict(type='CropBrightness', low=0.8, high=1.2),
            dict(type='CropFlip', prob=0.5),
            dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=2),
        ],
    ),
)
