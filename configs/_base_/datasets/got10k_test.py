# GOT-10k, test set: 180 videos, whose boxes only the evaluation server has.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='GOT10kTestDataset',
        data_root='data/GOT10k/',
        ann_file='annotations/got10k_test_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Writes results.zip into the work directory.
test_evaluator = dict(type='BenchmarkMetric', protocol='got10k_test', outfile_prefix='results')
