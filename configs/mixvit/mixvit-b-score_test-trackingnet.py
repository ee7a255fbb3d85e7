# needs: data/TrackingNet; checkpoints/mixvit-b-score.pth, converted by
#        tools/model_converters/convert_checkpoint.py --keep-score
# makes: work_dirs/mixvit-b-score_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/mixvit/mixvit-b-score_test-trackingnet.py \
#            checkpoints/mixvit-b-score.pth
#
# Quoted by another paper, none by the authors: AUC 83.5, normalised precision 88.3, precision 82.0.
_base_ = [
    '../_base_/models/mixvit-b_score.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.5,  # released yaml
        num_online_templates=3,  # released yaml
        update_interval=25,  # released yaml
    )
)
