# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/micro_direct2/epoch_4.pth, 2 layers
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_direct2.py
#
# Table 3i: 6 layers to 2 in one step; layers 0, 1, 3 and 4 fade out.
_base_ = '../mixformerv2-micro-b_st2.py'

default_hooks = dict(depth_pruning=dict(layers=[0, 1, 3, 4]))
