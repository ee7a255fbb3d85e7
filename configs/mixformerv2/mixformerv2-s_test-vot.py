# needs: make vot; checkpoints/mixformerv2-s.pth, converted by
#        tools/model_converters/convert_checkpoint.py
# makes: a tracker for the VOT toolkit, which downloads the data and scores it; see docs/vot.md
# run:   python tools/vot/workspace.py work_dirs/vot2022 vot2022/shorttermbox \
#            configs/mixformerv2/mixformerv2-s_test-vot.py checkpoints/mixformerv2-s.pth
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/default_runtime.py',
]

# VOT20 in the released yaml `224_depth4_mlp1_score`; VOT22STB in the code's defaults.
model = dict(test_cfg=dict(update_interval=10))
