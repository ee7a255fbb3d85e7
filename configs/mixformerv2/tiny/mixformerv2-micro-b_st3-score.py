# needs: work_dirs/mixformerv2-micro-b_st2/epoch_4.pth
# makes: work_dirs/mixformerv2-micro-b_st3-score/epoch_2.pth, with a score head
# run:   python tools/train.py configs/mixformerv2/tiny/mixformerv2-micro-b_st3-score.py
#
# The score head alone, on positive and negative samples; everything else stays bit for bit.
_base_ = [
    '../../_base_/models/mixformerv2-micro.py',
    '../../_base_/datasets/synthetic_micro_score_train.py',
    '../../_base_/schedules/adamw_micro_4e.py',
    '../../_base_/distillation/paper.py',
    '../../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-micro-b_st2/epoch_4.pth'
model = dict(
    backbone=dict(depth=4),
    score_head=dict(_delete_=True, type='TokenScoreHead', in_channels=64),
    losses=_base_.score_losses,
    trainable=['score_head'],
)
_base_.custom_hooks[0].update(allow_missing=['score_head'])
train_cfg = dict(max_epochs=2)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
