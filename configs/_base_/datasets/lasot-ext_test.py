# The extension of LaSOT: 150 videos of 15 classes that LaSOT does not have.
_base_ = './lasot_test.py'

test_dataloader = dict(
    dataset=dict(
        data_root='data/LaSOT_ext/',
        ann_file='annotations/lasot_ext_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
test_evaluator = dict(protocol='lasot_ext')
