# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# makes: work_dirs/micro_t1/epoch_4.pth
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_t1.py
#
# Tables 3a and 8a: one token, four MLPs, without distillation.
_base_ = './micro_t4.py'

model = dict(
    backbone=dict(num_prediction_tokens=1),
    box_head=dict(num_tokens=1, mlps='per_edge'),
)
