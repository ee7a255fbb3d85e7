# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixformerv2-b_st1-dense-to-sparse/epoch_500.pth
# makes: work_dirs/mixformerv2-b_st2-deep-to-shallow/epoch_500.pth: 8 layers, no score head
# run:   bash tools/dist_train.sh configs/mixformerv2/mixformerv2-b_st2-deep-to-shallow.py 8
#
# Deep to shallow: layers 0, 3, 6 and 9 of 12 fade out within 40 epochs and are removed; the model
# of 12 layers teaches the last layer of every three.
_base_ = [
    '../_base_/models/mixformerv2-b.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-b_st1-dense-to-sparse/epoch_500.pth'
model = dict(
    type='DistillationSOT',
    backbone=dict(depth=12),
    score_head=None,
    teacher='{{ fileDirname }}/mixformerv2-b_st1-dense-to-sparse.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(2, 2), (5, 5), (8, 8), (11, 11)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
default_hooks = dict(
    checkpoint=dict(interval=5), depth_pruning=dict(**_base_.depth_pruning, layers=[0, 3, 6, 9])
)
