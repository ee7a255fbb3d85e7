# needs: python tools/render_sequences.py --out data/synthetic-test --val 20 --seed 3;
#        weights/mixvit-tiny-score_synthetic.pth, which is in the repository
# makes: work_dirs/mixvit-tiny-score_test-synthetic/results.json: success, normalised precision and
#        precision
# run:   python tools/test.py configs/mixvit/mixvit-tiny-score_test-synthetic.py \
#            weights/mixvit-tiny-score_synthetic.pth
_base_ = [
    '../_base_/models/mixvit-tiny_score.py',
    '../_base_/datasets/synthetic_test.py',
    '../_base_/default_runtime.py',
]
