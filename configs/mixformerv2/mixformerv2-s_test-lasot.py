# needs: data/LaSOT_full; checkpoints/mixformerv2-s.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformerv2-s_test-lasot/results.json: success, normalised
#        precision and precision on the 280 test videos of LaSOT
# run:   python tools/test.py configs/mixformerv2/mixformerv2-s_test-lasot.py \
#            checkpoints/mixformerv2-s.pth
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.4,  # published test script
        update_interval=200,  # released yaml `224_depth4_mlp1_score`
    )
)
