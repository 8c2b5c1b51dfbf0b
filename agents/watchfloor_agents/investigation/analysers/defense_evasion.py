"""Defence evasion and discovery (ATT&CK TA0005, TA0007): what hides an attacker, and how they look around.

Knowledge: https://attack.mitre.org/techniques/T1070/, T1562, T1055, T1087, T1482, T1033.
"""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.indicator import (
    Indicator,
    all_of,
    any_of,
    contains,
    equals,
    exists,
    none_of,
    starts,
    types,
)
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

DEFENSE_EVASION: Final = (
    Indicator(
        code="log_cleared",
        title="An event log was cleared",
        techniques=("T1070.001",),
        types=types(EventType.LOG_CLEARED),
        where=exists(Field.EVENT_CODE),
        cite=(Field.EVENT_CODE, Field.CHANNEL, Field.USER_NAME),
        log_odds=1.0,
    ),
    Indicator(
        code="log_clearing_command",
        title="A command that clears event logs or shadow copies",
        techniques=("T1070.001",),
        types=types(EventType.PROCESS_START),
        where=contains(
            Field.PROCESS_COMMAND_LINE,
            "wevtutil cl",
            "wevtutil.exe cl",
            "clear-eventlog",
            "clear-log",
            "delete shadows",
            "shadowcopy delete",
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=2.5,
    ),
    Indicator(
        code="defences_off",
        title="Protection was switched off or told to look away",
        techniques=("T1562.001",),
        types=types(EventType.PROCESS_START, EventType.REGISTRY_CHANGE, EventType.SCRIPT),
        where=any_of(
            contains(
                Field.PROCESS_COMMAND_LINE,
                "disablerealtimemonitoring",
                "add-mppreference -exclusion",
                "sc stop windefend",
                "netsh advfirewall set",
                "auditpol /clear",
            ),
            all_of(
                contains(Field.REGISTRY_PATH, "\\windows defender\\"),
                contains(Field.REGISTRY_PATH, "disableantispyware", "disablerealtimemonitoring"),
            ),
            contains(Field.SCRIPT_TEXT, "set-mppreference -disablerealtimemonitoring"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.REGISTRY_PATH, Field.SCRIPT_TEXT),
        log_odds=2.2,
    ),
    Indicator(
        code="code_injected",
        title="A thread was started inside another program",
        techniques=("T1055",),
        types=types(EventType.REMOTE_THREAD),
        where=all_of(
            exists(Field.TARGET_PROCESS_NAME),
            none_of(
                starts(Field.PROCESS_EXECUTABLE, "c:\\program files\\windows defender\\"),
                equals(
                    Field.PROCESS_NAME,
                    "csrss.exe",
                    "wininit.exe",
                    "services.exe",
                    "svchost.exe",
                    "winlogon.exe",
                    "dwm.exe",
                    "vboxtray.exe",
                    "werfault.exe",
                ),
            ),
        ),
        cite=(Field.PROCESS_EXECUTABLE, Field.TARGET_PROCESS_EXECUTABLE),
        log_odds=1.8,
    ),
    Indicator(
        code="looking_around",
        title="The user, the machine or the domain was looked over with a command",
        techniques=("T1033",),
        types=types(EventType.PROCESS_START),
        where=any_of(
            equals(
                Field.PROCESS_NAME,
                "whoami.exe",
                "nltest.exe",
                "adfind.exe",
                "bloodhound.exe",
                "sharphound.exe",
                "dsquery.exe",
            ),
            all_of(
                equals(Field.PROCESS_NAME, "net.exe", "net1.exe"),
                contains(Field.PROCESS_COMMAND_LINE, " group ", " user /domain", " localgroup ", " view "),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.PARENT_NAME),
        log_odds=0.7,
    ),
)
