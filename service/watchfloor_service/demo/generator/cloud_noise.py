"""What Microsoft's detectors report on any day: odd sign-ins, removed mails, a harmless script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator import sentinel
from watchfloor_service.demo.generator.chance import Chance
from watchfloor_service.demo.generator.emission import Emission, emit
from watchfloor_service.demo.generator.organisation import DOMAIN, HOSTS, STAFF
from watchfloor_service.demo.generator.rhythm import DAYS, MINUTE, around_the_clock, at, in_office_hours
from watchfloor_service.demo.generator.sentinel import Detection

_UNFAMILIAR: Final = Detection(
    "Unfamiliar sign-in properties", "UnfamiliarLocation", sentinel.SIGN_IN, "Low", "InitialAccess", ("T1078",)
)
_TRAVEL: Final = Detection(
    "Atypical travel", "ImpossibleTravel", sentinel.SIGN_IN, "Medium", "InitialAccess", ("T1078",)
)
_REMOVED: Final = Detection(
    "Email messages containing phish URLs removed after delivery",
    "8e6ba277-ef39-404e-aaf1-294f6d9a2b88",
    sentinel.MAIL,
    "Informational",
    "InitialAccess",
    ("T1566",),
)
_REPORTED: Final = Detection(
    "Email reported by user as malware or phish",
    "b26a5770-0c38-434a-9380-3a3c2c27bbb3",
    sentinel.MAIL,
    "Low",
    "InitialAccess",
    ("T1566",),
)
_SCRIPT: Final = Detection(
    "Suspicious PowerShell command line", "WindowsDefenderAtp", sentinel.ENDPOINT, "Medium", "Execution", ("T1059",)
)
_FAILURES: Final = Detection(
    "Multiple failed sign-ins followed by a success",
    "c0ffee11-2222-4444-8888-0123456789ab",
    sentinel.ANALYTICS,
    "Low",
    "CredentialAccess",
    ("T1110",),
)

# The sender types the subject.
_SUBJECTS: Final = (
    "Your parcel could not be delivered",
    "Shared document: Q1 budget",
    "Voicemail from +1 202 555 0147",
    "Password expires today",
    "<script>document.title='closed'</script> Meeting notes",
    "Re: \u202egpj.exe.oiloftrop\u202c",
)


def cloud_noise() -> Iterator[Emission]:
    for day in DAYS:
        yield from _sign_ins(Chance(f"sign-ins/{day}"), day)
        yield from _mail(Chance(f"mail/{day}"), day)
        yield from _nightly_script(Chance(f"script/{day}"), day)


def _sign_ins(chance: Chance, day: int) -> Iterator[Emission]:
    for us in in_office_hours(chance, day, 13):
        user = chance.pick(STAFF)
        roll = chance.unit()
        detection = _TRAVEL if roll < 0.15 else _FAILURES if roll < 0.4 else _UNFAMILIAR
        written = us + chance.whole(3 * MINUTE, 25 * MINUTE)
        entities = [sentinel.account(user.name), sentinel.address(f"192.0.2.{chance.whole(150, 250)}")]
        record = sentinel.alert(chance, us, written, detection, entities)
        yield emit(record, written)
        if chance.unit() < 0.4:
            # Closed by its own rule an hour later, and so written again.
            later = written + 60 * MINUTE
            yield emit(sentinel.status_change(record, later, "Closed"), later, is_repeat=True)


def _mail(chance: Chance, day: int) -> Iterator[Emission]:
    for us in around_the_clock(chance, day, 20):
        user = chance.pick(STAFF)
        written = us + chance.whole(2 * MINUTE, 15 * MINUTE)
        site = f"https://parcel-{chance.whole(10, 99)}.example.net/track"
        sender = f"notice@parcel-{chance.whole(10, 99)}.example.net"
        mail = sentinel.message(user.name, sender, f"198.51.100.{chance.whole(2, 60)}", chance.pick(_SUBJECTS), [site])
        detection = _REMOVED if chance.unit() < 0.75 else _REPORTED
        link: dict[str, Json] = {"Url": site, "Type": "url"}
        entities = [mail, sentinel.mailbox(user.name), link]
        yield emit(sentinel.alert(chance, us, written, detection, entities), written)


def _nightly_script(chance: Chance, day: int) -> Iterator[Emission]:
    """The backup runs an encoded PowerShell command on two servers each night, and is reported for it each night."""
    for name in ("fs01", "db01"):
        us = at(day, "22:00:00") + chance.whole(0, 5 * MINUTE)
        written = us + chance.whole(4 * MINUTE, 9 * MINUTE)
        run = sentinel.process(r"powershell.exe -NoProfile -EncodedCommand QgBhAGMAawB1AHAA", sentinel.POWERSHELL, 4120)
        entities = [sentinel.host(name), sentinel.address(HOSTS[name].ip), sentinel.account("svc-backup"), run]
        record = sentinel.alert(chance, us, written, _SCRIPT, entities, compromised=f"{name}.{DOMAIN}")
        yield emit(record, written)
