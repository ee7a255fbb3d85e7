# needs: python tools/render_sequences.py --out data/synthetic-test --val 20 --seed 3;
#        weights/mvt-tiny_synthetic.pth, which is in the repository
# makes: work_dirs/mvt-tiny_test-synthetic/results.json: success, normalised precision and
#        precision
# run:   python tools/test.py configs/mvt/mvt-tiny_test-synthetic.py \
#            weights/mvt-tiny_synthetic.pth
_base_ = [
    '../_base_/models/mvt-tiny.py',
    '../_base_/datasets/synthetic_test.py',
    '../_base_/default_runtime.py',
]
