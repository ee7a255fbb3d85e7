# needs: work_dirs/mixvit-micro_synthetic/epoch_20.pth
# makes: work_dirs/micro_t1-box/epoch_4.pth
# run:   python tools/train.py configs/mixformerv2/tiny/ablations/micro_t1-box.py
#
# Table 3a: one token regresses the box directly, without distillation.
_base_ = './micro_t1.py'

model = dict(box_head=dict(mlps='box'))
