# needs: data/TrackingNet; checkpoints/mixformerv2-b.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformerv2-b_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/mixformerv2/mixformerv2-b_test-trackingnet.py \
#            checkpoints/mixformerv2-b.pth
_base_ = [
    '../_base_/models/mixformerv2-b.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=5.0,  # published test script
        update_interval=25,  # released yaml `288_depth8_score`
    )
)
