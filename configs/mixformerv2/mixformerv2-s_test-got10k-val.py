# needs: data/GOT10k; checkpoints/mixformerv2-s.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixformerv2-s_test-got10k-val/results.json: AO, SR at 0.5 and at 0.75 on the
#        180 validation videos of GOT-10k
# run:   python tools/test.py configs/mixformerv2/mixformerv2-s_test-got10k-val.py \
#            checkpoints/mixformerv2-s.pth
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/datasets/got10k-val_test.py',
    '../_base_/default_runtime.py',
]

# As on the test set of GOT-10k.
model = dict(
    test_cfg=dict(
        search_factor=4.55,  # published test script
        update_interval=15,  # released yaml `224_depth4_mlp1_score`
    )
)
