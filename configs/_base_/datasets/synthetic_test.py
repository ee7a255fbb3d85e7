# Rendered sequences that no training has seen; tools/render_sequences.py --val makes them.
_base_ = './sot_test.py'

test_dataloader = dict(
    dataset=dict(
        type='AnnotatedGOT10kDataset',
        data_root='data/synthetic-test/',
        ann_file='annotations/got10k_val_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# Frames without a visible target count as missed, as in LaSOT's protocol.
test_evaluator = dict(type='BenchmarkMetric', protocol='folder', outfile_prefix='results')
