# needs: data/TrackingNet; checkpoints/mvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mvt_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/mvt/mvt_test-trackingnet.py checkpoints/mvt.pth
#
# Published: success 74.8, normalised precision 81.5, precision 71.9.
_base_ = [
    '../_base_/models/mvt.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]
