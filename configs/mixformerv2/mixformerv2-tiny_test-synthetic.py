# needs: python tools/render_sequences.py --out data/synthetic-test --val 20 --seed 3;
#        weights/mixformerv2-tiny_synthetic.pth, which is in the repository
# makes: success AUC, norm precision and precision on the screen and in work_dirs
# run:   python tools/test.py configs/mixformerv2/mixformerv2-tiny_test-synthetic.py \
#            weights/mixformerv2-tiny_synthetic.pth
_base_ = [
    '../_base_/models/mixformerv2-tiny.py',
    '../_base_/datasets/synthetic_test.py',
    '../_base_/default_runtime.py',
]
