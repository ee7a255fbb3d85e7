# needs: python tools/render_sequences.py --out data/synthetic-test --val 20 --seed 3;
#        weights/mixformer-cvt-tiny_synthetic.pth, which is in the repository
# makes: work_dirs/mixformer-cvt-tiny_test-synthetic/results.json: success, normalised precision and
#        precision
# run:   python tools/test.py configs/mixformer_cvt/mixformer-cvt-tiny_test-synthetic.py \
#            weights/mixformer-cvt-tiny_synthetic.pth
_base_ = [
    '../_base_/models/mixformer-cvt-tiny.py',
    '../_base_/datasets/synthetic_test.py',
    '../_base_/default_runtime.py',
]
