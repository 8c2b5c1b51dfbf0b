"""Credential access (ATT&CK TA0006): how secrets are taken from vaults, prompts, tickets, browsers and files.

Knowledge: the detection sections of https://attack.mitre.org/techniques/T1555/, T1056, T1558 and T1552; Microsoft's
documentation of events 4768 and 4769 and their ticket encryption types.
"""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.indicator import (
    COMMANDS,
    Indicator,
    all_of,
    any_of,
    contains,
    ends,
    equals,
    exists,
    none_of,
    said,
    types,
)
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Scope

STORED_CREDENTIALS: Final = (
    Indicator(
        code="vault_read",
        title="Credentials were read from the Windows vault",
        techniques=("T1555.004",),
        types=types(EventType.OBJECT_ACCESS),
        where=all_of(equals(Field.EVENT_CODE, "5382"), exists(Field.OBJECT_NAME)),
        cite=(Field.OBJECT_NAME, Field.EVENT_CODE),
        log_odds=1.5,
    ),
    Indicator(
        code="vault_script",
        title="A script that reads the Windows vault",
        techniques=("T1555.004",),
        types=COMMANDS,
        where=said("passwordvault", "vaultcli", "vaultcmd", "get-vaultcredential", "vault::"),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=2.0,
    ),
    Indicator(
        code="credential_prompt",
        title="A script that asks the user for a password in a window of its own",
        techniques=("T1056.002",),
        types=COMMANDS,
        where=said(
            "promptforcredential", "get-credential -", "invoke-loginprompt", "creduipromptforwindowscredentials"
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=2.0,
    ),
    Indicator(
        code="credential_prompt_library",
        title="A script host loaded the library that draws Windows' credential prompts",
        techniques=("T1056.002",),
        types=types(EventType.IMAGE_LOAD),
        where=all_of(
            ends(Field.DLL_PATH, "\\credui.dll"),
            equals(Field.PROCESS_NAME, "powershell.exe", "pwsh.exe", "wscript.exe", "cscript.exe", "mshta.exe"),
        ),
        cite=(Field.DLL_PATH, Field.PROCESS_EXECUTABLE),
        log_odds=1.5,
    ),
    Indicator(
        code="kerberos_tool",
        title="Commands that ask for, forge or inject Kerberos tickets",
        techniques=("T1558",),
        types=COMMANDS,
        where=any_of(
            said(
                "asktgt",
                "asktgs",
                "kerberoast",
                "asreproast",
                "kerberos::ptt",
                "kerberos::golden",
                "createnetonly",
                "invoke-rubeus",
            ),
            equals(Field.PROCESS_NAME, "rubeus.exe", "kekeo.exe"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT, Field.PROCESS_EXECUTABLE),
        log_odds=3.5,
    ),
    Indicator(
        code="weak_ticket_requested",
        title="A service ticket with weak encryption was requested, which can be cracked off line",
        techniques=("T1558.003",),
        types=types(EventType.KERBEROS_TICKET),
        where=all_of(
            equals(Field.EVENT_CODE, "4769"),
            equals(Field.TICKET_ENCRYPTION, "0x17", "0x18"),
            none_of(ends(Field.SERVICE_NAME, "$"), equals(Field.SERVICE_NAME, "krbtgt")),
        ),
        cite=(Field.SERVICE_NAME, Field.TICKET_ENCRYPTION, Field.USER_NAME),
        log_odds=1.5,
        scope=Scope.TARGETED,
    ),
    Indicator(
        code="weak_logon_ticket",
        title="A ticket-granting ticket with weak encryption was asked for, as tools do that hold a hash",
        techniques=("T1558",),
        types=types(EventType.KERBEROS_TICKET),
        where=all_of(
            equals(Field.EVENT_CODE, "4768"), equals(Field.TICKET_ENCRYPTION, "0x17"), exists(Field.USER_NAME)
        ),
        cite=(Field.TICKET_ENCRYPTION, Field.USER_NAME, Field.SOURCE_IP),
        log_odds=1.2,
        scope=Scope.TARGETED,
    ),
    Indicator(
        code="browser_secrets_read",
        title="A program that is no browser opened a browser's store of passwords",
        techniques=("T1555.003",),
        types=types(EventType.OBJECT_ACCESS, EventType.FILE_READ),
        where=all_of(
            ends(Field.OBJECT_NAME, "\\login data", "\\logins.json", "\\key4.db"),
            none_of(equals(Field.PROCESS_NAME, "chrome.exe", "msedge.exe", "firefox.exe", "brave.exe")),
        ),
        cite=(Field.OBJECT_NAME, Field.PROCESS_EXECUTABLE),
        log_odds=2.0,
    ),
    Indicator(
        code="password_search",
        title="Files or registry values were searched for passwords",
        techniques=("T1552",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            contains(Field.PROCESS_COMMAND_LINE, "findstr", "select-string", "reg query", "reg  query", "grep "),
            contains(Field.PROCESS_COMMAND_LINE, "password", "cpassword", "passwd"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE,),
        log_odds=1.8,
    ),
)
