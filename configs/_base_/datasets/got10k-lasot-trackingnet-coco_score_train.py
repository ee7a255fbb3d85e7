# The score stage: half of the samples are negative, frames come in any order. Sets, crops and sizes
# (those of MixFormerV2-B) stay as in the stages before.
_base_ = './got10k-lasot-trackingnet-coco_train.py'

train_dataloader = dict(dataset=dict(type='ScoreTripletDataset', negative_prob=0.5))
