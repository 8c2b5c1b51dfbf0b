"""A real LDAP server for tests: OpenLDAP's slapd, in a folder and on ports of its own, for as long as a test lasts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from watchfloor_service.supervision.listening import free_port

BASE: Final = "dc=corp,dc=example"
READER: Final = f"cn=reader,{BASE}"
PASSWORD: Final = "r3ader's Password"
WRITER: Final = f"cn=writer,{BASE}"
"""Locks accounts and writes their descriptions; has the same password as the reader."""
POLICY: Final = f"cn=policy,{BASE}"
SCHEMAS: Final = Path("/etc/ldap/schema")
MODULES: Final = Path("/usr/lib/ldap")
POLL_S: Final = 0.01
_PATH: Final = "/usr/sbin:/usr/lib/openldap:/usr/bin:/usr/local/sbin"

_LIFE_OF_A_SERVER: Final = """
exec 3<&0
"$SLAPD" -f "$HOME/slapd.conf" -h "$URLS" -d sync 2>"$HOME/log" &
server=$!
{ read -r _ <&3; kill "$server"; } &
wait "$server"
kill "$!" 2>/dev/null
wait
"""
"""Reads until its input closes, which also happens when the test run is killed: no server outlives it."""


def program(name: str) -> str:
    """Skips the test where it is not installed."""
    found = shutil.which(name, path=_PATH)
    if found is None or not (SCHEMAS / "core.schema").exists():
        pytest.skip(f"{name} is not installed here (Debian: apt-get install slapd)")
    return found


@dataclass(frozen=True, slots=True)
class Certificates:
    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, name: x509.GeneralName) -> Certificates:
    """A certificate for a server of that name, by an authority that is trusted by nobody else."""
    folder.mkdir(parents=True)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority of {folder.name}")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "directory")])
    issuer_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def begun(who: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(who).issuer_name(issuer).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

    authority = begun(issuer, issuer_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    server = begun(subject, key.public_key()).add_extension(x509.SubjectAlternativeName([name]), critical=False)
    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    made.ca.write_bytes(authority.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(server.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


LOOPBACK: Final = x509.IPAddress(IPv4Address("127.0.0.1"))


@dataclass(slots=True)
class Slapd:
    """A server that answers, until `stop`."""

    port: int
    """Of plain text and StartTLS."""
    tls_port: int
    certificates: Certificates
    process: subprocess.Popen[str]

    def stop(self) -> None:
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(timeout=30)


@contextmanager
def slapd(ldif: str, *, certified_as: x509.GeneralName = LOOPBACK, size_limit: int | None = None) -> Iterator[Slapd]:
    """A server that holds the entries. It shows them to `READER` and `WRITER` and to nobody else, and passwords not
    even to them. `POLICY` is the password policy of all that have none of their own, where the entries hold it."""
    installed = program("slapd")
    home = Path(tempfile.mkdtemp(prefix="wf-ldap-"))
    # Under its own path, a profile of AppArmor may keep it to the system's own folders.
    server = shutil.copy(installed, home / "slapd")
    certificates = make_certificates(home / "tls", certified_as)
    try:
        (home / "data").mkdir()
        (home / "slapd.conf").write_text(_configuration(home, certificates, size_limit))
        (home / "entries.ldif").write_text(_HEAD + ldif)
        command = [server, "-T", "add", "-f", home / "slapd.conf", "-l", home / "entries.ldif"]
        added = subprocess.run(command, capture_output=True, text=True, check=False)
        assert added.returncode == 0, added.stderr
        port, tls_port = free_port(), free_port()
        urls = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
        with subprocess.Popen(
            ["/bin/sh", "-c", _LIFE_OF_A_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={"HOME": str(home), "SLAPD": str(server), "URLS": urls, "PATH": _PATH},
            text=True,
            start_new_session=True,
        ) as process:
            found = Slapd(port, tls_port, certificates, process)
            try:
                _wait_until_it_listens(process, (port, tls_port), home / "log")
                yield found
            finally:
                found.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_it_listens(process: subprocess.Popen[str], ports: tuple[int, ...], log: Path) -> None:
    """It says that it starts a moment before it listens."""
    for port in ports:
        while True:
            assert process.poll() is None, f"slapd does not start:\n{log.read_text()}"
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(POLL_S)


def _configuration(home: Path, certificates: Certificates, size_limit: int | None) -> str:
    (home / "windows.schema").write_text(_WINDOWS)
    lines = [
        *(f"include {SCHEMAS / one}.schema" for one in ("core", "cosine", "nis", "inetorgperson")),
        f"include {home / 'windows.schema'}",
        f"modulepath {MODULES}",
        "moduleload back_mdb",
        "moduleload ppolicy",
        f"pidfile {home / 'slapd.pid'}",
        f"argsfile {home / 'slapd.args'}",
        f"TLSCACertificateFile {certificates.ca}",
        f"TLSCertificateFile {certificates.certificate}",
        f"TLSCertificateKeyFile {certificates.key}",
        "database mdb",
        f'suffix "{BASE}"',
        f"directory {home / 'data'}",
        "maxsize 16777216",
        # It lives as long as a test: nothing has to outlast a power cut.
        "dbnosync",
        "overlay ppolicy",
        f'ppolicy_default "{POLICY}"',
        *([f"limits * size={size_limit}"] if size_limit else []),
        "access to attrs=userPassword by anonymous auth by * none",
        f'access to attrs={_WRITABLE} by dn.exact="{WRITER}" write by dn.exact="{READER}" read by * none',
        f'access to * by dn.exact="{READER}" read by dn.exact="{WRITER}" read by anonymous auth by * none',
    ]
    return "\n".join(lines) + "\n"


_WRITABLE: Final = "pwdAccountLockedTime,description,userAccountControl"
_TEXT: Final = "EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE"
_NUMBER: Final = "EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE"
_WINDOWS: Final = f"""\
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' {_TEXT} )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' {_TEXT} )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' {_NUMBER} )
attributetype ( 1.2.840.113556.1.4.96 NAME 'pwdLastSet' {_NUMBER} )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' {_NUMBER} )
attributetype ( 1.2.840.113556.1.4.98 NAME 'primaryGroupID' {_NUMBER} )
attributetype ( 1.2.840.113556.1.4.146 NAME 'objectSid' SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL
  MAY ( sAMAccountName $ userPrincipalName $ userAccountControl $ pwdLastSet $ accountExpires $ primaryGroupID
  $ objectSid ) )
objectclass ( 1.2.840.113556.1.3.30 NAME 'computer' SUP user STRUCTURAL )
"""
"""Of Active Directory, as far as it is read. OpenLDAP's own ``msuser.schema`` has them, and compares none of them."""
_HEAD: Final = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: corp
o: Corp

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {PASSWORD}

dn: {WRITER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: writer
userPassword: {PASSWORD}

"""
