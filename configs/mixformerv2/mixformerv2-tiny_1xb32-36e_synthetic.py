# needs: python tools/render_sequences.py --out data/synthetic-easy --train 2000 --train-frames 20 \
#            --size 256 192 --seed 1 --difficulty easy --workers 2
#        python tools/render_sequences.py --out data/synthetic-medium --train 4000 \
#            --train-frames 20 --size 256 192 --seed 2 --difficulty medium --workers 2
# makes: work_dirs/mixformerv2-tiny_1xb32-36e_synthetic/epoch_36.pth
# run:   python tools/train.py configs/mixformerv2/mixformerv2-tiny_1xb32-36e_synthetic.py
#
# From scratch, without MAE weights and without a teacher. The token head alone would stay at the
# mean box: `loss_edge` gives every bin a gradient, and the auxiliary, which is dropped after
# training, teaches the search tokens where the corners are and the prediction tokens where to look.
_base_ = ['../_base_/models/mixformerv2-tiny.py', '../_base_/default_runtime.py']

model = dict(
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
        loss_edge=dict(type='EdgeDistributionLoss', loss_weight=1.0),
    ),
    auxiliary=dict(type='DenseGuidance', in_channels=128, cells=4),
)

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
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
                template_size=40,
                search_size=72,
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

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=36)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0, norm_type=2),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        convert_to_iter_based=True,
        begin=0,
        end=36,
        T_max=36,
        eta_min=1e-5,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
