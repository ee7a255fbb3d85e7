# needs: data/GOT10k; work_dirs/fermt-corner-reweighted_4xb32-100e_got10k/epoch_100.pth
# makes: work_dirs/fermt-corner-reweighted_test-got10k/results.zip for the server of GOT-10k
# run:   python tools/test.py configs/fermt/fermt-corner-reweighted_test-got10k.py \
#            work_dirs/fermt-corner-reweighted_4xb32-100e_got10k/epoch_100.pth
_base_ = [
    '../_base_/models/fermt-corner-reweighted.py',
    '../_base_/datasets/got10k_test.py',
    '../_base_/default_runtime.py',
]
