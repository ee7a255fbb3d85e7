# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}
# makes: work_dirs/fermt-corner_4xb32-300e_got10k-lasot-trackingnet-coco/epoch_300.pth
# run:   bash tools/dist_train.sh \
#            configs/fermt/fermt-corner_4xb32-300e_got10k-lasot-trackingnet-coco.py 4
#
# The training of fermt_4xb32-300e_got10k-lasot-trackingnet-coco.py with the corner head of the
# paper, which has no score map to learn.
_base_ = [
    '../_base_/models/fermt-corner.py',
    '../_base_/datasets/got10k-lasot-trackingnet-coco_center_train.py',
    '../_base_/schedules/adamw_300e.py',
    '../_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(interval=5))
