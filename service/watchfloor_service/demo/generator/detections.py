"""The rules that the intrusion trips, in the words of the products that own them."""

from __future__ import annotations

from typing import Final

from watchfloor_service.demo.generator import sentinel, suricata
from watchfloor_service.demo.generator.sentinel import Detection
from watchfloor_service.demo.generator.suricata import Signature
from watchfloor_service.demo.generator.wazuh import Rule

STOLEN: Final = "adm.keane"
"""The administrator whose credentials are carried on."""
IMPLANT_PATH: Final = r"C:\Users\l.novak\AppData\Local\Temp\kestrelsync.exe"

DOWNLOAD: Final = Signature(
    2018959,
    "ET POLICY PE EXE or DLL Windows file download HTTP",
    suricata.POLICY,
    1,
    5,
    suricata.attack("TA0011", "T1105"),
)
BEACON: Final = Signature(
    2032749,
    "ET MALWARE Cobalt Strike Beacon Activity (GET)",
    suricata.TROJAN,
    1,
    3,
    suricata.attack("TA0011", "T1071"),
)
REMOTE_EXECUTABLE: Final = Signature(
    2025701,
    "ET POLICY SMB2 NT Create AndX Request For an Executable File",
    suricata.BAD_TRAFFIC,
    2,
    2,
    suricata.attack("TA0008", "T1021"),
)
TUNNEL: Final = Signature(
    1000014,
    "LOCAL DNS query with a label of more than 40 characters to a domain first seen today",
    suricata.TROJAN,
    1,
    1,
    suricata.attack("TA0010", "T1048"),
)

LSASS_READ: Final = Rule(
    "92900",
    12,
    rf"Lsass process was accessed by {IMPLANT_PATH} with read permissions, possible credential dump",
    ("sysmon", "sysmon_eid10_detections", "windows"),
    ("T1003.001",),
)
DISCOVERY: Final = Rule(
    "92033",
    3,
    "Discovery activity spawned via powershell execution",
    ("sysmon", "sysmon_eid1_detections", "windows"),
    ("T1087", "T1059.001"),
)
DROPPED: Final = Rule(
    "92213",
    15,
    "Executable file dropped in folder commonly used by malware",
    ("sysmon", "sysmon_eid11_detections", "windows"),
    ("T1105",),
)
PASS_THE_HASH: Final = Rule(
    "92652",
    6,
    rf"Successful Remote Logon Detected - User:\{STOLEN} - NTLM authentication, possible pass-the-hash attack.",
    ("windows", "windows_security", "authentication_success"),
    ("T1550.002", "T1078"),
)
SERVICE: Final = Rule(
    "92650",
    12,
    "New Windows Service Created to start from windows root path. Suspicious event as the binary may have been "
    "dropped using Windows Admin Shares.",
    ("windows", "windows_system"),
    ("T1569.002",),
)
LOG_CLEARED: Final = Rule(
    "63103", 5, "The Windows event log was cleared", ("windows", "windows_system", "log_clearing"), ("T1070.001",)
)

MALICIOUS_MAIL: Final = Detection(
    "Email messages containing malicious file removed after delivery",
    "4b1820ec-39dc-45f3-abf6-5ee80df51fd2",
    sentinel.MAIL,
    "Informational",
    "InitialAccess",
    ("T1566",),
)
WORD_BEHAVIOUR: Final = Detection(
    "Suspicious behavior by Microsoft Word was observed",
    "WindowsDefenderAtp",
    sentinel.ENDPOINT,
    "Medium",
    "Execution",
    ("T1204", "T1059"),
)
POWERSHELL_DOWNLOAD: Final = Detection(
    "Suspicious PowerShell download or encoded command execution",
    "WindowsDefenderAtp",
    sentinel.ENDPOINT,
    "Medium",
    "Execution",
    ("T1059",),
)
LDAP_QUERY: Final = Detection(
    "Suspicious LDAP query",
    "WindowsDefenderAtp",
    sentinel.ENDPOINT,
    "Medium",
    "Discovery",
    ("T1018", "T1069", "T1087"),
)
LSASS_ACCESS: Final = Detection(
    "Suspicious access to LSASS service",
    "WindowsDefenderAtp",
    sentinel.ENDPOINT,
    "High",
    "CredentialAccess",
    ("T1003",),
)
IDENTITY_THEFT: Final = Detection(
    "Suspected identity theft (pass-the-hash)",
    "PassTheHashSecurityAlert",
    sentinel.IDENTITY,
    "High",
    "LateralMovement",
    ("T1550",),
)
DCSYNC: Final = Detection(
    "Suspected DCSync attack (replication of directory services)",
    "DirectoryServicesReplicationSecurityAlert",
    sentinel.IDENTITY,
    "High",
    "CredentialAccess",
    ("T1003",),
)
LONG_QUERIES: Final = Detection(
    "DNS queries of unusual length from a file server",
    "d1f5a2c4-9b6e-4a53-8f10-77c2e9b1a001",
    sentinel.ANALYTICS,
    "Medium",
    "Exfiltration",
    ("T1048",),
)
