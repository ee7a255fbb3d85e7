# The four training sets as FERMT is published: one template, a search region of factor 4 with less
# jitter. 468 iterations of 128 samples an epoch.
_base_ = './got10k-lasot-trackingnet-coco_train.py'

train_dataloader = dict(dataset=dict(num_templates=1, max_gap=199, min_visible=5))
_base_.train_dataloader.dataset.pipeline[3].update(
    search_size=256, search_factor=4.0, center_jitter=3.0, scale_jitter=0.25
)
_base_.train_dataloader.dataset.pipeline[-1].update(num_template_frames=1)
