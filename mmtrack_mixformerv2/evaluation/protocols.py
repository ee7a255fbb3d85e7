"""What each benchmark's own evaluation does, as far as the benchmarks differ.

Read from the evaluation that each benchmark publishes: the Matlab toolkits of OTB (2013), LaSOT and
TNL2K, the GOT-10k toolkit and the TrackingNet development kit. The authors of UAV123 and of NfS
evaluate with the toolkit of OTB.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal


@dataclass(frozen=True)
class Protocol:
    """How the results on a benchmark are scored and written.

    A frame that is *missed* is in no curve's numerator, but in the denominator. One that is
    *precise* is right in both precision curves, whatever the result, and missed in success.

    Attributes:
        name: Key in :data:`PROTOCOLS`, with the rules that were changed.
        title: As papers call the benchmark.
        kind: ``'ope'``: success, normalised precision and precision
            (:mod:`~mmtrack_mixformerv2.evaluation.ope`). ``'got10k'``: AO and SR
            (:mod:`~mmtrack_mixformerv2.evaluation.got10k`). ``'server'``: the boxes are not public
            and results go to the benchmark's server.
        unseen: What a frame is where the benchmark says that the target is not seen: ``'missed'``,
            or ``'counted'`` as any other. Here and below, for kind ``'ope'``.
        no_box: What a frame is where the target is said to be seen, but the annotation is NaN or
            its width or height is not positive: ``'precise'`` or ``'missed'``.
        positive_corner: Whether a frame whose annotated x or y is not positive is precise: these
            toolkits count pixels from 1.
        repeats_empty: Whether a result without area stands for the result of the frame before.
            Otherwise its overlap is 0.
        result_format: ``'plain'``: ``NAME.txt``, a line per frame. ``'got10k'``: a folder per
            sequence, with times. ``'trackingnet'``: ``NAME.txt``, zipped flat.
    """

    name: str
    title: str
    kind: Literal['ope', 'got10k', 'server'] = 'ope'
    unseen: Literal['missed', 'counted'] = 'missed'
    no_box: Literal['precise', 'missed'] = 'precise'
    positive_corner: bool = True
    repeats_empty: bool = True
    result_format: Literal['plain', 'got10k', 'trackingnet'] = 'plain'


# TNL2K marks unseen targets in files that do not come with its frames. Where they are not at hand,
# a frame without box is what they would name.
# The server of TrackingNet rounds boxes to whole pixels. Its success, precision and normalised
# precision are areas under the curves (overlaps 0 to 1, distances 0 to 50 px and 0 to 0.5) by the
# trapezoidal rule at 21 points each, not the values at 20 px and at 0.2.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol('lasot', 'LaSOT'),
        Protocol('lasot_ext', 'LaSOT_ext'),
        Protocol('tnl2k', 'TNL2K', no_box='missed'),
        Protocol('nfs', 'NfS', unseen='counted'),
        Protocol('otb100', 'OTB100', unseen='counted'),
        Protocol('uav123', 'UAV123', unseen='counted'),
        Protocol('got10k', 'GOT-10k val', kind='got10k', result_format='got10k'),
        Protocol('got10k_test', 'GOT-10k', kind='server', result_format='got10k'),
        Protocol('trackingnet', 'TrackingNet', kind='server', result_format='trackingnet'),
        Protocol('folder', 'folder', no_box='missed', positive_corner=False, repeats_empty=False),
    )
}


# Rules that a name may change, and what they can be.
_RULES: dict[str, dict[str, str | bool]] = {
    'unseen': {'missed': 'missed', 'counted': 'counted'},
    'no_box': {'missed': 'missed', 'precise': 'precise'},
    'positive_corner': {'True': True, 'False': False},
    'repeats_empty': {'True': True, 'False': False},
}


def get_protocol(name: str) -> Protocol:
    """The protocol of a benchmark.

    Args:
        name: A key of :data:`PROTOCOLS`. Rules that are to differ may follow, as in
            ``'lasot:positive_corner=False:repeats_empty=False'``.

    Raises:
        ValueError: If there is none of that name, or no such rule.
    """
    base, *changes = name.split(':')
    if base not in PROTOCOLS:
        raise ValueError(
            f'there is no protocol {base!r}; known are {", ".join(map(repr, PROTOCOLS))}. A data '
            "set of your own is scored by 'folder'"
        )
    protocol = PROTOCOLS[base]
    if changes and protocol.kind != 'ope':
        raise ValueError(f'the rules of {protocol.title} cannot be changed; got {name!r}')
    rules = {}
    for change in changes:
        rule, _, value = change.partition('=')
        if value not in _RULES.get(rule, ()):
            known = '; '.join(f'{known}={"|".join(values)}' for known, values in _RULES.items())
            raise ValueError(f'{change!r} in protocol {name!r} is no rule; these are: {known}')
        rules[rule] = _RULES[rule][value]
    return _changed(protocol, rules)


def _changed(protocol: Protocol, rules: dict[str, str | bool]) -> Protocol:
    """A protocol that says in its name and title what differs."""
    rules = {rule: value for rule, value in rules.items() if value != getattr(protocol, rule)}
    if not rules:
        return protocol
    # In the order of the fields: the same rules make the same name.
    shown = [f'{one.name}={rules[one.name]}' for one in fields(protocol) if one.name in rules]
    name, title = ':'.join([protocol.name, *shown]), f'{protocol.title} ({", ".join(shown)})'
    return replace(protocol, name=name, title=title, **rules)
