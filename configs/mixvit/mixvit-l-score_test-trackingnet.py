# needs: data/TrackingNet; checkpoints/mixvit-l-score.pth, converted by
#        tools/model_converters/convert_checkpoint.py --keep-score
# makes: work_dirs/mixvit-l-score_test-trackingnet/results.zip for the server of TrackingNet
# run:   python tools/test.py configs/mixvit/mixvit-l-score_test-trackingnet.py \
#            checkpoints/mixvit-l-score.pth
#
# Published: normalised precision 90.2. Quoted by another paper: AUC 85.4, precision 85.7.
_base_ = [
    '../_base_/models/mixvit-l_score.py',
    '../_base_/datasets/trackingnet_test.py',
    '../_base_/default_runtime.py',
]

model = dict(
    test_cfg=dict(
        search_factor=4.6,  # published command
        num_online_templates=2,  # released yaml
        update_interval=25,  # released yaml
    )
)
