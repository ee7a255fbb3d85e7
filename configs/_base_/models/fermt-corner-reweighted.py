# FERMT with the corner head that its paper draws, and with features weighted by attention. The
# paper does not define that weighting: AttentionReweightingNeck is an extension, with weights of
# nobody, which a training has to find.
_base_ = './fermt-corner.py'

model = dict(neck=dict(type='AttentionReweightingNeck', in_channels=192))
