# needs: weights/mixformerv2-tiny_synthetic.pth, which is in the repository;
#        python tools/render_sequences.py --out data/synthetic-easy --train 400 --train-frames 20 \
#            --size 256 192 --seed 1 --difficulty easy
#        python tools/render_sequences.py --out data/synthetic-medium --train 800 \
#            --train-frames 20 --size 256 192 --seed 2 --difficulty medium
#        python tools/render_sequences.py --out data/synthetic-occlusion --train 800 \
#            --train-frames 24 --size 256 192 --seed 5 --difficulty occlusion
# makes: work_dirs/mixformerv2-tiny_score_synthetic/epoch_4.pth, with a score head
# run:   python tools/train.py configs/mixformerv2/mixformerv2-tiny_score_synthetic.py
#
# The score head alone, in minutes; everything else stays bit for bit. The weights in the repository
# already have one, from which this training goes on; for weights without one, as the training from
# scratch makes them, add --cfg-options load_from=PUBLISHED.pth. More sequences do no harm: the
# folders of the training from scratch can be used as they are.
_base_ = [
    '../_base_/models/mixformerv2-tiny.py',
    '../_base_/datasets/synthetic_micro_score_train.py',
    '../_base_/schedules/adamw_micro_4e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'weights/mixformerv2-tiny_synthetic.pth'
model = dict(losses=_base_.score_losses, trainable=['score_head'])
_base_.custom_hooks[0].update(allow_missing=['score_head'])

# Every sequence of preset `occlusion` hides its target for a while; such frames are cropped where a
# tracker would look, around the last box.
_base_.train_dataloader.dataset.update(weights=[1, 1, 2], hidden_box='last_seen')
_base_.train_dataloader.dataset.datasets.append(
    dict(
        type='GOT10kDataset',
        data_root='data/synthetic-occlusion/',
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )
)
# As in the training of the boxes.
_base_.train_dataloader.dataset.pipeline[3].update(template_size=40, search_size=72, patch_size=16)
