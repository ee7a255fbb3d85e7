# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# makes: work_dirs/micro_t4-per-edge/epoch_4.pth
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_t4-per-edge.py
#
# Table 8a: four tokens, an MLP for each, without distillation.
_base_ = './micro_t4.py'

model = dict(box_head=dict(mlps='per_edge'))
