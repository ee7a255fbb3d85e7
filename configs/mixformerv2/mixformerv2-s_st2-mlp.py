# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixformerv2-s_st1-deep-to-shallow/epoch_500.pth
# makes: work_dirs/mixformerv2-s_st2-mlp/epoch_500.pth: 4 layers, MLP ratio 1
# run:   bash tools/dist_train.sh configs/mixformerv2/mixformerv2-s_st2-mlp.py 8
#
# MLP reduction: starts from the first quarter of the hidden units, w[:d1, :d2], and learns from the
# model before.
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-s_st1-deep-to-shallow/epoch_500.pth'
model = dict(
    type='DistillationSOT',
    score_head=None,
    teacher='{{ fileDirname }}/mixformerv2-s_st1-deep-to-shallow.py',
    teacher_checkpoint=load_from,
    layer_pairs=[(0, 0), (1, 1), (2, 2), (3, 3)],
    losses=_base_.losses,
    distill_losses=_base_.deep_to_shallow,
)
_base_.train_dataloader.dataset.pipeline[3].update(
    search_size=224, template_size=112, search_factor=4.5
)
default_hooks = dict(
    checkpoint=dict(interval=5),
    shrink_parent=dict(type='ShrinkParentHook', mlp_units='first'),
)
