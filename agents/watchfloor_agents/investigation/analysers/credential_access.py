"""Credential access (ATT&CK TA0006): how secrets are taken from memory, hives and directories.

Knowledge: the detection sections of https://attack.mitre.org/techniques/T1003/ and its sub-techniques; Microsoft's
documentation of access rights (``PROCESS_VM_READ`` is 0x0010), of event 4662 and its control access
rights (replicating directory changes), and of the registry keys that the boot key is made of.
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
    starts,
    types,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Scope

_READS_MEMORY: Final = ("0x1010", "0x1038", "0x1410", "0x1418", "0x1438", "0x143a", "0x1fffff", "0x1f0fff", "0x1f1fff",
                        "0x1f2fff", "0x1f3fff", "0x101541", "0x1478", "0x1f1fbf")  # fmt: skip
"""Masks that hold ``PROCESS_VM_READ`` and more than monitoring needs."""
_SYSTEM_READERS: Final = any_of(
    starts(
        Field.PROCESS_EXECUTABLE,
        "c:\\program files\\windows defender\\",
        "c:\\programdata\\microsoft\\windows defender\\",
        "c:\\program files\\microsoft security client\\",
    ),
    equals(
        Field.PROCESS_EXECUTABLE,
        "c:\\windows\\system32\\csrss.exe",
        "c:\\windows\\system32\\wininit.exe",
        "c:\\windows\\system32\\lsass.exe",
        "c:\\windows\\system32\\services.exe",
        "c:\\windows\\system32\\svchost.exe",
        "c:\\windows\\system32\\wbem\\wmiprvse.exe",
        "c:\\windows\\system32\\msiexec.exe",
        "c:\\windows\\sysmon.exe",
        "c:\\windows\\sysmon64.exe",
    ),
)

DUMPED_CREDENTIALS: Final = (
    Indicator(
        code="lsass_memory_read",
        title="The memory of LSASS was opened for reading",
        techniques=("T1003.001",),
        types=types(EventType.PROCESS_ACCESS),
        where=all_of(
            equals(Field.TARGET_PROCESS_NAME, "lsass.exe"),
            any_of(
                equals(Field.GRANTED_ACCESS, *_READS_MEMORY),
                all_of(
                    contains(Field.CALL_TRACE, "unknown(", "dbgcore.dll", "dbghelp.dll", "comsvcs.dll"),
                    none_of(equals(Field.GRANTED_ACCESS, "0x1000", "0x1400", "0x40", "0x3000")),
                ),
            ),
        ),
        cite=(Field.TARGET_PROCESS_NAME, Field.GRANTED_ACCESS, Field.PROCESS_EXECUTABLE),
        log_odds=2.5,
        benign=_SYSTEM_READERS,
        benign_title="LSASS was opened by a part of Windows or of its antivirus",
    ),
    Indicator(
        code="lsass_object_read",
        title="The process object of LSASS was opened for reading its memory",
        techniques=("T1003.001",),
        types=types(EventType.OBJECT_ACCESS),
        where=all_of(
            ends(Field.OBJECT_NAME, "\\lsass.exe"),
            equals(Field.OBJECT_TYPE, "process"),
            equals(
                Field.ACCESS_MASK, "0x10", "0x1010", "0x1410", "0x1438", "0x143a", "0x1fffff", "0x1f3fff", "0x1f0fff"
            ),
        ),
        cite=(Field.OBJECT_NAME, Field.ACCESS_MASK, Field.PROCESS_EXECUTABLE),
        log_odds=2.0,
        benign=_SYSTEM_READERS,
        benign_title="LSASS was opened by a part of Windows or of its antivirus",
    ),
    Indicator(
        code="lsass_dump_written",
        title="A dump of LSASS was written",
        techniques=("T1003.001",),
        types=types(EventType.FILE_CHANGE),
        where=all_of(contains(Field.FILE_NAME, "lsass", "dumpert"), ends(Field.FILE_NAME, ".dmp", ".mdmp", ".bin")),
        cite=(Field.FILE_PATH, Field.PROCESS_EXECUTABLE),
        log_odds=3.0,
        target=(EntityKind.FILE, Field.FILE_PATH),
    ),
    Indicator(
        code="dump_by_system_tool",
        title="A program that ships with the system or is trusted was told to dump the memory of LSASS",
        techniques=("T1003.001",),
        types=types(EventType.PROCESS_START),
        where=any_of(
            all_of(
                contains(Field.PROCESS_COMMAND_LINE, "comsvcs"),
                contains(Field.PROCESS_COMMAND_LINE, "minidump", "#24", "#-", "#+"),
            ),
            all_of(
                contains(Field.PROCESS_COMMAND_LINE, "lsass"),
                contains(
                    Field.PROCESS_COMMAND_LINE, "procdump", " -ma", "/ma", "sqldumper", "rdrleakdiag", "createdump"
                ),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.PROCESS_EXECUTABLE),
        log_odds=3.5,
    ),
    Indicator(
        code="mimikatz_lsass",
        title="Commands that take secrets from the memory of LSASS",
        techniques=("T1003.001",),
        types=COMMANDS,
        where=said("sekurlsa::", "lsadump::lsa", "invoke-mimikatz", "dumpcreds", "out-minidump"),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=3.0,
    ),
    Indicator(
        code="mimikatz_output",
        title="A session of Mimikatz, which takes credentials from memory, stands in what was logged",
        techniques=("T1003",),
        types=COMMANDS,
        where=said("mimikatz(powershell) # ", "mimikatz(commandline) # ", "mimikatz # ", "gentilkiwi.com/mimikatz"),
        cite=(Field.SCRIPT_TEXT, Field.PROCESS_COMMAND_LINE),
        log_odds=3.5,
    ),
    Indicator(
        code="pass_the_hash_command",
        title="A command that logs on with a stolen hash",
        techniques=("T1550.002",),
        types=COMMANDS,
        where=said("sekurlsa::pth", "pth-winexe", "invoke-smbexec -", "invoke-wmiexec -"),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=3.0,
    ),
    Indicator(
        code="hive_saved",
        title="A registry hive that holds credentials was saved or exported",
        techniques=("T1003.002",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            contains(Field.PROCESS_COMMAND_LINE, " save ", " export ", "/save", "regbackup"),
            contains(
                Field.PROCESS_COMMAND_LINE,
                "hklm\\sam",
                "hkey_local_machine\\sam",
                "hklm\\system",
                "hkey_local_machine\\system",
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.PROCESS_EXECUTABLE),
        log_odds=3.0,
    ),
    Indicator(
        code="lsa_secrets_saved",
        title="The registry keys of the LSA secrets were saved or exported",
        techniques=("T1003.004",),
        types=types(EventType.PROCESS_START),
        where=all_of(
            contains(Field.PROCESS_COMMAND_LINE, " save ", " export ", "/save"),
            contains(Field.PROCESS_COMMAND_LINE, "hklm\\security", "hkey_local_machine\\security"),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.PROCESS_EXECUTABLE),
        log_odds=3.0,
    ),
    Indicator(
        code="boot_key_read",
        title="The registry keys that the boot key is made of were read, which decrypts the SAM",
        techniques=("T1003.002",),
        types=types(EventType.OBJECT_ACCESS),
        where=all_of(
            ends(
                Field.OBJECT_NAME,
                "\\control\\lsa\\jd",
                "\\control\\lsa\\skew1",
                "\\control\\lsa\\gbg",
                "\\control\\lsa\\data",
            ),
            none_of(equals(Field.PROCESS_NAME, "lsass.exe", "services.exe", "svchost.exe", "wininit.exe")),
        ),
        cite=(Field.OBJECT_NAME, Field.ACCESS_MASK, Field.PROCESS_EXECUTABLE),
        log_odds=3.0,
    ),
    Indicator(
        code="sam_copied",
        title="The SAM hive was copied",
        techniques=("T1003.002",),
        types=types(EventType.PROCESS_START, EventType.FILE_CHANGE),
        where=any_of(
            all_of(
                contains(Field.PROCESS_COMMAND_LINE, "\\config\\sam", "config/sam"),
                contains(Field.PROCESS_COMMAND_LINE, "copy", "esentutl", "robocopy", "/y", "vss", "globalroot"),
            ),
            all_of(
                equals(Field.FILE_NAME, "sam", "sam.save", "sam.hiv", "sam.hive", "sam.bak"),
                none_of(starts(Field.FILE_PATH, "c:\\windows\\system32\\config\\")),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.FILE_PATH, Field.PROCESS_EXECUTABLE),
        log_odds=2.5,
    ),
    Indicator(
        code="sam_tool",
        title="Commands that extract hashes from the SAM",
        techniques=("T1003.002",),
        types=COMMANDS,
        where=said("lsadump::sam", "invoke-powerdump", "get-bootkey", "dumphashes", "hashdump"),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=3.0,
    ),
    Indicator(
        code="ntds_copied",
        title="The directory's database was copied",
        techniques=("T1003.003",),
        types=types(EventType.FILE_CHANGE),
        where=all_of(
            any_of(
                equals(Field.FILE_NAME, "ntds.dit"),
                all_of(contains(Field.FILE_NAME, "ntds"), ends(Field.FILE_NAME, ".dit", ".jfm")),
            ),
            none_of(starts(Field.FILE_PATH, "c:\\windows\\ntds\\")),
        ),
        cite=(Field.FILE_PATH, Field.PROCESS_EXECUTABLE),
        log_odds=3.5,
    ),
    Indicator(
        code="ntds_command",
        title="A command that copies the directory's database",
        techniques=("T1003.003",),
        types=COMMANDS,
        where=any_of(
            all_of(
                contains(Field.PROCESS_COMMAND_LINE, "ntdsutil"),
                contains(Field.PROCESS_COMMAND_LINE, "ifm", "ac i", "activate", "snapshot"),
            ),
            all_of(
                contains(Field.PROCESS_COMMAND_LINE, "ntds.dit"),
                contains(
                    Field.PROCESS_COMMAND_LINE,
                    "copy",
                    "esentutl",
                    "ninjacopy",
                    "vssadmin",
                    "globalroot",
                    "harddiskvolumeshadowcopy",
                ),
            ),
            all_of(
                contains(Field.SCRIPT_TEXT, "ntds.dit"),
                contains(Field.SCRIPT_TEXT, "ninjacopy", "copy-item", "globalroot", "localdestination"),
            ),
        ),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT, Field.PROCESS_EXECUTABLE),
        log_odds=3.5,
    ),
    Indicator(
        code="ntds_read",
        title="The directory's database was read by another program than the directory",
        techniques=("T1003.003",),
        types=types(EventType.OBJECT_ACCESS, EventType.FILE_READ),
        where=all_of(
            ends(Field.OBJECT_NAME, "\\ntds\\ntds.dit"),
            none_of(equals(Field.PROCESS_NAME, "lsass.exe", "dfsrs.exe", "vssvc.exe", "system", "wbengine.exe")),
        ),
        cite=(Field.OBJECT_NAME, Field.PROCESS_EXECUTABLE),
        log_odds=2.5,
    ),
    Indicator(
        code="dcsync",
        title="Directory secrets were replicated for an account that is no domain controller",
        techniques=("T1003.006",),
        types=types(EventType.DIRECTORY_ACCESS),
        where=all_of(
            contains(
                Field.OBJECT_PROPERTIES,
                "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2",
                "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2",
                "89e95b76-444d-4c62-991a-0facbeda640c",
            ),
            exists(Field.USER_NAME),
        ),
        cite=(Field.OBJECT_PROPERTIES, Field.USER_NAME),
        log_odds=4.0,
        benign=ends(Field.USER_NAME, "$"),
        benign_title="Directory secrets were replicated by a machine account, as domain controllers do",
        scope=Scope.TARGETED,
    ),
    Indicator(
        code="dcsync_command",
        title="A command that replicates directory secrets",
        techniques=("T1003.006",),
        types=COMMANDS,
        where=said("lsadump::dcsync", "invoke-dcsync", "drsuapi", "get-adreplaccount"),
        cite=(Field.PROCESS_COMMAND_LINE, Field.SCRIPT_TEXT),
        log_odds=3.0,
    ),
    Indicator(
        code="backup_key_exported",
        title="The domain's DPAPI backup keys were exported to files",
        techniques=("T1003", "T1555"),
        types=types(EventType.FILE_CHANGE),
        where=all_of(
            starts(Field.FILE_NAME, "ntds_capi_", "ntds_legacy_"), ends(Field.FILE_NAME, ".pvk", ".pfx", ".der", ".key")
        ),
        cite=(Field.FILE_PATH, Field.PROCESS_EXECUTABLE),
        log_odds=3.5,
    ),
)
