"""What a checkpoint is: its system and sizes, and which config fits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .findings import Finding, Status

if TYPE_CHECKING:
    from torch import Tensor

    from ..checkpoints import Conversion, TrackerSizes

PARTS = ('backbone.', 'neck.', 'box_head.', 'score_head.')
_GRAPHS = ('.onnx', '.xml', '.bin')


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was identified.

    Attributes:
        path: The file.
        sizes: Of the tracker.
        state_dict: Its weights by our names, converted if they were published ones.
    """

    path: Path
    sizes: TrackerSizes
    state_dict: Mapping[str, Tensor]

    @property
    def is_tracker(self) -> bool:
        """Whether it is a whole tracker, and no backbone to start a training from."""
        return self.sizes.is_tracker


@dataclass
class Identified:
    """What :func:`identify` found out.

    Attributes:
        weights: Of a checkpoint file that can be read.
        exported: Folder of an exported model.
        config: Its config, if the model zoo says which.
        findings: What there is to say.
    """

    weights: Weights | None = None
    exported: Path | None = None
    config: Path | None = None
    findings: list[Finding] = field(default_factory=list)

    def say(self, check: str, status: Status, text: str, remedy: str = '', **facts: Any) -> None:
        """Add a finding."""
        self.findings.append(Finding('checkpoint', check, status, text, remedy, facts))


def identify(source: str | os.PathLike) -> Identified:
    """Tell what a checkpoint is; needs torch for everything but exported models.

    Args:
        source: A file of weights, a folder of an exported model or a file in it, or a name of the
            model zoo, whose weights are fetched if need be.
    """
    found = Identified()
    path = _locate(source, found)
    if path is None:
        return found
    folder = path.parent if path.suffix in _GRAPHS else path
    if folder.is_dir():
        _identify_folder(folder, found)
    else:
        _identify_file(path, found)
    return found


def config_folder() -> Path | None:
    """Configs of the repository, or those that were installed with the package."""
    package = Path(__file__).resolve().parents[1]
    places = (package / '.mim' / 'configs', package.parent / 'configs')
    return next((place for place in places if (place / '_base_').is_dir()), None)


def fitting_configs(sizes: TrackerSizes) -> Iterator[Path]:
    """Configs whose tracker has these sizes, one test of a model first. Needs OpenMMLab.

    A tracker is built of each without memory for its weights, and measured.
    """
    import torch
    from mmengine.config import Config
    from mmtrack.registry import MODELS

    from ..checkpoints import measure
    from ..models.distillation import tracker_settings

    root = config_folder()
    paths = (root / sizes.family).rglob('*.py') if root else []
    known: dict[str, bool] = {}
    tested = set()  # models of which a test config was looked at: the others have the same model
    for path in sorted(paths, key=_preference):
        name, is_test, _ = path.stem.partition('_test-')
        if is_test and name in tested:
            continue
        tested |= {name} if is_test else set()
        try:
            settings = tracker_settings(Config.fromfile(path))
            key = repr({k: settings.get(k) for k in ('backbone', 'neck', 'box_head', 'score_head')})
            if key not in known and _differs(settings.backbone, sizes):
                known[key] = False
            if key not in known:
                with torch.device('meta'):
                    known[key] = _same(measure(MODELS.build(settings).state_dict()), sizes)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # a config without a tracker, or of one that this cannot measure
        if known[key]:
            yield path


def _differs(backbone: Mapping[str, Any], sizes: TrackerSizes) -> bool:
    """Whether settings that a config names are others; what it leaves out is not known."""
    numbers = {name: value for name, value in asdict(sizes).items() if type(value) is int}
    return any(backbone.get(name, value) != value for name, value in numbers.items())


def _preference(path: Path) -> tuple:
    name = path.stem
    place = next((i for i, mark in enumerate(('_test-folder', '_test-')) if mark in name), 2)
    return place, len(path.parts), path.as_posix()


def _same(one: TrackerSizes, other: TrackerSizes) -> bool:
    """Equal, but for MLP ratios that only differ by rounding."""
    if type(one) is not type(other):
        return False
    first, second = asdict(one), asdict(other)
    ratios = first.pop('mlp_ratios', ()), second.pop('mlp_ratios', ())
    close = len(ratios[0]) == len(ratios[1]) and all(
        abs(a - b) < 1 / one.embed_dims for a, b in zip(*ratios)
    )
    return first == second and close


def _locate(source: str | os.PathLike, found: Identified) -> Path | None:
    """The file or folder; a finding if there is none."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    try:
        from ..zoo import find_model, is_zoo_name, resolve_checkpoint

        resolved = resolve_checkpoint(str(source))
        if is_zoo_name(str(source)):
            found.config = find_model(str(source)).config
    except (ImportError, OSError, ValueError) as error:
        text = f'{source} is no file or folder here. As a model of the zoo: {error}'
        found.say('file', Status.PROBLEM, text, 'mixformerv2 download --list', path=str(source))
        return None
    if '://' in str(resolved):
        text = f'{source} is an address; download the file and give its path'
    elif not Path(resolved).exists():
        text = f'there is no file {resolved}'
    else:
        return Path(resolved)
    found.say('file', Status.PROBLEM, text, path=str(source))
    return None


def _identify_folder(folder: Path, found: Identified) -> None:
    from ..runtime import ExportedModelError
    from ..runtime.exported import find_graphs, find_kinds

    try:
        kinds = find_kinds(folder)
        graphs = {kind: find_graphs(folder, [kind]) for kind in kinds}
    except ExportedModelError as error:
        weights = sorted(folder.glob('*.pth'), key=lambda one: one.stat().st_mtime)
        remedy = f'mixformerv2 doctor {weights[-1]}' if weights else ''
        found.say('file', Status.PROBLEM, str(error), remedy, path=str(folder), kind='folder')
        return
    found.exported = folder
    names = [path.name for paths in graphs.values() for path in paths.values()]
    text = f'{folder} is an exported model: {", ".join(names)}; checksums agree'
    if not (folder / 'SHA256SUMS').is_file():
        text = text.replace('checksums agree', 'it has no checksums')
    found.say('file', Status.OK, text, path=str(folder), kind='exported', files=names)


def _identify_file(path: Path, found: Identified) -> None:
    try:
        from ..checkpoints import bare_names, convert_state_dict, name_weights, read_checkpoint
    except Exception as error:  # a broken torch raises OSError, RuntimeError or worse
        text = f'{path} cannot be read without torch: {error}'
        found.say('file', Status.PROBLEM, text, 'python -m pip install "torch>=2.6"')
        return
    facts = {'path': str(path), 'bytes': path.stat().st_size, 'sha256': _hash(path)}
    try:
        checkpoint = read_checkpoint(path)
    except (OSError, ValueError) as error:
        remedy = 'fetch or copy the file again, and compare its size and SHA-256 with the source'
        found.say('file', Status.PROBLEM, str(error), remedy, kind='unreadable', **facts)
        return
    state = bare_names(checkpoint.state_dict)
    numbers = sum(value.numel() for value in state.values())
    text = (
        f'{path} ({facts["bytes"] / 1e6:.1f} MB) is whole: {len(state)} tensors, {numbers:,} values'
    )
    found.say('file', Status.OK, text, **facts, tensors=len(state), values=numbers)
    if checkpoint.ignored:
        listed = ', '.join(checkpoint.ignored[:4])
        text = f'the file also names code ({listed}); it was not executed'
        found.say('code', Status.NOTE, text, ignored=list(checkpoint.ignored))
    _check_values(state, found)
    try:
        named = name_weights(state)
        if named is not None and named.converted:
            _accept_ours(path, state, found)
        else:
            conversion = convert_state_dict(state, keep_score=True)
            _accept_published(path, conversion, named.options, found)
    except ValueError as error:
        found.say('system', Status.PROBLEM, str(error), kind='unknown')


def _check_values(state: Mapping[str, Tensor], found: Identified) -> None:
    bad = [n for n, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        text = f'NaN or infinite values in {", ".join(bad[:4])} ({len(bad)} tensors)'
        remedy = 'take an earlier checkpoint of the training, or fetch the file again'
        found.say('values', Status.PROBLEM, text, remedy, not_finite=bad)


def _accept_ours(path: Path, state: Mapping[str, Tensor], found: Identified) -> None:
    from ..checkpoints import measure

    sizes = measure(state)
    tracker = {name: value for name, value in state.items() if name.startswith(PARTS)}
    others = sorted({name.partition('.')[0] for name in state if not name.startswith(PARTS)})
    facts = {'kind': 'toolbox', 'system': sizes.title, 'sizes': asdict(sizes)}
    text = f'a model of this toolbox: {sizes.title}, {sizes.details}'
    found.say('system', Status.OK, text, **facts)
    if others:
        found.say(
            'extras',
            Status.NOTE,
            f'it also holds what only a training needs: {", ".join(others)}',
            f'python tools/model_converters/publish_model.py {path} OUT (removes it)',
            extras=others,
        )
    found.weights = Weights(path, sizes, tracker)


def _accept_published(path: Path, conversion: Conversion, options: str, found: Identified) -> None:
    from ..checkpoints import conversion_command

    sizes = conversion.sizes
    facts = {'kind': 'published', 'system': conversion.system, 'sizes': asdict(sizes)}
    text = f'published weights of {sizes.title}: {sizes.details}'
    found.say('system', Status.OK, text, **facts)
    found.say(
        'convert',
        Status.NOTE,
        'published files are converted once before they are used',
        conversion_command(path, options),
        dropped=list(conversion.dropped),
    )
    for note in conversion.notes:
        found.say('note', Status.NOTE, note)
    found.weights = Weights(path, sizes, conversion.state_dict)


def _hash(path: Path) -> str:
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
