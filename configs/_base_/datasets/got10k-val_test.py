# GOT-10k, validation set: 180 videos with all their boxes.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='AnnotatedGOT10kDataset',
        data_root='data/GOT10k/',
        ann_file='annotations/got10k_val_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='got10k', outfile_prefix='results')
