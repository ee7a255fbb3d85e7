# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixvit-l-pyramid384/epoch_500.pth (configs/mixvit/mixvit-l-pyramid384.py, or its
#        header); checkpoints/mae_vit-b.pth, the converted MAE ViT-B weights
# makes: work_dirs/mixformerv2-b_st1-dense-to-sparse/epoch_500.pth: 12 layers, no score head
# run:   bash tools/dist_train.sh configs/mixformerv2/mixformerv2-b_st1-dense-to-sparse.py 8
#
# Dense to sparse: the marginals of the teacher's corner maps teach four tokens. Both have 96 bins,
# as the released models; the teacher sees the same crops at 384.
_base_ = [
    '../_base_/models/mixformerv2-b.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_train.py',
    '../_base_/schedules/adamw_500e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='DistillationSOT',
    backbone=dict(
        depth=12,
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/mae_vit-b.pth', prefix='backbone.'
        ),
    ),
    score_head=None,
    teacher='{{ fileDirname }}/../mixvit/mixvit-l-pyramid384.py',
    teacher_checkpoint='work_dirs/mixvit-l-pyramid384/epoch_500.pth',
    losses=_base_.losses,
    distill_losses=_base_.dense_to_sparse,
)
default_hooks = dict(checkpoint=dict(interval=5))
