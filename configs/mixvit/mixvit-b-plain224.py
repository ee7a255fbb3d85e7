# needs: data/{GOT10k,LaSOT_full,TrackingNet,coco}; checkpoints/mae_vit-b.pth, the MAE ViT-B weights
#        converted by tools/model_converters/convert_checkpoint.py
# makes: work_dirs/mixvit-b-plain224/epoch_500.pth, which tools/test.py measures on LaSOT
# run:   bash tools/dist_train.sh configs/mixvit/mixvit-b-plain224.py 8
#
# The teacher that the paper of MixFormerV2 names for the small student: a plain corner head of 14
# bins (16 pixels). Nothing of it is published; templates of 112 are those of the student.
_base_ = './mixvit-b-pyramid288.py'

model = dict(
    backbone=dict(search_size=224, template_size=112),
    box_head=dict(design='plain'),
    test_cfg=dict(search_factor=4.5),
)
_base_.train_dataloader.dataset.pipeline[3].update(search_size=224, template_size=112)
