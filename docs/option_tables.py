"""Writes ``docs/options.md``: every option of what configs name, from signatures and docstrings.

Run it after a change of either: ``python docs/option_tables.py``. A test compares.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from mmtrack_mixformerv2.tracking import TrackingSettings
from mmtrack_mixformerv2.tracking.confidence import ConfidenceModel, StatePolicy

PAGE = Path(__file__).with_name('options.md')
PACKAGE = 'mmtrack_mixformerv2'
REGISTRIES = [
    'MODELS',
    'DATASETS',
    'TRANSFORMS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'OPTIM_WRAPPERS',
    'MODEL_WRAPPERS',
]
# MMEngine passes these.
NOT_SET_BY_CONFIGS = {
    'self',
    'runner',
    'dataloader',
    'evaluator',
    'dataset',
    'samples',
    'module',
    'device_ids',
}

INTRO = """\
# Options of configs

What the `type` of a config may name, and what each takes. This page is written by
`python docs/option_tables.py` from the code; do not edit it. Settings that are not here belong to
[MMEngine](https://mmengine.readthedocs.io), which reads the configs: `train_cfg`, `optim_wrapper`,
`param_scheduler`, `default_hooks`, `env_cfg`, `randomness`.

Any setting may be changed on the command line: `--cfg-options model.test_cfg.update_interval=10`.
"""

# Heading, what stands below it, and the modules of the package whose classes follow.
GROUPS = [
    ('Models', 'The `type` of `model`, and its parts.', ('models',)),
    ('Losses', 'Entries of `model.losses` and `model.distill_losses`.', ('losses',)),
    (
        'Data sets',
        'Those for tests stand in `test_dataloader.dataset`, those for training in the list '
        '`train_dataloader.dataset.datasets`. All that read one benchmark or folder take, besides '
        'what is named here, `data_root` (its folder), `data_prefix` (`img_path`: where in it the '
        'frames are), `ann_file` (the info file; `FolderDataset` has none), `pipeline` and '
        "`test_mode`, as MMTracking's `BaseSOTDataset` does.",
        ('datasets',),
    ),
    ('Transforms', "Steps of a data set's `pipeline`.", ('datasets.transforms',)),
    (
        'Samplers and batches',
        '`train_dataloader.sampler` and `train_dataloader.collate_fn`.',
        ('datasets.sampler', 'engine.collate'),
    ),
    (
        'Tests',
        '`test_cfg` and `test_evaluator`.',
        ('engine.lock_step_loop', 'evaluation.metric'),
    ),
    (
        'Hooks',
        'Entries of `default_hooks` and `custom_hooks`. '
        '`configs/_base_/default_runtime.py` has those that every run should have.',
        ('engine',),
    ),
    (
        'Wrappers',
        'Of the optimizer (`optim_wrapper.type`) and of the model (`model_wrapper_cfg.type`). The '
        'tools choose them: `--amp`, and several processes without a GPU.',
        ('engine.optim_wrapper', 'engine.cpu_distributed'),
    ),
]
LOSSES = 'models.losses.'


def registered() -> dict[str, type]:
    """Classes and functions of this package in the registries of OpenMMLab, by name."""
    # Not above: this package, which makes mmtrack importable, has to come first.
    from mmengine import registry as of_mmengine
    from mmtrack import registry as of_mmtrack

    found = {}
    for registry in REGISTRIES:
        for source in (of_mmengine, of_mmtrack):
            for name, thing in getattr(getattr(source, registry, None), 'module_dict', {}).items():
                if thing.__module__.startswith(PACKAGE):
                    found[name] = thing
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def group_of(thing: type) -> str:
    """Heading under which a class stands: of the group with the longest fitting module name."""
    module = thing.__module__.removeprefix(f'{PACKAGE}.')
    if module.startswith(LOSSES):
        return 'Losses'
    fitting = [
        (len(part), heading)
        for heading, _, parts in GROUPS
        for part in parts
        if module == part or module.startswith(f'{part}.')
    ]
    if not fitting:
        raise ValueError(f'{thing.__module__}.{thing.__qualname__} fits no group; add it to GROUPS')
    return max(fitting)[1]


def as_markdown(text: str) -> str:
    """A text of a docstring in one line, without the roles of reStructuredText."""
    text = re.sub(r':\w+:`~?(?:[\w.]*\.)?([\w]+)`', r'`\1`', ' '.join(text.split()))
    return re.sub(r'``(.+?)``', r'`\1`', text).replace('|', '\\|').replace('**student', 'others')


def summary(thing: type) -> str:
    """What a docstring says before its first section."""
    text = re.split(
        r'^(?:Args|Attributes|Raises|Returns):$', inspect.getdoc(thing) or '', flags=re.M
    )
    lists = re.sub(r'\n(?=\s*[-*] )', '\n\n', text[0])
    parts = [part for part in re.split(r'\n[ \t]*\n', lists) if part.strip()]
    return '\n\n'.join(
        f'```text\n{inspect.cleandoc(part)}\n```'
        if before.endswith('::')
        else re.sub('::$', ':', as_markdown(part))
        for before, part in zip(['', *parts], parts)
    )


def described(thing: type, section: str = 'Args') -> dict[str, str]:
    """What a docstring says about each argument or attribute."""
    match = re.search(rf'^{section}:\n((?:    .*\n?|\n)+)', inspect.getdoc(thing) or '', re.M)
    entries = re.split(r'^    (?=\S)', match[1], flags=re.M)[1:] if match else []
    pairs = (entry.partition(':')[::2] for entry in entries)
    return {
        name: as_markdown(text)
        for names, text in pairs
        for name in re.sub(r'\(.*\)', '', names).replace('*', '').replace(' ', '').split(',')
    }


def parameters(thing: type) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each option, those of base classes of ours included."""
    seen = set(NOT_SET_BY_CONFIGS)
    bases = thing.__mro__ if inspect.isclass(thing) else [thing]
    for base in bases:
        own = '__init__' in vars(base) if inspect.isclass(thing) else True
        if not base.__module__.startswith(PACKAGE) or not own:
            continue
        texts = {}
        for other in reversed(bases[: bases.index(base) + 1]):
            texts |= described(other)
        signature = inspect.signature(base.__init__ if inspect.isclass(thing) else base)
        open_end = False
        for name, parameter in signature.parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                open_end = True
            elif name not in seen:
                seen.add(name)
                yield name, shown(parameter.default), texts.get(name, '')
        if not open_end:
            return


def shown(default: object) -> str:
    """A default as a config would write it."""
    if default is inspect.Parameter.empty:
        return 'required'
    return f'`{default!r}`'.replace('|', '\\|')


def settings(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each field of a dataclass."""
    texts = described(kind, 'Attributes')
    for field in dataclasses.fields(kind):
        yield field.name, shown(field.default), texts.get(field.name, '')


def table(rows: list[tuple[str, str, str]]) -> list[str]:
    """The options in Markdown."""
    if not rows:
        return ['No options.', '']
    lines = [f'| `{name}` | {default} | {text} |' for name, default, text in rows]
    return ['| option | default | |', '|---|---|---|', *lines, '']


def page() -> str:
    """The whole page."""
    lines = [INTRO]
    things = registered()
    for heading, text, _ in GROUPS:
        lines += [f'## {heading}', '', text, '']
        for name, thing in things.items():
            if group_of(thing) == heading:
                lines += [f'### {name}', '', summary(thing), '', *table(list(parameters(thing)))]
        if heading == 'Models':
            lines += test_settings()
    return '\n'.join(lines).rstrip() + '\n'


def test_settings() -> list[str]:
    """What ``model.test_cfg`` takes."""
    lines = ['### model.test_cfg', '', summary(TrackingSettings), '']
    lines += table(list(settings(TrackingSettings)))
    for name, kind in (('confidence', ConfidenceModel), ('policy', StatePolicy)):
        lines += [f'### model.test_cfg.{name}', '', summary(kind), '', *table(list(settings(kind)))]
    return lines


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
    print(f'written: {PAGE}')
