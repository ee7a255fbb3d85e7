# needs: work_dirs/mixformerv2-micro-b_st1/epoch_12.pth
# makes: work_dirs/micro_skip4_logits/epoch_4.pth, 4 layers
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_skip4_logits.py
#
# Table 3d: as micro_skip4.py, with the logits loss.
_base_ = './micro_skip4_logits-feature.py'

model = dict(distill_losses=dict(loss_feature=None), layer_pairs=[])
