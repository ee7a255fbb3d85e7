# needs: data/LaSOT_full; checkpoints/mixformer-cvt.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformer-cvt_test-lasot/results.json: success, normalised
#        precision and precision on the 280 test videos of LaSOT
# run:   python tools/test.py configs/mixformer_cvt/mixformer-cvt_test-lasot.py \
#            checkpoints/mixformer-cvt.pth
#
# Published: AUC 69.2, normalised precision 78.7, precision 74.7 (authors, in the paper of
# MixFormerV2). The port in MMTracking 0.x, with the exact GELU: 69.0, 79.6, 75.2.
_base_ = [
    '../_base_/models/mixformer-cvt.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.55,  # published command
        num_online_templates=2,  # released yaml
        update_interval=200,  # released yaml
    )
)
