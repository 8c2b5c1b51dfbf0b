"""Lateral movement (ATT&CK TA0008): how an attacker who holds credentials goes to the next machine.

Knowledge: https://attack.mitre.org/techniques/T1021/ and its sub-techniques, T1550, T1570, T1047; Microsoft's
documentation of logon types (9 is new credentials, 10 remote interactive) and of event 5145.
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
    none_of,
    starts,
    types,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Scope

LATERAL_MOVEMENT: Final = (
    Indicator(
        code="psexec_service",
        title="A service that runs commands for another machine was installed",
        techniques=("T1569.002", "T1021.002"),
        types=types(EventType.SERVICE_INSTALLED),
        where=any_of(
            contains(Field.SERVICE_NAME, "psexe", "paexec", "remcom", "csexec", "winexesvc"),
            contains(
                Field.SERVICE_COMMAND,
                "psexesvc",
                "paexec",
                "remcom",
                "winexesvc",
                "\\admin$\\",
                "%comspec%",
                "cmd.exe /c",
                "cmd /c",
                "powershell",
            ),
        ),
        cite=(Field.SERVICE_NAME, Field.SERVICE_COMMAND),
        log_odds=2.5,
    ),
    Indicator(
        code="psexec_pipe",
        title="A pipe by which commands are run for another machine",
        techniques=("T1569.002",),
        types=types(EventType.PIPE),
        where=starts(Field.PIPE_NAME, "\\psexesvc", "\\paexec", "\\remcom_", "\\csexecsvc"),
        cite=(Field.PIPE_NAME, Field.PROCESS_EXECUTABLE),
        log_odds=2.0,
    ),
    Indicator(
        code="admin_share_written",
        title="An administrative share was used from another machine to write",
        techniques=("T1021.002",),
        types=types(EventType.SHARE_ACCESS),
        where=all_of(
            ends(Field.SHARE_NAME, "\\admin$", "\\c$"),
            ends(Field.SHARE_TARGET, ".exe", ".dll", ".bat", ".ps1", ".sys"),
            none_of(equals(Field.SOURCE_IP, "127.0.0.1", "::1")),
        ),
        cite=(Field.SHARE_NAME, Field.SHARE_TARGET, Field.SOURCE_IP),
        log_odds=1.8,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="remote_pipe_opened",
        title="A pipe that manages another machine was opened over the network",
        techniques=("T1021.002",),
        types=types(EventType.SHARE_ACCESS),
        where=all_of(
            ends(Field.SHARE_NAME, "\\ipc$"),
            equals(Field.SHARE_TARGET, "psexesvc", "atsvc", "svcctl", "winreg", "eventlog", "itaskschedulerservice"),
        ),
        cite=(Field.SHARE_TARGET, Field.SOURCE_IP, Field.USER_NAME),
        log_odds=1.0,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="new_credentials_logon",
        title="A logon session got other credentials for the network, as a stolen hash or ticket is used",
        techniques=("T1550",),
        types=types(EventType.LOGON),
        where=all_of(equals(Field.LOGON_TYPE, "9"), none_of(equals(Field.PROCESS_NAME, "runas.exe"))),
        cite=(Field.LOGON_TYPE, Field.AUTHENTICATION_PACKAGE, Field.PROCESS_EXECUTABLE),
        log_odds=1.2,
    ),
    Indicator(
        code="wmi_remote_process",
        title="A program was started by WMI",
        techniques=("T1047",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PARENT_NAME, "wmiprvse.exe"),
            equals(
                Field.PROCESS_NAME,
                "cmd.exe",
                "powershell.exe",
                "pwsh.exe",
                "rundll32.exe",
                "mshta.exe",
                "regsvr32.exe",
                "wscript.exe",
            ),
        ),
        cite=(Field.PARENT_NAME, Field.PROCESS_COMMAND_LINE),
        log_odds=2.0,
    ),
    Indicator(
        code="wmic_command",
        title="A command that starts a program by WMI",
        techniques=("T1047",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            contains(Field.PROCESS_COMMAND_LINE, "wmic", "invoke-wmimethod"),
            contains(Field.PROCESS_COMMAND_LINE, "process call create", "win32_process"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=2.2,
    ),
    Indicator(
        code="winrm_process",
        title="A program was started by remote management (WinRM)",
        techniques=("T1021.006",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PARENT_NAME, "wsmprovhost.exe", "winrshost.exe"),
            none_of(equals(Field.PROCESS_NAME, "conhost.exe")),
        ),
        cite=(Field.PARENT_NAME, Field.PROCESS_COMMAND_LINE),
        log_odds=1.8,
    ),
    Indicator(
        code="dcom_process",
        title="A program was started through a COM object of another program, as is done from another machine",
        techniques=("T1021.003",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PARENT_NAME, "mmc.exe", "excel.exe", "explorer.exe"),
            contains(Field.PARENT_COMMAND_LINE, "-embedding", "/automation"),
            equals(Field.PROCESS_NAME, "cmd.exe", "powershell.exe", "rundll32.exe", "mshta.exe"),
        ),
        cite=(Field.PARENT_COMMAND_LINE, Field.PROCESS_COMMAND_LINE),
        log_odds=2.0,
    ),
    Indicator(
        code="rdp_session",
        title="Somebody logged on by remote desktop",
        techniques=("T1021.001",),
        types=types(EventType.LOGON),
        where=all_of(equals(Field.LOGON_TYPE, "10"), none_of(equals(Field.SOURCE_IP, "127.0.0.1", "::1"))),
        cite=(Field.LOGON_TYPE, Field.SOURCE_IP, Field.USER_NAME),
        log_odds=0.5,
        scope=Scope.INVOLVED,
        source=(EntityKind.IP, Field.SOURCE_IP),
    ),
    Indicator(
        code="net_use",
        title="A share of another machine was connected with a command",
        techniques=("T1021.002",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PROCESS_NAME, "net.exe", "net1.exe"),
            contains(Field.PROCESS_COMMAND_LINE, " use "),
            contains(Field.PROCESS_COMMAND_LINE, "\\\\"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=1.0,
    ),
)
