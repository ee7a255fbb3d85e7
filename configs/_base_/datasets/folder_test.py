# Any folder of sequences: frames beside a groundtruth.txt, which has a box x,y,width,height for
# each frame or for the first one only. Nothing else is needed.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='FolderDataset',
        data_root='data/my-sequences/',
        data_prefix=dict(
            img_path='',
            attributes='attributes.csv',  # optional; lines of sequence,attribute,attribute,...
        ),
    )
)
# Frames without a box count as missed.
test_evaluator = dict(type='BenchmarkMetric', protocol='folder', outfile_prefix='results')
