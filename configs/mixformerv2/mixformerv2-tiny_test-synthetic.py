# needs: python tools/render_sequences.py --out data/synthetic-test --val 20 --seed 3;
#        weights/mixformerv2-tiny_synthetic.pth, which is in the repository
# makes: work_dirs/mixformerv2-tiny_test-synthetic/results.json: success, normalised
#        precision and precision
# run:   python tools/test.py configs/mixformerv2/mixformerv2-tiny_test-synthetic.py \
#            weights/mixformerv2-tiny_synthetic.pth
_base_ = [
    '../_base_/models/mixformerv2-tiny.py',
    '../_base_/datasets/synthetic_test.py',
    '../_base_/default_runtime.py',
]
