# OTB100: 100 sequences. Layout and info file as in mmtrack.
_base_ = './sot_test.py'

data_root = 'data/OTB100/'
test_dataloader = dict(
    dataset=dict(
        type='OTB100Dataset',
        data_root=data_root,
        # Every path in it must begin with data/, e.g. data/Tiger1/img: mmtrack knows Board (5-digit
        # names) and Tiger1 (starts at frame 6) by the second part of the path. The copy in
        # mmtrack's tools/convert_datasets lacks data/.
        ann_file='annotations/otb100_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
test_evaluator = dict(type='SOTMetric', metric='OPE', metric_options=dict(only_eval_visible=False))
