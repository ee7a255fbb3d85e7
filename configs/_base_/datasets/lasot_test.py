# LaSOT, test set: 280 videos. Layout and info file as in mmtrack.
_base_ = './sot_test.py'

data_root = 'data/LaSOT_full/'
test_dataloader = dict(
    dataset=dict(
        type='LaSOTDataset',
        data_root=data_root,
        ann_file='annotations/lasot_test_infos.txt',
        data_prefix=dict(img_path='LaSOTBenchmark'),
    )
)
# Frames without the target count as missed, not as precise: the rule of LaSOT's own toolkit.
test_evaluator = dict(type='SOTMetric', metric='OPE', metric_options=dict(only_eval_visible=True))
