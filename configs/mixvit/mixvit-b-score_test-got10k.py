# needs: data/GOT10k; checkpoints/mixvit-b-score-got.pth, converted by
#        tools/model_converters/convert_checkpoint.py --keep-score
# makes: work_dirs/mixvit-b-score_test-got10k/results.zip for the server of GOT-10k
# run:   python tools/test.py configs/mixvit/mixvit-b-score_test-got10k.py \
#            checkpoints/mixvit-b-score-got.pth
#
# Weights trained on GOT-10k alone, `mixformer_vit_base_online_got`.
# Quoted by another paper, none by the authors: AO 72.5, SR 0.5 82.4, SR 0.75 69.9.
_base_ = [
    '../_base_/models/mixvit-b_score.py',
    '../_base_/datasets/got10k_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.5,  # released yaml
        num_online_templates=2,  # released yaml
        update_interval=200,  # released yaml
    )
)
