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
# Writes outfile_prefix + '.zip' and deletes the folder outfile_prefix; each config names its own.
test_evaluator = dict(
    type='SOTMetric', format_only=True, metric_options=dict(dataset_type='got10k')
)
