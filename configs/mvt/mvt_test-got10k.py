# needs: data/GOT10k; checkpoints/mvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mvt_test-got10k/results.zip for the server of GOT-10k
# run:   python tools/test.py configs/mvt/mvt_test-got10k.py checkpoints/mvt.pth
#
# Published: AO 63.3, SR0.5 74.2, SR0.75 55.1.
_base_ = [
    '../_base_/models/mvt.py',
    '../_base_/datasets/got10k_test.py',
    '../_base_/default_runtime.py',
]
