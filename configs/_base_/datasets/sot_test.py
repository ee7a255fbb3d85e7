# What all test sets share: whole frames, in order, and the loop that tracks several sequences at
# once. More of them fill a GPU better: test_cfg.num_sequences=64.
test_dataloader = dict(
    batch_size=1,
    num_workers=2,  # threads that decode frames
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
test_cfg = dict(type='LockStepTestLoop', num_sequences=8)
