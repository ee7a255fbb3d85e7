"""MixFormer's score prediction module: its published names and ours."""

from __future__ import annotations

from .layout import Rule, affine

# Its two readers of a memory, in the order in which the published lists hold them.
_READERS = ('read_box', 'read_template')


def score_prediction_rules(source: str, dims: int) -> dict[str, Rule]:
    """Rules of the published score prediction module.

    Args:
        source: What published names begin with: ``score_branch``, ``head.score_decoder_head``.
        dims: Token width of the features that it reads.

    Returns:
        Published names to rules whose targets begin with ``score_head.``.
    """
    square = (dims, dims)
    rules = {
        f'{source}.score_token': Rule('score_head.score_token', (1, 1, dims)),
        **affine(f'{source}.norm1', 'score_head.norm', (dims,)),
    }
    for index, reader in enumerate(_READERS):
        target = f'score_head.{reader}'
        rules.update(affine(f'{source}.proj_q.{index}', f'{target}.query', square))
        rules.update(affine(f'{source}.proj_k.{index}', f'{target}.key', square))
        rules.update(affine(f'{source}.proj_v.{index}', f'{target}.value', square))
        rules.update(affine(f'{source}.proj.{index}', f'{target}.proj', square))
        rules.update(affine(f'{source}.norm2.{index}', f'{target}.norm', (dims,)))
    for index, shape in enumerate((square, square, (1, dims))):
        layer = f'{source}.score_head.layers.{index}'
        rules.update(affine(layer, f'score_head.fc{index + 1}', shape))
    return rules
