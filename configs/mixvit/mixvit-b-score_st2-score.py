# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; work_dirs/mixvit-b-pyramid288/epoch_500.pth
# makes: work_dirs/mixvit-b-score_st2-score/epoch_50.pth: MixViT-B with scores
# run:   bash tools/dist_train.sh configs/mixvit/mixvit-b-score_st2-score.py 8
#
# The second stage of MixViT: the score prediction module alone, on positive and negative samples
# and their true boxes; everything else stays bit for bit. Published: drop path stays active in this
# stage; here it does not, since parts that do not train are in evaluation mode.
_base_ = [
    '../_base_/models/mixvit-b_score.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_score_train.py',
    '../_base_/schedules/adamw_40e_score.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixvit-b-pyramid288/epoch_500.pth'
model = dict(losses=_base_.score_losses, trainable=['score_head'])
_base_.train_dataloader.dataset.pipeline[3].update(search_factor=4.5)
train_cfg = dict(max_epochs=50)
param_scheduler = dict(milestones=[40])
_base_.custom_hooks[0].update(allow_missing=['score_head'])
default_hooks = dict(checkpoint=dict(interval=5))
