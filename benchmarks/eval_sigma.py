"""Whether the right Sigma rule fires: SigmaHQ's own pairs of rule and event log, and how long many rules take.

Prints one line for each pair in which the named rule does not fire, with the reason, then the totals. Needs the real
data beside the project (see `tests/conftest.py`); says so where it is absent.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from watchfloor_connectors.detection.detecting import RuleState, detecting
from watchfloor_connectors.detection.rules import DetectionRule, RuleSet, load_rules

DATA = Path(__file__).parents[1].parent / "shared" / "data"


@dataclass(frozen=True)
class Pair:
    folder: str
    rule_ids: tuple[str, ...]
    logs: tuple[Path, ...]
    expected: int | None
    """Matches that the pair's own description states, where it does."""


def pairs(archive: Path, folder: Path) -> list[Pair]:
    """One for each folder with an ``info.yml``, its logs unpacked."""
    found = []
    with zipfile.ZipFile(archive) as data:
        names = data.namelist()
        for number, info in enumerate(sorted(one for one in names if one.endswith("info.yml"))):
            place = str(PurePosixPath(info).parent)
            about = yaml.safe_load(data.read(info))
            ids = tuple(str(one["id"]) for one in about["rule_metadata"])
            counts = [one.get("match_count") for one in about.get("regression_tests_info", ())]
            logs = []
            for index, name in enumerate(one for one in names if one.startswith(f"{place}/") and one.endswith(".evtx")):
                path = folder / f"{number}-{index}.evtx"
                path.write_bytes(data.read(name))
                logs.append(path)
            total = sum(counts) if counts and all(isinstance(one, int) for one in counts) else None
            found.append(Pair(place, ids, tuple(logs), total))
    return found


def check(pair: Pair, rules: dict[str, DetectionRule]) -> str | None:
    """None where the named rule fires, else why not."""
    named = [rules[one] for one in pair.rule_ids if one in rules]
    if not named:
        return f"rule {', '.join(pair.rule_ids)} is not among the rules"
    with detecting(pair.logs, RuleSet(tuple(named), ()), lambda _: None) as found:
        silent = [one for one in found.outcomes if one.state is not RuleState.FIRED]
    if silent:
        return "; ".join(f"{one.rule.title}: {one.state} {one.reason}".strip() for one in silent)
    if pair.expected is not None and found.matched != pair.expected:
        return f"fires, but {found.matched} times where {pair.expected} are expected"
    return None


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: nothing to evaluate")
    started = time.perf_counter()
    rules = load_rules([DATA / "sigma" / "rules.zip"])
    print(f"{len(rules.rules)} rules read in {time.perf_counter() - started:.1f} s, {len(rules.refused)} refused")
    by_id = {one.id: one for one in rules.rules}
    with tempfile.TemporaryDirectory() as folder:
        regression = pairs(DATA / "sigma" / "regression_data.zip", Path(folder))
        faults = {one.folder: fault for one in regression if (fault := check(one, by_id)) is not None}
    for place, fault in faults.items():
        print(f"  {place}: {fault}")
    missing = sum("is not among" in fault for fault in faults.values())
    counts = sum("fires, but" in fault for fault in faults.values())
    fired = len(regression) - len(faults) + counts
    print(f"{fired} of {len(regression)} pairs: the named rule fires ({missing} name a rule that is not in the set)")
    print(f"{fired - counts} of {len(regression)} pairs: it fires exactly as often as stated")
    for name in ("evtx_mitre", "otrf"):
        time_all(rules, DATA / name)


def time_all(rules: RuleSet, folder: Path) -> None:
    unreadable: list[object] = []
    started, cpu = time.perf_counter(), time.process_time()
    with detecting([folder], rules, unreadable.append) as found:
        took, used = time.perf_counter() - started, time.process_time() - cpu
        states = Counter(one.state.value for one in found.outcomes)
        print(
            f"{folder.name}: {len(rules.rules)} rules over {found.events} events in {took:.1f} s "
            f"({used:.1f} s of CPU), {found.matched} matches, {dict(states)}, "
            f"{len(unreadable)} records or files unreadable"
        )


if __name__ == "__main__":
    main()
