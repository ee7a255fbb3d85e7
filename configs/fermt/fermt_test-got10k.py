# needs: data/GOT10k; checkpoints/fermt-got.pth, trained or converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/fermt_test-got10k/results.zip for the server of GOT-10k
# run:   python tools/test.py configs/fermt/fermt_test-got10k.py checkpoints/fermt-got.pth
#
# Weights trained on GOT-10k alone, as by fermt_4xb32-100e_got10k.py.
# Published: AO 69.6, SR 0.5 80.1, SR 0.75 63.2.
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/got10k_test.py',
    '../_base_/default_runtime.py',
]
