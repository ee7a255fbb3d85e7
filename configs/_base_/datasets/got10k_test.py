# GOT-10k, test set: 180 videos, whose boxes only the evaluation server has.
_base_ = './sot_test.py'

data_root = 'data/GOT10k/'
test_dataloader = dict(
    dataset=dict(
        type='GOT10kDataset',
        data_root=data_root,
        ann_file='annotations/got10k_test_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Writes boxes.zip into the work directory.
test_evaluator = dict(
    type='SOTMetric',
    format_only=True,
    outfile_prefix='boxes',
    metric_options=dict(dataset_type='got10k'),
)
