"""Sigma rules read from files, folders and zip archives; those that cannot run here, with the reason.

The format is that of the Sigma specification 2 (https://sigmahq.io/sigma-specification/); it is read by pySigma.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.untrusted import escape_untrusted

MAX_RULE_FILE: Final = 1024**2
"""Bytes; SigmaHQ's largest rule has a tenth of that."""
MAX_RULE_FILES: Final = 50_000
LEVELS: Final = ("informational", "low", "medium", "high", "critical")
"""Of a rule, the least severe first."""


class _Loader(yaml.SafeLoader):
    """Without aliases: a few lines of them stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # Any: as of the library
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken")
        return super().compose_node(parent, index)


_SUFFIXES: Final = (".yml", ".yaml")


@dataclass(frozen=True, slots=True)
class DetectionRule:
    """One rule that pySigma could read."""

    file: str
    """Where it stands; inside an archive behind ``!``."""
    id: str
    """Its UUID; of a rule that has none its title."""
    title: str
    level: str
    """One of `LEVELS`; ``medium`` where the rule names none."""
    tags: tuple[str, ...]
    """E.g. ``attack.t1003.001``."""
    product: str | None
    service: str | None
    category: str | None
    parsed: SigmaRule

    @property
    def log_source(self) -> str:
        parts = (("product", self.product), ("category", self.category), ("service", self.service))
        return ", ".join(f"{name} {value}" for name, value in parts if value) or "none"


@dataclass(frozen=True, slots=True)
class RefusedRule:
    """A rule, or a file of rules, that cannot run here."""

    file: str
    title: str
    """Empty where the file cannot be read at all."""
    reason: str


@dataclass(frozen=True, slots=True)
class RuleSet:
    rules: tuple[DetectionRule, ...]
    refused: tuple[RefusedRule, ...]

    def of_level(self, least: str) -> RuleSet:
        """Those of this level and above."""
        rank = LEVELS.index(least)
        return RuleSet(tuple(one for one in self.rules if LEVELS.index(one.level) >= rank), self.refused)


def load_rules(paths: Sequence[Path]) -> RuleSet:
    """Every rule in these files, folders and zip archives; other files in them are left out.

    Raises `ConfigurationError` for a path that does not exist or holds no rule file.
    """
    rules: list[DetectionRule] = []
    refused: list[RefusedRule] = []
    files = 0
    for path in paths:
        for name, content in rule_files(path):
            files += 1
            for one in _read(name, content):
                if isinstance(one, DetectionRule):
                    rules.append(one)
                else:
                    refused.append(one)
    if not files:
        raise ConfigurationError(f"no rule file (*.yml) in {', '.join(map(str, paths))}")
    return RuleSet(tuple(rules), tuple(refused))


def rule_files(path: Path, what: str = "rules") -> Iterator[tuple[str, bytes | str]]:
    """Name and content of each YAML file, or what is wrong with it as a text. ``what`` they hold, for messages.

    Raises `ConfigurationError` for a path that does not exist or is a broken archive.
    """
    if path.is_dir():
        for file in sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES and one.is_file()):
            yield str(file), _bytes_of(file)
    elif not path.exists():
        raise ConfigurationError(f"no such file or folder of {what}: {path}")
    elif zipfile.is_zipfile(path):
        yield from _members(path)
    else:
        yield str(path), _bytes_of(path)


def _bytes_of(file: Path) -> bytes | str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_RULE_FILE + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _members(path: Path) -> Iterator[tuple[str, bytes | str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(one for one in archive.namelist() if one.endswith(_SUFFIXES))
            if len(names) > MAX_RULE_FILES:
                raise ConfigurationError(f"{path} holds {len(names):,} rule files; {MAX_RULE_FILES:,} are read at most")
            for name in names:
                with archive.open(name) as member:
                    yield f"{path}!{escape_untrusted(name)}", member.read(MAX_RULE_FILE + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ConfigurationError(f"{path} is no readable zip archive: {error}") from error


def documents_in(name: str, content: bytes | str) -> list[Any] | RefusedRule:  # Any: YAML holds anything
    """The YAML documents of a file's content; a text says why there is none."""
    if isinstance(content, str):
        return RefusedRule(name, "", content)
    if len(content) > MAX_RULE_FILE:
        return RefusedRule(name, "", f"is longer than {MAX_RULE_FILE:,} bytes")
    try:
        documents = [one for one in yaml.load_all(content.decode(), _Loader) if one is not None]
        # Escapes can write halves of surrogate pairs, which no database and no file takes.
        json.dumps(documents, ensure_ascii=False, default=str).encode()
    except (yaml.YAMLError, UnicodeError, ValueError, TypeError, RecursionError) as error:
        return RefusedRule(name, "", f"is no YAML: {short_of(error)}")
    return documents


def _read(name: str, content: bytes | str) -> Iterator[DetectionRule | RefusedRule]:
    documents = documents_in(name, content)
    if isinstance(documents, RefusedRule):
        yield documents
        return
    is_rule = any(isinstance(one, dict) and ("detection" in one or "correlation" in one) for one in documents)
    if not is_rule:
        yield RefusedRule(name, "", "is no Sigma rule: it has no detection")
        return
    try:
        collection = SigmaCollection.from_dicts(documents, collect_errors=True)
        yield from (_rule(name, one) for one in collection.rules)
    except (SigmaError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        # pySigma raises whatever a malformed document leads to.
        yield RefusedRule(name, _title_of(documents), f"is no valid Sigma rule: {short_of(error)}")


def _rule(name: str, one: Any) -> DetectionRule | RefusedRule:  # Any: pySigma's collections hold three classes
    title = str(one.title or "")
    if isinstance(one, SigmaCorrelationRule):
        return RefusedRule(name, title, "is a correlation of rules; the rules themselves run")
    if not isinstance(one, SigmaRule):
        return RefusedRule(name, title, "is a filter of rules")
    if one.errors:
        return RefusedRule(name, title, f"is no valid Sigma rule: {short_of(one.errors[0])}")
    source = one.logsource
    level = one.level.name.lower() if one.level is not None else "medium"
    return DetectionRule(
        file=name,
        id=str(one.id) if one.id is not None else title,
        title=title,
        level=level,
        tags=tuple(str(tag) for tag in one.tags),
        product=source.product,
        service=source.service,
        category=source.category,
        parsed=one,
    )


def _title_of(documents: Sequence[Any]) -> str:
    return next((str(one["title"]) for one in documents if isinstance(one, dict) and "title" in one), "")


def short_of(error: BaseException) -> str:
    """What an error says, in one line that is safe to print."""
    return escape_untrusted(" ".join(str(error).split())[:200]) or type(error).__name__
