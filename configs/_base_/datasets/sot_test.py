# What all test sets share: whole frames, one at a time and in order, and the success plot.
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='VideoSampler'),
    dataset=dict(
        pipeline=[
            dict(type='LoadFrame'),
            dict(type='LoadTrackAnnotations', with_instance_id=False),
            dict(type='PackTrackInputs', pack_single_img=True),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
