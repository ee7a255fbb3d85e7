custom_imports = dict(imports=['mmtrack_mixformerv2'], allow_failed_imports=False)
default_scope = 'mmtrack'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # A killed training loses nothing but what came after its last checkpoint.
    checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='TrackVisualizationHook', draw=False),
)
custom_hooks = [
    # A checkpoint that does not fit the model stops the run before its first iteration. A training
    # that starts from a part of a model names what may be absent: allow_missing=['score_head'].
    dict(type='StrictLoadHook'),
    # The results for an evaluation server never replace a folder or zip file that exists.
    dict(type='ResultFolderHook'),
    # A NaN or infinite loss stops the training, and names the samples.
    dict(type='FiniteLossHook'),
    # A checkpoint in the middle of an accumulated step is complete, too.
    dict(type='PendingGradientsHook'),
    # Random numbers of the model, such as drop path, are a function of (seed, iteration, process).
    dict(type='TrainSeedHook'),
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# Samples are a function of (seed, epoch, index), so a run can be repeated and resumed exactly.
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
# Named after the experiment: runners of one name would share its folder.
visualizer = dict(type='TrackLocalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
