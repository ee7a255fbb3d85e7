# TrackingNet, test set: 511 videos, whose boxes only the evaluation server has.
_base_ = './sot_test.py'

data_root = 'data/TrackingNet/'
test_dataloader = dict(
    dataset=dict(
        type='TrackingNetDataset',
        data_root=data_root,
        ann_file='annotations/trackingnet_test_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Writes outfile_prefix + '.zip' and deletes the folder outfile_prefix; each config names its own.
test_evaluator = dict(
    type='SOTMetric', format_only=True, metric_options=dict(dataset_type='trackingnet')
)
