# LaSOT, test set: 280 videos.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='LaSOTTestDataset',
        data_root='data/LaSOT_full/',
        ann_file='annotations/lasot_test_infos.txt',
        data_prefix=dict(
            img_path='LaSOTBenchmark',
            attributes='annos/att',  # optional; from LaSOT's evaluation toolkit
        ),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='lasot', outfile_prefix='results')
