# Need for Speed at 30 frames/s: 100 videos, an eighth of the frames.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='NfSTestDataset',
        data_root='data/NfS/',
        ann_file='annotations/nfs30_infos.txt',
        data_prefix=dict(
            img_path='',
            attributes='attributes.csv',  # optional; lines of sequence,attribute,attribute,...
        ),
    )
)
test_evaluator = dict(type='BenchmarkMetric', protocol='nfs', outfile_prefix='results')
