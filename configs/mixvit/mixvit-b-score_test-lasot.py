# needs: data/LaSOT_full; checkpoints/mixvit-b-score.pth, converted by
#        tools/model_converters/convert_checkpoint.py --keep-score
# makes: work_dirs/mixvit-b-score_test-lasot/results.json: success, normalised
#        precision and precision on the 280 test videos of LaSOT
# run:   python tools/test.py configs/mixvit/mixvit-b-score_test-lasot.py \
#            checkpoints/mixvit-b-score.pth
#
# Published: AUC 69.6 (paper of MixFormerV2). Quoted by another paper: normalised precision 79.9,
# precision 75.9.
_base_ = [
    '../_base_/models/mixvit-b_score.py',
    '../_base_/datasets/lasot_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=5.05,  # published command
        num_online_templates=2,  # released yaml
        update_interval=200,  # released yaml
    )
)
