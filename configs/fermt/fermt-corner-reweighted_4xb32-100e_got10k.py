# needs: data/GOT10k
# makes: work_dirs/fermt-corner-reweighted_4xb32-100e_got10k/epoch_100.pth
# run:   bash tools/dist_train.sh configs/fermt/fermt-corner-reweighted_4xb32-100e_got10k.py 4
#
# As fermt-corner_4xb32-100e_got10k.py, with features weighted by attention.
_base_ = './fermt-corner_4xb32-100e_got10k.py'

model = dict(neck=dict(type='AttentionReweightingNeck', in_channels=192))
