# needs: data/TrackingNet; checkpoints/mixformer-cvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformer-cvt_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/mixformer_cvt/mixformer-cvt_test-trackingnet.py \
#            checkpoints/mixformer-cvt.pth
#
# Published: AUC 83.1, normalised precision 88.1, precision 81.6 (authors, in the paper of
# MixFormerV2). The port in MMTracking 0.x, with the exact GELU: 81.4, 86.8, 80.3.
_base_ = [
    '../_base_/models/mixformer-cvt.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.5,  # published command
        num_online_templates=1,  # released yaml
        update_interval=25,  # released yaml
    )
)
