# OTB100: 100 sequences from 98 videos.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='OTB100TestDataset',
        data_root='data/OTB100/',
        ann_file='annotations/otb100_infos.txt',
        data_prefix=dict(
            img_path='',
            attributes='anno/att',  # optional; from the benchmark's evaluation toolkit
        ),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='otb100', outfile_prefix='results')
