# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco};
#        work_dirs/mixformer-cvt_st1_8xb32-500e_got10k-lasot-trackingnet-coco/epoch_500.pth
# makes: work_dirs/mixformer-cvt_st2-score/epoch_30.pth: MixFormer-CvT
# run:   bash tools/dist_train.sh configs/mixformer_cvt/mixformer-cvt_st2-score.py 8
#
# The score prediction module alone, on positive and negative samples and their true boxes;
# everything else stays bit for bit. Published: drop path stays active in this stage; here it does
# not, since parts that do not train are in evaluation mode.
_base_ = [
    '../_base_/models/mixformer-cvt.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_score_train.py',
    '../_base_/schedules/adamw_40e_score.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixformer-cvt_st1_8xb32-500e_got10k-lasot-trackingnet-coco/epoch_500.pth'
model = dict(losses=_base_.score_losses, trainable=['score_head'])
_base_.train_dataloader.dataset.pipeline[3].update(search_size=320, search_factor=5.0)
train_cfg = dict(max_epochs=30)  # published for a backbone from ImageNet-22k; 40 for others
_base_.custom_hooks[0].update(allow_missing=['score_head'])
default_hooks = dict(checkpoint=dict(interval=5))
