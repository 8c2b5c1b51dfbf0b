"""An OpenLDAP server of the test's own: real slapd, a database that goes with it, TLS by a CA of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SLAPD: Final = shutil.which("slapd") or ("/usr/sbin/slapd" if Path("/usr/sbin/slapd").exists() else None)
BASE: Final = "dc=example,dc=org"
READER: Final = f"cn=reader,{BASE}"
PASSWORD: Final = "only for this test"
_STARTS_WITHIN_S: Final = 20.0

_CONFIG: Final = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/slapd.pid
TLSCACertificateFile {home}/ca.pem
TLSCertificateFile {home}/server.pem
TLSCertificateKeyFile {home}/server.key
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by anonymous auth by * none
database mdb
suffix "{base}"
directory {home}/data
rootdn "cn=root,{base}"
"""

_PEOPLE: Final = """
dn: {base}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {reader}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {password}

dn: uid=ann,{base}
objectClass: inetOrgPerson
objectClass: posixAccount
objectClass: shadowAccount
uid: ann
cn: Ann Archer
sn: Archer
displayName: Ann "the <b>admin</b>" Archer
title: Engineer
departmentNumber: 42
mail: ann@example.org
manager: uid=lea,{base}
uidNumber: 1001
gidNumber: 1001
homeDirectory: /home/ann
loginShell: /bin/bash
shadowLastChange: 20000
userPassword: a secret of Ann

dn: uid=old,{base}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: old
cn: Old Account
sn: Account
uidNumber: 1002
gidNumber: 1002
homeDirectory: /home/old
loginShell: /usr/sbin/nologin

dn: cn=operators,{base}
objectClass: groupOfNames
cn: Operators
member: uid=ann,{base}

dn: cn=staff,{base}
objectClass: posixGroup
cn: staff
gidNumber: 500
memberUid: ann
memberUid: old
"""


@dataclass
class DirectoryServer:
    """A running server."""

    port: int
    tls_port: int
    ca_file: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def directory_server() -> Iterator[DirectoryServer]:
    """A server with two accounts and two groups. Needs `SLAPD`."""
    assert SLAPD is not None, "slapd is not installed"
    # A short path of its own: slapd may be confined to some.
    home = Path(tempfile.mkdtemp(prefix="wf-ldap-"))
    try:
        (home / "data").mkdir()
        _write_certificates(home)
        names = {"home": home, "base": BASE, "reader": READER, "password": PASSWORD}
        (home / "slapd.conf").write_text(_CONFIG.format(**names))
        (home / "people.ldif").write_text(_PEOPLE.format(**names).lstrip())
        _run(SLAPD, "-Tadd", "-f", str(home / "slapd.conf"), "-l", str(home / "people.ldif"))
        ports = [_free_port(), _free_port()]
        addresses = f"ldap://127.0.0.1:{ports[0]} ldaps://127.0.0.1:{ports[1]}"
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [SLAPD, "-f", str(home / "slapd.conf"), "-h", addresses, "-d", "none"],
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath},
            )
        server = DirectoryServer(ports[0], ports[1], home / "ca.pem", process)
        try:
            _wait_for(server, home / "log")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, env={"PATH": os.defpath})
    assert done.returncode == 0, done.stderr.decode()


def _wait_for(server: DirectoryServer, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", server.tls_port), timeout=1.0):
                return
        except OSError:
            if server.process.poll() is not None:
                break
    raise RuntimeError(f"slapd did not start: {log.read_text()}")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _write_certificates(home: Path) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA of the test")])
    now = datetime.now(UTC)

    def made(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )

    ca = made(ca_name, ca_key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("127.0.0.1")])
    server = made(subject, key.public_key()).add_extension(addresses, critical=False)
    pem = serialization.Encoding.PEM
    (home / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (home / "server.pem").write_bytes(server.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (home / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
