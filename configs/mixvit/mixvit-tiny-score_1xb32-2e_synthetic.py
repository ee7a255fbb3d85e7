# needs: work_dirs/mixvit-tiny_1xb32-5e_synthetic/epoch_5.pth
# makes: work_dirs/mixvit-tiny-score_1xb32-2e_synthetic/epoch_2.pth: MixViT-tiny with scores
# run:   python tools/train.py configs/mixvit/mixvit-tiny-score_1xb32-2e_synthetic.py
#
# The score prediction module alone, on positive and negative samples and their true boxes;
# everything else stays bit for bit.
_base_ = [
    '../_base_/models/mixvit-tiny_score.py',
    '../_base_/datasets/synthetic_micro_score_train.py',
    '../_base_/schedules/adamw_micro_4e.py',
    '../_base_/distillation/paper.py',
    '../_base_/default_runtime.py',
]

load_from = 'work_dirs/mixvit-tiny_1xb32-5e_synthetic/epoch_5.pth'
model = dict(losses=_base_.score_losses, trainable=['score_head'])
_base_.custom_hooks[0].update(allow_missing=['score_head'])

_base_.train_dataloader.dataset.pipeline[3].update(template_size=40, search_size=72, patch_size=8)
train_cfg = dict(max_epochs=2)
_base_.param_scheduler[1].update(end=2, T_max=2)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
