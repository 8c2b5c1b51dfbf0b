"""Command and control (ATT&CK TA0011): how an attacker's program is told what to do.

Knowledge: https://attack.mitre.org/techniques/T1071/, T1105, T1572, T1219; Sysmon event 3 and Windows event 5156.
"""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.indicator import (
    Indicator,
    all_of,
    any_of,
    contains,
    equals,
    none_of,
    types,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Scope

COMMAND_AND_CONTROL: Final = (
    Indicator(
        code="script_host_connection",
        title="A shell or script host connected to an address outside",
        inner_title="A shell or script host connected to an address that is not public",
        techniques=("T1071.001",),
        types=types(EventType.NETWORK_CONNECTION),
        where=all_of(
            equals(
                Field.PROCESS_NAME,
                "powershell.exe",
                "pwsh.exe",
                "cmd.exe",
                "wscript.exe",
                "cscript.exe",
                "mshta.exe",
                "rundll32.exe",
                "regsvr32.exe",
                "msbuild.exe",
            ),
            equals(Field.DESTINATION_PORT, 80, 443, 8080, 8443),
            none_of(equals(Field.DESTINATION_IP, "127.0.0.1", "::1")),
        ),
        cite=(Field.PROCESS_EXECUTABLE, Field.DESTINATION_IP, Field.DESTINATION_PORT),
        log_odds=1.2,
        source=(EntityKind.IP, Field.DESTINATION_IP),
    ),
    Indicator(
        code="tool_transfer",
        title="A program of the system was told to fetch a file from the network",
        techniques=("T1105",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            contains(Field.PROCESS_COMMAND_LINE, "http:", "https:", "ftp:"),
            any_of(
                all_of(
                    equals(Field.PROCESS_NAME, "certutil.exe"),
                    contains(Field.PROCESS_COMMAND_LINE, "urlcache", "verifyctl"),
                ),
                all_of(
                    equals(Field.PROCESS_NAME, "bitsadmin.exe"),
                    contains(Field.PROCESS_COMMAND_LINE, "/transfer", "/addfile"),
                ),
                equals(Field.PROCESS_NAME, "curl.exe", "wget", "curl", "wget.exe"),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=1.8,
    ),
    Indicator(
        code="tunnel",
        title="A tunnel or reverse shell was set up",
        techniques=("T1572",),
        types=types(EventType.PROCESS_START),
        where=any_of(
            contains(
                Field.PROCESS_COMMAND_LINE,
                "/dev/tcp/",
                "portproxy add",
                "ngrok",
                "chisel client",
                "nc -e",
                "ncat -e",
                " -r socks",
            ),
            all_of(
                equals(Field.PROCESS_NAME, "plink.exe", "ssh.exe"), contains(Field.PROCESS_COMMAND_LINE, " -r ", " -l ")
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=2.2,
    ),
    Indicator(
        code="sensor_detected_control",
        title="A sensor took traffic for command and control",
        techniques=("T1071",),
        types=types(EventType.DETECTION),
        where=contains(Field.RULE_NAME, "cnc", "c2 ", "trojan", "malware", "beacon"),
        cite=(Field.RULE_NAME, Field.SOURCE_IP, Field.DESTINATION_IP),
        log_odds=1.0,
        scope=Scope.TARGETED,
    ),
)
