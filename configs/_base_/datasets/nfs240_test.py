# Need for Speed at 240 frames/s: 100 videos, all frames.
_base_ = './nfs30_test.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/nfs240_infos.txt'))
