# needs: data/NfS; checkpoints/mvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mvt_test-nfs30/results.json: success, normalised precision and precision on the
#        100 videos of NfS at 30 frames/s
# run:   python tools/test.py configs/mvt/mvt_test-nfs30.py checkpoints/mvt.pth
#
# Published: success 60.3.
_base_ = [
    '../_base_/models/mvt.py',
    '../_base_/datasets/nfs30_test.py',
    '../_base_/default_runtime.py',
]
