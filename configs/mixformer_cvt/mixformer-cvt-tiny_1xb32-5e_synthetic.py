# needs: python tools/render_sequences.py --out data/synthetic-easy --train 400 --train-frames 20 \
#            --size 256 192 --seed 1 --difficulty easy
#        python tools/render_sequences.py --out data/synthetic-medium --train 800 \
#            --train-frames 20 --size 256 192 --seed 2 --difficulty medium
# makes: work_dirs/mixformer-cvt-tiny_1xb32-5e_synthetic/epoch_5.pth
# run:   python tools/train.py configs/mixformer_cvt/mixformer-cvt-tiny_1xb32-5e_synthetic.py
#
# MixFormer (CvT) without its score prediction module from scratch, in minutes on two CPU cores.
_base_ = [
    '../_base_/models/mixformer-cvt-tiny.py',
    '../_base_/datasets/synthetic_micro_train.py',
    '../_base_/schedules/adamw_tiny_5e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    losses=dict(
        loss_l1=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='EdgeCIoULoss', loss_weight=2.0),
        # From scratch: every cell of the corner maps gets a gradient.
        loss_edge=dict(type='EdgeDistributionLoss', loss_weight=1.0),
    ),
)

_base_.train_dataloader.dataset.pipeline[3].update(template_size=64, search_size=128, patch_size=16)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
