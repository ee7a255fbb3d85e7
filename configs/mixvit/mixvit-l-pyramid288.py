# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/mae_vit-l.pth, the MAE ViT-L weights
#        converted by tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixvit-l-pyramid288/epoch_500.pth, which tools/test.py measures on LaSOT
# run:   bash tools/dist_train.sh configs/mixvit/mixvit-l-pyramid288.py 8
#
# MixViT-L at the student's own sizes, 72 bins; not released.
_base_ = './mixvit-l-pyramid384.py'

model = dict(backbone=dict(search_size=288, template_size=128), test_cfg=dict(search_factor=4.5))
_base_.train_dataloader.dataset.pipeline[3].update(search_size=288, template_size=128)
