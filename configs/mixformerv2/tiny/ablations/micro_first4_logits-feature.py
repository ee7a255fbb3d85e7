# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/micro_first4_logits-feature/epoch_4.pth, 4 layers
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_first4_logits-feature.py
#
# Tables 3e and 8b: the first 4 layers of 6 to start from.
_base_ = './micro_skip4_logits-feature.py'

default_hooks = dict(shrink_parent=dict(keep_layers='first'))
