# needs: data/GOT10k
# makes: work_dirs/fermt_4xb32-100e_got10k/epoch_100.pth
# run:   bash tools/dist_train.sh configs/fermt/fermt_4xb32-100e_got10k.py 4
#
# What the figures on GOT-10k are measured with: its training set alone.
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/got10k_center_train.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]

# Published so; the training on four sets has 5.
model = dict(losses=dict(loss_l1=dict(loss_weight=0.0)))
train_cfg = dict(max_epochs=100)
param_scheduler = dict(milestones=[80])
default_hooks = dict(checkpoint=dict(interval=5))
