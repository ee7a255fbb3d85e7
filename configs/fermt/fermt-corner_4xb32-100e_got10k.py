# needs: data/GOT10k
# makes: work_dirs/fermt-corner_4xb32-100e_got10k/epoch_100.pth
# run:   bash tools/dist_train.sh configs/fermt/fermt-corner_4xb32-100e_got10k.py 4
#
# The training set of GOT-10k alone, with the corner head of the paper. L1 keeps its weight
# of 5. The published training on GOT-10k has 0, but for the centre head, whose score map is learned
# too; of a corner head nothing but L1 and GIoU says where the box is.
_base_ = [
    '../_base_/models/fermt-corner.py',
    '../_base_/datasets/got10k_center_train.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]

train_cfg = dict(max_epochs=100)
param_scheduler = dict(milestones=[80])
default_hooks = dict(checkpoint=dict(interval=5))
