"""Training with a teacher (MixFormerV2, arXiv 2305.15896, section 3.3)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.runner import CheckpointLoader
from mmtrack.registry import MODELS
from torch import Tensor, nn

from ..engine.chain import missing_file
from ..engine.depth_pruning_hook import pruning_hooks, type_name
from ..engine.strict_load_hook import bare_weights, load_whole
from ..structures import BoxPrediction, Features, TemplateCache
from .losses.distillation_losses import resize_grid
from .part_checks import gives_edges, why_no_edges
from .tracker import TemplateSearchTracker

# What a training adds to the settings of a tracker.
_TRAINING_SETTINGS = (
    'teacher',
    'teacher_checkpoint',
    'layer_pairs',
    'distill_losses',
    'losses',
    'auxiliary',
    'trainable',
    'init_cfg',
)


def tracker_settings(cfg: Config) -> ConfigDict:
    """Settings of the plain tracker that the final checkpoint of a stage holds.

    Args:
        cfg: Config of a training stage, or of anything else with a ``model``. Where it prunes
            layers, the tracker has those that are left.
    """
    settings = deepcopy(cfg.model)
    settings.type = type_name(settings).replace('DistillationSOT', 'TemplateSearchTracker')
    for name in _TRAINING_SETTINGS:
        settings.pop(name, None)
    settings.backbone.pop('init_cfg', None)
    for pruning in pruning_hooks(cfg):
        gone = set(pruning['layers'])
        ratio = settings.backbone.get('mlp_ratio', 1.0)
        if not isinstance(ratio, (int, float)):
            settings.backbone.mlp_ratio = [r for i, r in enumerate(ratio) if i not in gone]
        settings.backbone.depth = settings.backbone.get('depth', 12) - len(gone)
    return settings


def teacher_settings(teacher: str | os.PathLike | dict) -> ConfigDict:
    """Settings of the tracker that teaches; a score head is never needed.

    Args:
        teacher: Path of a config file, or settings of a tracker. Of a training stage the plain
            tracker is taken that it ends with.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If it has no model.
    """
    if isinstance(teacher, (str, os.PathLike)):
        if not Path(teacher).is_file():
            raise FileNotFoundError(f'{teacher}, the config of the teacher, does not exist')
        config = Config.fromfile(teacher)
        if 'model' not in config:
            raise ValueError(f'{teacher}, the config of the teacher, has no model')
    else:
        config = Config(dict(model=teacher))
    settings = tracker_settings(config)
    settings.score_head = None
    return settings


class FrozenTeacher:
    """A trained tracker, out of reach of whatever collects the modules of a model.

    So it is in no optimizer, checkpoint, average of weights or gradient synchronisation, stays in
    evaluation mode, and copies of the student share it.

    Args:
        teacher: See :func:`teacher_settings`.
        checkpoint: The teacher's weights.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If the config has no model, or the checkpoint cannot be read or does not fit.
    """

    def __init__(self, teacher: str | os.PathLike | dict, checkpoint: str | os.PathLike) -> None:
        self.model: TemplateSearchTracker = MODELS.build(teacher_settings(teacher))
        if not checkpoint:
            raise ValueError('the teacher has no weights: set teacher_checkpoint')
        source = f'the teacher_checkpoint {checkpoint}'
        try:
            loaded = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu', logger='silent')
        except FileNotFoundError as error:
            message = missing_file('model.teacher_checkpoint', str(checkpoint))
            raise FileNotFoundError(message) from error
        weights = {
            name: value
            for name, value in bare_weights(loaded, source).items()
            if not name.startswith(('score_head.', 'auxiliary.'))
        }
        load_whole(self.model, weights, source=source)
        if bad := [n for n, value in self.model.state_dict().items() if not value.isfinite().all()]:
            raise ValueError(f'{source} has weights that are NaN or infinite: {", ".join(bad[:4])}')
        self.model.requires_grad_(False).eval()

    def __deepcopy__(self, memo: dict) -> FrozenTeacher:
        return self


@MODELS.register_module()
class DistillationSOT(TemplateSearchTracker):
    """A tracker that learns from a frozen teacher too.

    It *is* its student: names of weights, checkpoints and predictions are those of the plain
    :class:`TemplateSearchTracker` with the same settings. The teacher sees the same crops, resized
    to its own sizes, and what it says is resampled to the bins and the grid of the student.

    The total loss is that of Eq. 10: ``losses`` on the true box, plus the ``distill_losses``.

    Args:
        teacher: Path of a config file, or settings of a tracker; see :class:`FrozenTeacher`.
        teacher_checkpoint: The teacher's weights.
        layer_pairs: Pairs (block of the student, block of the teacher) whose outputs are compared,
            0-based or negative from the end. Blocks that are removed while training cannot be in a
            pair; the others keep theirs.
        distill_losses: ``loss_kl`` compares edge logits, as :class:`EdgeKLLoss`; ``loss_feature``
            compares the layers of ``layer_pairs``, as :class:`FeatureMimickingLoss`.
        **student: As for :class:`TemplateSearchTracker`.

    Raises:
        FileNotFoundError: If the teacher's config or weights do not exist.
        ValueError: If the weights do not fit the teacher, or teacher and student each other, or
            there is an auxiliary.
    """

    DISTILL_LOSSES = ('loss_kl', 'loss_feature')

    def __init__(
        self,
        *,
        teacher: str | os.PathLike | dict,
        teacher_checkpoint: str | os.PathLike,
        distill_losses: dict,
        layer_pairs: Sequence[tuple[int, int]] = (),
        **student,
    ) -> None:
        if student.get('auxiliary'):
            raise ValueError(
                'DistillationSOT takes no auxiliary: its weights would be in the checkpoint, which '
                'is to be that of the plain tracker.'
            )
        super().__init__(**student)
        self.distill_losses = nn.ModuleDict(
            {name: MODELS.build(loss) for name, loss in distill_losses.items() if loss}
        )
        self._teacher = FrozenTeacher(teacher, teacher_checkpoint)
        self.layer_pairs = self._check_pairs(layer_pairs)
        self._check_teacher()
        feature = self._feature_loss
        self.keep_search_layers |= feature is not None
        self.keep_template_layers |= feature is not None and feature.tokens == 'all'

    @property
    def teacher(self) -> TemplateSearchTracker:
        """The teacher, in evaluation mode, where the student is and in its precision."""
        model = self._teacher.model
        (own, other) = (next(module.parameters()) for module in (self, model))
        if (own.device, own.dtype) != (other.device, other.dtype):
            with torch.inference_mode(False):
                model.to(own.device, own.dtype)
        return model

    @property
    def _feature_loss(self) -> nn.Module | None:
        return dict(self.distill_losses.items()).get('loss_feature')

    def _check_pairs(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Pairs counted from zero."""
        checked, lists = [], (list, tuple)
        pairs = pairs or ()
        for model, name in ((self, 'student'), (self.teacher, 'teacher')):
            if pairs and not model.backbone.has_layers:
                raise ValueError(
                    f'layer_pairs compares layers, and the backbone of the {name}, '
                    f'{type(model.backbone).__name__}, has none of one width; leave out '
                    'layer_pairs and loss_feature.'
                )
        if not isinstance(pairs, lists) or not all(
            isinstance(pair, lists) and [type(index) for index in pair] == [int, int]
            for pair in pairs
        ):
            raise ValueError(
                f'layer_pairs is {pairs!r}, expected pairs (layer of the student, layer of the '
                'teacher), as [(2, 5), (3, 11)]'
            )
        for pair in pairs:
            for index, model, name in zip(pair, (self, self.teacher), ('student', 'teacher')):
                depth = len(model.backbone.blocks)
                if not -depth <= index < depth:
                    raise ValueError(
                        f'layer_pairs has {tuple(pair)}, but the {name} has {depth} layers: '
                        f'expected {-depth} to {depth - 1}.'
                    )
            student, teacher = pair
            depths = len(self.backbone.blocks), len(self.teacher.backbone.blocks)
            checked.append((student % depths[0], teacher % depths[1]))
        return checked

    def _check_teacher(self) -> None:
        names, feature = set(self.distill_losses), self._feature_loss
        if 'loss_score' in self.losses:
            raise ValueError('loss_score has no use for a teacher: train the score head without')
        if len({bool(m.data_preprocessor.channel_conversion) for m in (self, self.teacher)}) > 1:
            raise ValueError(
                'of student and teacher, one turns images from BGR to RGB and the other does not; '
                'both read the same crops, so bgr_to_rgb of their data_preprocessor has to agree.'
            )
        if not names or not names <= set(self.DISTILL_LOSSES):
            raise ValueError(
                f'distill_losses are {sorted(names)}, expected some of {self.DISTILL_LOSSES}'
            )
        if (feature is not None) != bool(self.layer_pairs):
            raise ValueError(
                f'layer_pairs has {len(self.layer_pairs)} pairs {"with" if feature else "without"}'
                ' a loss_feature; set both or none.'
            )
        if 'loss_kl' in names:
            for head, name in ((self.box_head, 'student'), (self.teacher.box_head, 'teacher')):
                if not gives_edges(head):
                    raise ValueError(
                        f"loss_kl compares edge distributions, and the {name}'s box head "
                        f'({why_no_edges(head)}) has none.'
                    )
        if feature is not None:
            self._check_features(feature)

    def _check_features(self, feature: nn.Module) -> None:
        own, other = self.backbone, self.teacher.backbone
        if own.embed_dims != other.embed_dims:
            raise ValueError(
                f'loss_feature compares tokens of one width, and the student has {own.embed_dims}, '
                f'the teacher {other.embed_dims}.'
            )
        if feature.tokens == 'all' and not (own.has_template_layers and other.has_template_layers):
            lacking = other if own.has_template_layers else own
            raise ValueError(
                "loss_feature with tokens='all' compares template tokens after every block, which "
                f"{type(lacking).__name__} does not keep; use tokens='search'."
            )
        if feature.tokens == 'all' and own.num_prediction_tokens != other.num_prediction_tokens:
            raise ValueError(
                "loss_feature with tokens='all' needs as many prediction tokens in the teacher "
                f'({other.num_prediction_tokens}) as in the student ({own.num_prediction_tokens}); '
                "use tokens='search'."
            )

    def remove_layers(self, layers: Sequence[int]) -> None:
        """Make the running student shallower; its pairs are numbered anew.

        Raises:
            ValueError: If a layer to remove is in a pair.
        """
        self.check_removal(layers)
        kept = [i for i in range(len(self.backbone.blocks)) if i not in set(layers)]
        self.layer_pairs = [(kept.index(own), other) for own, other in self.layer_pairs]
        super().remove_layers(layers)

    def check_removal(self, layers: Sequence[int]) -> None:
        """Refuse, too, to remove a layer that the teacher's features are compared with."""
        super().check_removal(layers)
        if used := sorted(set(layers) & {own for own, _ in self.layer_pairs}):
            raise ValueError(
                f"layer_pairs {self.layer_pairs} compares the student's layers {used}, which are "
                f'among those to be removed, {sorted(set(layers))}; pair layers that stay.'
            )

    def _box_losses(
        self,
        inputs: dict[str, Tensor],
        cache: TemplateCache,
        features: Features,
        prediction: BoxPrediction,
        targets: Tensor,
    ) -> dict[str, Tensor]:
        losses = super()._box_losses(inputs, cache, features, prediction, targets)
        teacher_cache, teacher_features, teacher_prediction = self._ask_teacher(inputs)
        if 'loss_kl' in self.distill_losses:
            # A clone: what was computed under inference mode cannot be kept for a gradient.
            logits = teacher_prediction.edge_logits.clone()
            losses['loss_kl'] = self.distill_losses['loss_kl'](prediction.edge_logits, logits)
        if self._feature_loss is not None:
            own = [self._layer(cache, features, i) for i, _ in self.layer_pairs]
            count, grid = inputs['img'].shape[1], features.search.shape[1]
            others = [
                self._teacher_layer(teacher_cache, teacher_features, i, count, grid)
                for _, i in self.layer_pairs
            ]
            losses['loss_feature'] = self._feature_loss(own, others)
        return losses

    @torch.inference_mode()
    def _ask_teacher(
        self, inputs: dict[str, Tensor]
    ) -> tuple[TemplateCache, Features, BoxPrediction]:
        backbone = self.teacher.eval().backbone
        templates = inputs['img'][:, : backbone.max_templates]
        resized = _resize(self._for_teacher(templates.flatten(0, 1)), backbone.template_size)
        templates = resized.unflatten(0, templates.shape[:2])
        search = _resize(self._for_teacher(inputs['search_img'][:, 0]), backbone.search_size)
        cache = backbone.encode_template(templates, out_layers=self.keep_template_layers)
        features = backbone.encode_search(search, cache, out_layers=self._feature_loss is not None)
        return cache, features, self.teacher.apply_heads(features)

    def _for_teacher(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, h, w)``, scaled as the teacher reads them instead of the student."""
        own, other = self.data_preprocessor, self.teacher.data_preprocessor
        if torch.equal(own.mean, other.mean) and torch.equal(own.std, other.std):
            return images
        return (images * own.std + (own.mean - other.mean)) / other.std

    def _layer(self, cache: TemplateCache, features: Features, index: int) -> Tensor:
        """The student's tokens that are compared, ``(N, tokens, C)``."""
        if self._feature_loss.tokens == 'search':
            return features.layers[index][:, : features.search.shape[1]]
        return torch.cat([cache.layers[index], features.layers[index]], dim=1)

    def _teacher_layer(
        self, cache: TemplateCache, features: Features, index: int, num_templates: int, grid: int
    ) -> Tensor:
        """The same tokens of the teacher, on the student's grid of as many search tokens."""
        layer, split = features.layers[index].clone(), features.search.shape[1]
        parts = [resize_grid(layer[:, :split], grid)]
        if self._feature_loss.tokens == 'all':
            templates = cache.layers[index].clone().unflatten(1, (num_templates, -1)).flatten(0, 1)
            templates = resize_grid(templates, self.backbone.template_pos_embed.shape[1])
            templates = templates.unflatten(0, (-1, num_templates)).flatten(1, 2)
            parts = [templates, *parts, layer[:, split:]]
        return torch.cat(parts, dim=1)


def _resize(images: Tensor, size: int) -> Tensor:
    """Square images ``(N, 3, s, s)`` at another size."""
    if images.shape[-1] == size:
        return images
    shrink = size < images.shape[-1]
    return F.interpolate(
        images, (size, size), mode='bilinear', align_corners=False, antialias=shrink
    )
