"""What MMEngine's runner needs to train and test on current packages, with and without a GPU."""

from .chain import check_parents
from .checkpoint_adapter import CheckpointAdapterHook
from .checkpoint_loader import load_from_http, load_from_local
from .collate import stack_crops
from .cpu_distributed import CPUDistributedDataParallel, init_cpu_process_group
from .depth_pruning_hook import DepthPruningHook
from .finite_loss_hook import FiniteLossHook, NonFiniteError, stop_with
from .launching import (
    ConfigOptions,
    add_config_options,
    add_run_arguments,
    build_runner,
    check_test,
    check_training,
    leave_launcher,
    read_config,
    use_data_root,
    use_launcher,
    use_learning_rate_scaling,
    use_mixed_precision,
    use_restart,
    use_resume,
)
from .lock_step_loop import FailedSequence, LockStepTestLoop
from .optim_wrapper import BFloat16OptimWrapper
from .pending_gradients_hook import PendingGradientsHook
from .report_hook import ReportHook
from .result_folder_hook import EvaluationError, ResultFolderHook
from .resume import latest_checkpoint
from .safe_checkpoint_hook import SafeCheckpointHook
from .shrink_parent_hook import ShrinkParentHook
from .strict_load_hook import StrictLoadHook
from .train_seed_hook import TrainSeedHook
from .work_dir_lock import WorkDirLock

__all__ = [
    'BFloat16OptimWrapper',
    'CPUDistributedDataParallel',
    'CheckpointAdapterHook',
    'ConfigOptions',
    'DepthPruningHook',
    'EvaluationError',
    'FailedSequence',
    'FiniteLossHook',
    'LockStepTestLoop',
    'NonFiniteError',
    'PendingGradientsHook',
    'ReportHook',
    'ResultFolderHook',
    'SafeCheckpointHook',
    'ShrinkParentHook',
    'StrictLoadHook',
    'TrainSeedHook',
    'WorkDirLock',
    'add_config_options',
    'add_run_arguments',
    'build_runner',
    'check_parents',
    'check_test',
    'check_training',
    'init_cpu_process_group',
    'latest_checkpoint',
    'leave_launcher',
    'load_from_http',
    'load_from_local',
    'read_config',
    'stack_crops',
    'stop_with',
    'use_data_root',
    'use_launcher',
    'use_learning_rate_scaling',
    'use_mixed_precision',
    'use_restart',
    'use_resume',
]
