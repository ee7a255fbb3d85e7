# The extension of LaSOT: 150 videos of 15 classes that LaSOT does not have.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='LaSOTTestDataset',
        data_root='data/LaSOT_ext/',
        ann_file='annotations/lasot_ext_infos.txt',
        data_prefix=dict(
            img_path='',
            attributes='annos/att',  # optional; from LaSOT's evaluation toolkit
        ),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='lasot_ext', outfile_prefix='results')
