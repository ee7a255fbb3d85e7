# needs: python tools/render_sequences.py --out data/synthetic-easy --train 400 --train-frames 20 \
#            --size 256 192 --seed 1 --difficulty easy
#        python tools/render_sequences.py --out data/synthetic-medium --train 800 \
#            --train-frames 20 --size 256 192 --seed 2 --difficulty medium
# makes: work_dirs/fermt-tiny_1xb32-5e_synthetic/epoch_5.pth
# run:   python tools/train.py configs/fermt/fermt-tiny_1xb32-5e_synthetic.py
#
# FERMT with the centre head from scratch, in minutes on two CPU cores.
_base_ = [
    '../_base_/models/fermt-tiny.py',
    '../_base_/datasets/synthetic_micro_train.py',
    '../_base_/schedules/adamw_tiny_5e.py',
    '../_base_/default_runtime.py',
]

_base_.train_dataloader.dataset.pipeline[3].update(template_size=32, search_size=64, patch_size=8)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
