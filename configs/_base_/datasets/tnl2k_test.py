# TNL2K, test set: 700 videos. The sentences that describe the targets are not used.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='TNL2KTestDataset',
        data_root='data/TNL2K/',
        ann_file='annotations/tnl2k_test_infos.txt',
        data_prefix=dict(
            img_path='',
            # Both from annos.tar.gz of TNL2K's evaluation toolkit. Its numbers need the first.
            absent='annos/absent',
            attributes='annos/att',
        ),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='tnl2k', outfile_prefix='results')
