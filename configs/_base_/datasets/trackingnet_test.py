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
# Writes boxes.zip into the work directory.
test_evaluator = dict(
    type='SOTMetric',
    format_only=True,
    outfile_prefix='boxes',
    metric_options=dict(dataset_type='trackingnet'),
)
