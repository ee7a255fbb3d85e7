"""Whether the parts of a tracker fit each other: found out before the first batch or frame."""

from __future__ import annotations

from torch import nn

from ..tracking import TrackingSettings


def gives_score(head: nn.Module) -> bool:
    """Whether a box head says itself how sure it is."""
    return getattr(head, 'gives_score', False)


def gives_map(head: nn.Module) -> bool:
    """Whether a box head finds the target in a score map, on which a window can be put."""
    return getattr(head, 'windowed', False)


def gives_edges(head: nn.Module) -> bool:
    """Whether a box head gives distributions of the edges."""
    return getattr(head, 'gives_edges', False)


def why_no_edges(head: nn.Module) -> str:
    """The head that gives none, in words."""
    return "mlps='box'" if getattr(head, 'direct', False) else f'type {type(head).__name__}'


def check_parts(model: nn.Module, settings: TrackingSettings) -> None:
    """Raise a ValueError if backbone, neck, heads and settings of a tracker do not fit."""
    if model.test_cfg['test_mode'] != 'OPE':
        raise ValueError(
            f"test_mode is {model.test_cfg['test_mode']!r}, expected 'OPE': the restarts of "
            'VOT2018 are not built in.'
        )
    width, source = model.backbone.embed_dims, 'the embed_dims of the backbone'
    if model.neck is not None:
        _check_width(model.neck, width, source)
        _check_template(model)
        width, source = model.neck.out_channels, 'the out_channels of the neck'
    for head in model.heads:
        _check_width(head, width, source)
    tokens = model.backbone.num_prediction_tokens
    wanted = getattr(model.box_head, 'num_tokens', tokens)
    if wanted != tokens or (getattr(model.score_head, 'needs_tokens', False) and tokens == 0):
        raise ValueError(
            f'the backbone has num_prediction_tokens={tokens}; the box head reads {wanted}'
            f'{", the score head at least 1" if model.score_head is not None else ""}.'
        )
    most, count = model.backbone.max_templates, settings.num_online_templates
    if most is not None and count >= most:
        raise ValueError(
            f'num_online_templates is {count}, but {type(model.backbone).__name__} sees {most} '
            f'template; set num_online_templates={most - 1} in test_cfg.'
        )


def _check_width(part: nn.Module, width: int, source: str) -> None:
    if part.in_channels != width:
        raise ValueError(
            f'{type(part).__name__} has in_channels={part.in_channels}, expected {width}, {source}.'
        )


def _check_template(model: nn.Module) -> None:
    """The template's tokens that the neck reads, and those that it leaves to the heads."""
    neck, backbone = model.neck, model.backbone
    wanted, count = getattr(neck, 'template_tokens', None), backbone.num_template_tokens
    if None not in (wanted, count) and wanted != count:
        raise ValueError(
            f'{type(neck).__name__} has template_tokens={wanted}, expected {count}, the tokens of '
            f'a template of {backbone.template_size} pixels in {type(backbone).__name__}.'
        )
    for head in model.heads:
        if getattr(head, 'reads_template', False) and not getattr(neck, 'gives_template', False):
            raise ValueError(
                f'{type(head).__name__} reads the tokens of the template, which '
                f'{type(neck).__name__} does not hand on; leave one of the two out.'
            )


def check_losses(model: nn.Module) -> None:
    """Raise a ValueError if the losses of a tracker, or what trains, do not fit its parts."""
    losses, head = model.losses, model.box_head
    if 'loss_edge' in losses and not gives_edges(head):
        raise ValueError(
            f'loss_edge needs edge distributions, and a box head with {why_no_edges(head)} has '
            'none.'
        )
    if 'loss_cls' in losses and not gives_map(head):
        raise ValueError(
            f'loss_cls needs a score map, and {type(head).__name__} has none; train it with '
            'loss_l1 and loss_iou.'
        )
    if 'loss_score' in losses and (len(losses) > 1 or model.score_head is None):
        raise ValueError(
            f'losses are {", ".join(losses)}; loss_score comes alone and needs a '
            'score_head, because its negative samples have no true box.'
        )
    if model.auxiliary is not None and not model.backbone.has_layers:
        raise ValueError(
            f'{type(model.auxiliary).__name__} guides the layers of the backbone, and '
            f'{type(model.backbone).__name__} has none of one width; leave out the auxiliary.'
        )
    children = dict(model.named_children())
    if unknown := [name for name in model.trainable or () if name not in children]:
        raise ValueError(
            f'trainable names {", ".join(unknown)}, expected some of {", ".join(children)}'
        )
