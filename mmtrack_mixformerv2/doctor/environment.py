"""Which versions are installed, and which rules they break. Nothing is imported for it."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from types import ModuleType

from .findings import Finding, Status
from .rules import ABSENT, ANY, PACKAGES, RULES, SEVERAL, Rule

UNKNOWN = 'unknown'  # version of a module that no distribution claims

Versions = Mapping[str, Mapping[str, str]]  # package -> distribution -> version


def installed_versions() -> dict[str, dict[str, str]]:
    """Distributions and their versions of every entry of ``PACKAGES``, and ``python``.

    Read from their metadata, so that a broken package is found too. Empty for a package that is
    not installed; a module that belongs to no distribution has the version ``UNKNOWN``.
    """
    found = {'python': {'python': platform.python_version()}}
    for name, package in PACKAGES.items():
        versions = {one: v for one in package.distributions if (v := _version(one))}
        if not _has_module(package.module):
            versions = {}  # metadata of something that was removed by hand
        elif not versions:
            versions = {package.module: UNKNOWN}
        found[name] = versions
    return found


def describe_versions(versions: Versions) -> Finding:
    """The versions in one finding."""
    shown = [
        ' '.join([one, version] if version != UNKNOWN else [one])
        for name, installed in versions.items()
        if name != 'pkg_resources'
        for one, version in installed.items()
    ]
    flat = {
        name: next(iter(installed.values()), None)
        for name, installed in versions.items()
        if name != 'pkg_resources'
    }
    return Finding(
        'environment',
        'versions',
        Status.OK,
        ', '.join(shown),
        facts={
            'versions': flat,
            'distributions': {name: dict(one) for name, one in versions.items()},
            'platform': platform.platform(),
        },
    )


def broken_rules(versions: Versions, rules: Iterable[Rule] = RULES) -> list[Finding]:
    """A finding for every rule whose conditions all hold."""
    findings = []
    specifiers = _specifiers()
    if specifiers is None:
        findings.append(
            Finding(
                'environment',
                'packaging',
                Status.PROBLEM,
                'the package packaging is missing, so versions cannot be compared',
                'python -m pip install packaging',
            )
        )
    for rule in rules:
        if all(_holds(specifiers, versions[name], how) for name, how in rule.when.items()):
            named = [
                f'{one} {version}'
                for name, how in rule.when.items()
                if how != ABSENT and name != 'pkg_resources'
                for one, version in versions[name].items()
            ]
            missing = [f'no {name}' for name, how in rule.when.items() if how == ABSENT]
            findings.append(
                Finding(
                    'environment',
                    f'rule.{rule.name}',
                    rule.status,
                    f'{", ".join([*missing, *named])}: {rule.reason}',
                    rule.remedy,
                )
            )
    return findings


def examine_versions(versions: Versions | None = None) -> list[Finding]:
    """Versions, and every combination that is known to be bad."""
    versions = installed_versions() if versions is None else versions
    broken = broken_rules(versions)
    findings = [describe_versions(versions), *broken]
    if not any(one.status in (Status.WARNING, Status.PROBLEM) for one in broken):
        text = f'none of the {len(RULES)} combinations that are known to be bad'
        findings.append(Finding('environment', 'rules', Status.OK, text))
    return findings


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except Exception:  # not installed, or its metadata is damaged, in any way
        return None


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a finder that refuses, or a module without a spec
        return False


def _specifiers() -> ModuleType | None:
    """The module that compares versions, of its own package or as pip brings it."""
    for name in ('packaging.specifiers', 'pip._vendor.packaging.specifiers'):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _holds(specifiers: ModuleType | None, installed: Mapping[str, str], condition: str) -> bool:
    if condition == ABSENT:
        return not installed
    if condition == ANY:
        return bool(installed)
    if condition == SEVERAL:
        return len(installed) > 1
    if specifiers is None:
        return False
    wanted = specifiers.SpecifierSet(condition)
    known = [one for one in installed.values() if re.match(r'\d', one)]
    return any(wanted.contains(version, prereleases=True) for version in known)
