# UAV123: 123 videos. Layout and info file as in mmtrack.
_base_ = './sot_test.py'

data_root = 'data/UAV123/'
test_dataloader = dict(
    dataset=dict(
        type='UAV123Dataset',
        data_root=data_root,
        ann_file='annotations/uav123_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Its own rule: boxes that are NaN, where the target is hidden, count as precise.
test_evaluator = dict(type='SOTMetric', metric='OPE', metric_options=dict(only_eval_visible=False))
