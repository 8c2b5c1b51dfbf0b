"""Execution (ATT&CK TA0002): how commands of an attacker come to run.

Knowledge: https://attack.mitre.org/techniques/T1059/ and its sub-techniques, T1204, T1218; Microsoft's documentation of
PowerShell's parameters, which may be shortened.
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
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

EXECUTION: Final = (
    Indicator(
        code="encoded_powershell",
        title="PowerShell was started with an encoded command",
        techniques=("T1059.001",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.PROCESS_NAME, "powershell.exe", "pwsh.exe"),
            contains(
                Field.PROCESS_COMMAND_LINE,
                " -enc ",
                " -encodedcommand",
                " -ec ",
                " -e j",
                " -enco",
                " -nop -sta -w 1",
                " -nop -w hidden",
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.PARENT_NAME),
        log_odds=2.0,
    ),
    Indicator(
        code="download_and_run",
        title="A script was fetched from the network and run",
        techniques=("T1059.001", "T1105"),
        types=types(EventType.PROCESS_START, EventType.SCRIPT),
        where=any_of(
            all_of(
                contains(
                    Field.PROCESS_COMMAND_LINE,
                    "downloadstring",
                    "downloadfile",
                    "invoke-webrequest",
                    "iwr ",
                    "net.webclient",
                ),
                contains(Field.PROCESS_COMMAND_LINE, "iex", "invoke-expression", "start-process", "http"),
            ),
            all_of(
                contains(Field.SCRIPT_TEXT, "downloadstring", "downloaddata", "net.webclient"),
                contains(Field.SCRIPT_TEXT, "iex", "invoke-expression", ".invoke("),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=2.2,
    ),
    Indicator(
        code="reflective_script",
        title="A script that loads code into memory or switches inspection off",
        techniques=("T1059.001",),
        types=types(EventType.SCRIPT),
        where=contains(
            Field.SCRIPT_TEXT,
            "virtualalloc",
            "amsiutils",
            "amsiinitfailed",
            "reflection.assembly]::load(",
            "invoke-reflectivepeinjection",
            "frombase64string('tv",
            "createremotethread",
        ),
        cite=(Field.SCRIPT_TEXT,),
        log_odds=2.2,
    ),
    Indicator(
        code="office_child",
        title="An office program started a shell or script host",
        techniques=("T1204.002",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(
                Field.PARENT_NAME, "winword.exe", "excel.exe", "powerpnt.exe", "outlook.exe", "onenote.exe", "mspub.exe"
            ),
            equals(
                Field.PROCESS_NAME,
                "cmd.exe",
                "powershell.exe",
                "pwsh.exe",
                "wscript.exe",
                "cscript.exe",
                "mshta.exe",
                "rundll32.exe",
                "regsvr32.exe",
                "certutil.exe",
            ),
        ),
        cite=(Field.PARENT_EXECUTABLE, Field.PROCESS_COMMAND_LINE),
        log_odds=3.0,
    ),
    Indicator(
        code="web_server_child",
        title="A web server started a shell",
        techniques=("T1505.003",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(
                Field.PARENT_NAME,
                "w3wp.exe",
                "httpd.exe",
                "nginx.exe",
                "tomcat.exe",
                "php-cgi.exe",
                "apache2",
                "php-fpm",
                "sqlservr.exe",
            ),
            equals(Field.PROCESS_NAME, "cmd.exe", "powershell.exe", "sh", "bash", "dash", "whoami.exe", "net.exe"),
        ),
        cite=(Field.PARENT_NAME, Field.PROCESS_COMMAND_LINE),
        log_odds=3.0,
    ),
    Indicator(
        code="proxy_execution",
        title="A program of the system was used to run code from elsewhere",
        techniques=("T1218",),
        types=types(EventType.PROCESS_START),
        where=any_of(
            all_of(
                equals(Field.PROCESS_NAME, "mshta.exe"),
                contains(Field.PROCESS_COMMAND_LINE, "http", "javascript:", "vbscript:"),
            ),
            all_of(
                equals(Field.PROCESS_NAME, "regsvr32.exe"), contains(Field.PROCESS_COMMAND_LINE, "/i:http", "scrobj")
            ),
            all_of(
                equals(Field.PROCESS_NAME, "rundll32.exe"),
                contains(Field.PROCESS_COMMAND_LINE, "javascript:", "url.dll,openurl", "\\\\"),
            ),
            all_of(
                equals(Field.PROCESS_NAME, "msbuild.exe", "installutil.exe", "regasm.exe", "cmstp.exe"),
                contains(Field.PROCESS_COMMAND_LINE, "\\temp\\", "\\users\\", "/u ", "/s "),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=2.0,
    ),
    Indicator(
        code="sudo_shell",
        title="A shell or editor was started as root",
        techniques=("T1548.003",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            equals(Field.USER_TARGET_NAME, "root"),
            ends(Field.PROCESS_EXECUTABLE, "/bash", "/sh", "/su", "/vi", "/vim", "/python3", "/perl"),
        ),
        cite=(Field.USER_TARGET_NAME, Field.PROCESS_COMMAND_LINE, Field.USER_NAME),
        log_odds=0.8,
    ),
)
