# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixformerv2-s_st2-mlp/epoch_500.pth
# makes: work_dirs/mixformerv2-s_st3-score/epoch_40.pth: MixFormerV2-S
# run:   bash tools/dist_train.sh configs/mixformerv2/mixformerv2-s_st3-score.py 8
#
# The score head alone, on positive and negative samples; everything else stays bit for bit.
_base_ = [
    '../_base_/models/mixformerv2-s.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_score_train.py',
    '../_base_/schedules/adamw_40e_score.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformerv2-s_st2-mlp/epoch_500.pth'
model = dict(losses=_base_.score_losses, trainable=['score_head'])
_base_.custom_hooks[0].update(allow_missing=['score_head'])
_base_.train_dataloader.dataset.pipeline[3].update(
    search_size=224, template_size=112, search_factor=4.5
)
default_hooks = dict(checkpoint=dict(interval=5))
