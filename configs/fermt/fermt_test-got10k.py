# needs: data/GOT10k; checkpoints/fermt.pth, trained or converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/fermt_test-got10k/results.zip for the server of GOT-10k
# run:   python tools/test.py configs/fermt/fermt_test-got10k.py checkpoints/fermt.pth
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/got10k_test.py',
    '../_base_/default_runtime.py',
]
