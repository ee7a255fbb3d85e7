# The score stage of the micro models: half of the samples are negative. Rendered targets hide in
# some frames of every twentieth sequence of medium difficulty; the other negative samples show the
# target of another sequence.
_base_ = './synthetic_micro_train.py'

train_dataloader = dict(dataset=dict(type='ScoreTripletDataset', negative_prob=0.5))
