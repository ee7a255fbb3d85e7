# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixformerv2-b_st2-deep-to-shallow/epoch_500.pth
# makes: work_dirs/mixformerv2-s_st1-deep-to-shallow/epoch_500.pth: 4 layers, no score head
# run:   bash tools/dist_train.sh configs/mixformerv2/mixformerv2-s_st1-deep-to-shallow.py 8
#
# Deep to shallow again, now at 224: layers 0, 2, 4 and 6 of 8 fade out. The 8-layer model is the
# teacher, at its own 288; ShrinkParentHook recomputes the fixed position tables of its file.
# Nothing of the training of S is published; the paper names the steps.
_base_ = [
    '../_base_/models/mixformerv2-b.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-b_st2-deep-to-shallow/epoch_500.pth'
model = dict(
    type='DistillationSOT',
    backbone=dict(search_size=224, template_size=112),
    score_head=None,
    teacher='{{ fileDirname }}/mixformerv2-b_st2-deep-to-shallow.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(1, 1), (3, 3), (5, 5), (7, 7)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
_base_.train_dataloader.dataset.pipeline[3].update(
    search_size=224, template_size=112, search_factor=4.5
)
default_hooks = dict(
    checkpoint=dict(interval=5),
    depth_pruning=dict(**_base_.depth_pruning, layers=[0, 2, 4, 6]),
    shrink_parent=dict(type='ShrinkParentHook'),
)
