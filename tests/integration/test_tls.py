"""Whom the connector trusts: over each of its doors, a server that cannot prove who it is hears no secret."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connector.adapters.lookup import Lookup
from connector.adapters.reach import encryption, said
from connector.adapters.rest import RestClient, tls_context
from connector.adapters.websocket import Endpoint
from connector.config.sink import Basic, Registry
from connector.config.source import Source
from connector.errors import RegistryUnavailable, SourceUnavailable
from connector.runtime.budget import Budget

CANARY = "canary-tls-5d1c"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
PEM = serialization.Encoding.PEM

# What is wrong with the server, and what the error says of it.
FAULTS = {
    "expired": "certificate has expired",
    "not yet valid": "certificate is not yet valid",
    "another host": "not valid for|doesn't match|IP address mismatch",
    "another authority": "self-signed certificate|unable to get local issuer",
    "TLS 1.1": "(?i)protocol|ended the connection",
}


def named(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certificate(fault, key):
    """A certificate of its own for 127.0.0.1, and what is wrong with it."""
    begins, ends = {"expired": (-3, -1), "not yet valid": (1, 3)}.get(fault, (-1, 30))
    host = "127.0.0.2" if fault == "another host" else "127.0.0.1"
    return (
        x509.CertificateBuilder(named("test"), named("test"), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW + begins * DAY)
        .not_valid_after(NOW + ends * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
    )


def only_1_1(context):
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1


@asynccontextmanager
async def server(folder, fault):
    """Listens with that fault; its port, the CA that clients trust, and all that clients said through TLS."""
    private = KEY.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    own = certificate(fault, KEY)
    (folder / "server.pem").write_bytes(private + own)
    (folder / "ca.pem").write_bytes(certificate(None, OTHER) if fault == "another authority" else own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    if fault == "TLS 1.1":
        only_1_1(context)
    heard = bytearray()

    async def listen(reader, writer):
        heard.extend(await reader.read(65536))
        writer.close()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield SimpleNamespace(port=listening.sockets[0].getsockname()[1], ca=folder / "ca.pem", heard=heard)


async def stream(one, folder, client):
    endpoint = Endpoint(
        f"wss://127.0.0.1:{one.port}/stream", open_timeout=5, ping_interval=5, ping_timeout=5, probe_interval=1,
        max_frame=65536, compression=False, tls=tls_context("wss:", one.ca), client=client,
    )  # fmt: skip
    await endpoint.open(CANARY, "s1")


async def rest(one, folder, _client):
    token = folder / "token"
    token.write_text(CANARY)
    token.chmod(0o600)
    source = Source(departments_url=f"https://127.0.0.1:{one.port}/departments", token_file=token, ca_file=one.ca)
    async with RestClient(source, Budget(60)) as client:
        await client.departments()


async def registry(one, folder, _client):
    password = folder / "password"
    password.write_text(CANARY)
    password.chmod(0o600)
    settings = Registry(
        urls=[f"https://127.0.0.1:{one.port}"],
        ca_file=one.ca,
        basic=Basic(username="u", password_file=password),
        timeout=5,
    )
    async with Lookup(settings) as lookup:
        await lookup.verify_registered({"t": "metric-update"})


async def check(one, _folder, _client):
    await encryption("127.0.0.1", one.port, one.ca, timeout=5)


DOORS = [(stream, "websockets"), (stream, "picows"), (rest, ""), (registry, ""), (check, "")]
ERRORS = (SourceUnavailable, RegistryUnavailable, OSError)


def knock(folder, door, client, fault):
    """The error, and what the server heard."""

    async def there():
        async with server(folder, fault) as one:
            try:
                await asyncio.wait_for(door(one, folder, client), 20)
            except ERRORS as error:
                return said(error) if door is check else str(error), bytes(one.heard)
            return None, bytes(one.heard)

    return asyncio.run(there())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("door", "client"), DOORS, ids=lambda one: getattr(one, "__name__", one))
def test_a_server_that_cannot_be_trusted_hears_nothing(tmp_path, door, client, fault):
    error, heard = knock(tmp_path, door, client, fault)
    assert heard == b""
    assert error is not None
    assert re.search(FAULTS[fault], error), error
    assert CANARY not in error


@pytest.mark.parametrize(("door", "client"), DOORS, ids=lambda one: getattr(one, "__name__", one))
def test_control_one_that_can_be_trusted_hears_the_request(tmp_path, door, client):
    error, heard = knock(tmp_path, door, client, None)
    if door is check:
        assert error is None
        return
    assert heard.startswith(b"GET /")
    assert b"authorization:" in heard.lower()
    assert error is not None


def test_control_who_accepts_tls_1_1_is_served_by_the_old_server(tmp_path):
    async def old_client(one, _folder, _client):
        context = ssl.create_default_context(cafile=one.ca)
        only_1_1(context)
        _, writer = await asyncio.open_connection("127.0.0.1", one.port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.1"
        writer.close()

    assert knock(tmp_path, old_client, "", "TLS 1.1") == (None, b"")
