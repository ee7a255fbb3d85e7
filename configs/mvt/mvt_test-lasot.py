# needs: data/LaSOT_full; checkpoints/mvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mvt_test-lasot/results.json: success, normalised precision and precision on the
#        280 test videos of LaSOT
# run:   python tools/test.py configs/mvt/mvt_test-lasot.py checkpoints/mvt.pth
#
# Published: success 55.3.
_base_ = [
    '../_base_/models/mvt.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/default_runtime.py',
]
