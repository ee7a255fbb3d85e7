# 5 epochs of AdamW at 1e-3, with 200 iterations of warm-up and a cosine: the tiny models.
_base_ = './adamw_micro_4e.py'

train_cfg = dict(max_epochs=5)
_base_.param_scheduler[0].update(end=200)
_base_.param_scheduler[1].update(end=5, T_max=5)
