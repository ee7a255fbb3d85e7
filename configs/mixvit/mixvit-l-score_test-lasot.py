# needs: data/LaSOT_full; checkpoints/mixvit-l-score.pth, converted by
#        tools/model_converters/convert_checkpoint.py --keep-score
# makes: work_dirs/mixvit-l-score_test-lasot/results.json: success, normalised
#        precision and precision on the 280 test videos of LaSOT
# run:   python tools/test.py configs/mixvit/mixvit-l-score_test-lasot.py \
#            checkpoints/mixvit-l-score.pth
#
# Published: normalised precision 82.2. Quoted by another paper: AUC 72.4, precision 80.1.
_base_ = [
    '../_base_/models/mixvit-l_score.py',
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
