# UAV123: 123 sequences, cut from 91 videos.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='UAV123TestDataset',
        data_root='data/UAV123/',
        ann_file='annotations/uav123_infos.txt',
        data_prefix=dict(img_path='', attributes='anno/UAV123/att'),
    )
)
# Its own rule: frames without a box, where the target is hidden, count as precise.
test_evaluator = dict(type='BenchmarkMetric', protocol='uav123', outfile_prefix='results')
