# needs: data/TrackingNet; checkpoints/fermt.pth, trained or converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/fermt_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/fermt/fermt_test-trackingnet.py checkpoints/fermt.pth
#
# Published: AUC 80.8, normalised precision 85.9, precision 78.1.
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]
