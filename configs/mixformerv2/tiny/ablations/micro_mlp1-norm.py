# needs: work_dirs/mixformerv2-micro-s_st1/epoch_4.pth
# makes: work_dirs/micro_mlp1-norm/epoch_4.pth, 2 layers with MLP ratio 1
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_mlp1-norm.py
#
# Table 3h: as ../mixformerv2-micro-s_st2-mlp.py, from the units of largest norm.
_base_ = '../mixformerv2-micro-s_st2-mlp.py'

default_hooks = dict(shrink_parent=dict(mlp_units='norm'))
