"""What the doctor says: findings, and the report that they make."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from ..version import __version__

_WIDTH = 88  # characters of a line of text
FORMAT = 1  # of the JSON document, see the package's docstring
TITLES = {
    'environment': 'Environment',
    'backends': 'What works',
    'checkpoint': 'Checkpoint',
    'dataset': 'Data set',
}


class Status(str, Enum):
    """How good or bad a finding is, the best first."""

    OK = 'ok'
    NOTE = 'note'  # neither good nor bad, e.g. an optional package that is not installed
    WARNING = 'warning'
    PROBLEM = 'problem'


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: A key of ``TITLES``.
        check: What was looked at, in lower case with dots, e.g. ``rule.numpy-1``; scripts may
            rely on it.
        status: How it is.
        message: For people: what was found, and what follows from it.
        remedy: A command or an action; '' if there is nothing to do.
        facts: Values for scripts.
    """

    section: str
    check: str
    status: Status
    message: str
    remedy: str = ''
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finding:
        """The inverse of :func:`dataclasses.asdict`, after JSON."""
        return cls(**{**values, 'status': Status(values['status'])})

    def lines(self) -> Iterable[str]:
        """The finding as text, the remedy below it."""
        wrapped = [
            line
            for one in self.message.splitlines()
            for line in textwrap.wrap(one, _WIDTH, break_long_words=False, break_on_hyphens=False)
        ]
        first, *rest = wrapped or ['']
        yield f'  {self.status.value:<8} {first}'
        yield from (f'  {"":<8} {line}' for line in rest)
        for number, line in enumerate(self.remedy.splitlines()):
            yield f'  {"":<8} {"->" if not number else "  "} {line}'


@dataclass
class Report:
    """All findings of one examination."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """The worst status; ``ok`` if there is nothing worse than a note."""
        for status in (Status.PROBLEM, Status.WARNING):
            if any(one.status is status for one in self.findings):
                return status
        return Status.OK

    @property
    def exit_code(self) -> int:
        """1 if there is a problem, else 0."""
        return int(self.status is Status.PROBLEM)

    def facts(self, section: str) -> dict[str, Any]:
        """The values for scripts of a section."""
        return {
            key: value
            for one in self.findings
            if one.section == section
            for key, value in one.facts.items()
        }

    def as_text(self) -> str:
        """Sections, findings with their remedies, and a line that sums up."""
        lines = []
        for section, title in TITLES.items():
            found = [one for one in self.findings if one.section == section]
            if found:
                lines += [title, *(line for one in found for line in one.lines()), '']
        return '\n'.join([*lines, self.summary()])

    def summary(self) -> str:
        """How many problems and warnings there are."""
        counts = [
            (sum(one.status is status for one in self.findings), status.value)
            for status in (Status.PROBLEM, Status.WARNING)
        ]
        named = [f'{count} {word}{"s" if count > 1 else ""}' for count, word in counts if count]
        return f'{" and ".join(named) if named else "no problem"} found'

    def as_json(self) -> str:
        """The document for scripts, see the package's docstring."""
        asked = {one.section for one in self.findings}
        document = {
            'format': FORMAT,
            'version': __version__,
            'status': self.status.value,
            'exit_code': self.exit_code,
            **{name: self.facts(name) if name in asked else None for name in TITLES},
            'findings': [
                {key: value for key, value in asdict(one).items() if key != 'facts'}
                for one in self.findings
            ],
        }
        return json.dumps(document, indent=1, ensure_ascii=False)
