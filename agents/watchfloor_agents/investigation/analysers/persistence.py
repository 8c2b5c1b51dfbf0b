"""Persistence (ATT&CK TA0003): what makes an attacker's program start again.

Knowledge: https://attack.mitre.org/techniques/T1053/, T1543, T1547, T1546, T1136, T1098; Microsoft's documentation
of the audit events 4697, 4698, 4720, 4732 and of autostart locations.
"""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.indicator import (
    Indicator,
    all_of,
    any_of,
    contains,
    ends,
    equals,
    types,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

PERSISTENCE: Final = (
    Indicator(
        code="task_created",
        title="A scheduled task that runs a script or a command was made",
        techniques=("T1053.005",),
        types=types(EventType.SCHEDULED_TASK),
        where=all_of(
            equals(Field.EVENT_CODE, "4698", "4702", "106"),
            contains(
                Field.TASK_CONTENT,
                "powershell",
                "cmd.exe",
                "mshta",
                "rundll32",
                "wscript",
                "\\temp\\",
                "\\users\\public",
            ),
        ),
        cite=(Field.TASK_NAME, Field.TASK_CONTENT, Field.USER_NAME),
        log_odds=1.8,
    ),
    Indicator(
        code="task_command",
        title="A command that makes a scheduled task",
        techniques=("T1053.005",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PROCESS_NAME, "schtasks.exe"), contains(Field.PROCESS_COMMAND_LINE, "/create", "-create")
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=1.3,
    ),
    Indicator(
        code="service_command",
        title="A service was made or changed with a command",
        techniques=("T1543.003",),
        types=types(EventType.PROCESS_START),
        where=any_of(
            all_of(
                equals(Field.PROCESS_NAME, "sc.exe"),
                contains(Field.PROCESS_COMMAND_LINE, " create ", " config "),
                contains(Field.PROCESS_COMMAND_LINE, "binpath"),
            ),
            contains(Field.PROCESS_COMMAND_LINE, "new-service "),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=1.6,
    ),
    Indicator(
        code="service_from_unusual_place",
        title="A service whose program lies where services do not was installed",
        techniques=("T1543.003",),
        types=types(EventType.SERVICE_INSTALLED),
        where=contains(Field.SERVICE_COMMAND, "\\temp\\", "\\users\\", "\\programdata\\", "\\perflogs\\", "127.0.0.1"),
        cite=(Field.SERVICE_NAME, Field.SERVICE_COMMAND),
        log_odds=1.8,
        benign=contains(Field.SERVICE_COMMAND, "\\programdata\\microsoft\\windows defender\\"),
        benign_title="A service of the antivirus was installed",
    ),
    Indicator(
        code="run_key",
        title="A registry value that starts a program at logon was set",
        techniques=("T1547.001",),
        types=types(EventType.REGISTRY_CHANGE),
        where=all_of(
            contains(
                Field.REGISTRY_PATH,
                "\\currentversion\\run\\",
                "\\currentversion\\runonce\\",
                "\\currentversion\\policies\\explorer\\run\\",
            ),
            contains(
                Field.REGISTRY_DATA, "powershell", "cmd.exe", "\\temp\\", "\\appdata\\", "rundll32", "mshta", "wscript"
            ),
        ),
        cite=(Field.REGISTRY_PATH, Field.REGISTRY_DATA, Field.PROCESS_EXECUTABLE),
        log_odds=1.8,
    ),
    Indicator(
        code="wmi_subscription",
        title="A permanent WMI subscription that runs a command was made",
        techniques=("T1546.003",),
        types=types(EventType.WMI),
        where=any_of(
            equals(Field.EVENT_CODE, "5861"),
            all_of(
                equals(Field.EVENT_CODE, "20"), contains(Field.OBJECT_PROPERTIES, "powershell", "cmd", ".exe", ".vbs")
            ),
        ),
        cite=(Field.OBJECT_NAME, Field.OBJECT_PROPERTIES, Field.EVENT_CODE),
        log_odds=2.0,
    ),
    Indicator(
        code="debugger_hijack",
        title="Another program is started in place of one that people use before they log on",
        techniques=("T1546.008",),
        types=types(EventType.REGISTRY_CHANGE),
        where=all_of(
            contains(Field.REGISTRY_PATH, "image file execution options\\"),
            contains(
                Field.REGISTRY_PATH,
                "sethc.exe",
                "utilman.exe",
                "osk.exe",
                "magnify.exe",
                "narrator.exe",
                "displayswitch.exe",
            ),
        ),
        cite=(Field.REGISTRY_PATH, Field.REGISTRY_DATA),
        log_odds=3.0,
    ),
    Indicator(
        code="account_created",
        title="An account was made",
        techniques=("T1136",),
        types=types(EventType.ACCOUNT_CHANGE),
        where=equals(Field.EVENT_CODE, "4720", "4741"),
        cite=(Field.USER_TARGET_NAME, Field.USER_NAME),
        log_odds=0.8,
        target=(EntityKind.USER, Field.USER_TARGET_NAME),
    ),
    Indicator(
        code="privileged_group_joined",
        title="An account was put into a privileged group",
        techniques=("T1098",),
        types=types(EventType.GROUP_CHANGE),
        where=all_of(
            equals(Field.EVENT_CODE, "4728", "4732", "4756"),
            equals(
                Field.GROUP_NAME,
                "domain admins",
                "enterprise admins",
                "administrators",
                "schema admins",
                "account operators",
                "backup operators",
                "dnsadmins",
            ),
        ),
        cite=(Field.GROUP_NAME, Field.USER_TARGET_ID, Field.USER_NAME),
        log_odds=1.2,
    ),
    Indicator(
        code="authorized_keys",
        title="A key that opens an account over SSH was written",
        techniques=("T1098.004",),
        types=types(EventType.FILE_CHANGE, EventType.PROCESS_START),
        where=any_of(
            ends(Field.FILE_PATH, "/.ssh/authorized_keys"), contains(Field.PROCESS_COMMAND_LINE, ".ssh/authorized_keys")
        ),
        cite=(Field.FILE_PATH, Field.PROCESS_COMMAND_LINE),
        log_odds=1.5,
    ),
)
