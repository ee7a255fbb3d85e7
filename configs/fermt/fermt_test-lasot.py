# needs: data/LaSOT_full; checkpoints/fermt.pth, trained or converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/fermt_test-lasot/results.json: success, normalised precision and precision on
#        the 280 test videos of LaSOT
# run:   python tools/test.py configs/fermt/fermt_test-lasot.py checkpoints/fermt.pth
#
# Published: AUC 65.1, normalised precision 74.6, precision 69.1.
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/default_runtime.py',
]
