# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}
# makes: work_dirs/fermt_4xb32-300e_got10k-lasot-trackingnet-coco/epoch_300.pth
# run:   bash tools/dist_train.sh \
#            configs/fermt/fermt_4xb32-300e_got10k-lasot-trackingnet-coco.py 4
#
# The published training, but from random weights: the MAE ViT-Tiny that it starts from is not
# published. Converted by tools/model_converters/convert_checkpoint.py, such a file can be the
# model.backbone.init_cfg, as in configs/mixformerv2.
_base_ = [
    '../_base_/models/fermt.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_center_train.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=5))
