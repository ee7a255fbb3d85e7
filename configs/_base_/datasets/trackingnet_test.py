# TrackingNet, test set: 511 videos, whose boxes only the evaluation server has.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='TrackingNetTestDataset',
        data_root='data/TrackingNet/',
        ann_file='annotations/trackingnet_test_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Writes results.zip into the work directory.
test_evaluator = dict(type='BenchmarkMetric', protocol='trackingnet', outfile_prefix='results')
