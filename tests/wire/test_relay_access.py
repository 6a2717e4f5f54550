"""Relays and a NATS server that lets in only those who prove who they are, or that only speaks TLS."""

import asyncio
import base64
import importlib
import json
import os
import ssl
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import multicast
from multicast.relay import Relay, Route
from tests.wire.relaying import NatsServer, eventually, relaying

pytestmark = [pytest.mark.platform("linux"), pytest.mark.private_net]

GROUP, PORT = "239.4.20.1", 49_420
_PREFIXES = {"O": "PREFIX_BYTE_OPERATOR", "A": "PREFIX_BYTE_ACCOUNT", "U": "PREFIX_BYTE_USER"}


class Key:
    """A new key pair of NATS, of an operator (O), an account (A) or a user (U)."""

    def __init__(self, kind: str) -> None:
        # nkeys has no types.
        nkeys: Any = importlib.import_module("nkeys")
        self.seed = bytes(nkeys.encode_seed(os.urandom(32), getattr(nkeys, _PREFIXES[kind])))
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public: str = self._pair.public_key.decode()

    def token(self, subject: str, **nats: object) -> str:
        """Return a JSON web token of NATS about a subject, signed with this key."""
        claims = {
            "iss": self.public,
            "sub": subject,
            "name": "test",
            "iat": 1,
            "nats": {"version": 2, **nats},
        }
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, claims)
        body = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{body}.{_base64(self._pair.sign(body.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def password(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return a configuration of the server, and the options of a relay that it lets in."""
    return 'authorization { user: "me", password: "secret" }', {"user": "me", "password": "secret"}


def nkey(folder: Path) -> tuple[str, dict[str, Any]]:
    user = Key("U")
    (folder / "seed").write_bytes(user.seed)
    return f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}", {"nkeys_seed": str(folder / "seed")}


def credentials(folder: Path) -> tuple[str, dict[str, Any]]:
    operator, account, user = Key("O"), Key("A"), Key("U")
    unlimited = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf"], -1)
    of_account = operator.token(account.public, type="account", limits={**unlimited, "wildcards": True})
    of_user = account.token(user.public, type="user", pub={}, sub={}, subs=-1, data=-1, payload=-1)
    (folder / "relay.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    config = (
        f"operator: {operator.token(operator.public, type='operator')}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {account.public}: {of_account} }}\n"
    )
    return config, {"user_credentials": str(folder / "relay.creds")}


def certificate(folder: Path) -> tuple[str, dict[str, Any]]:
    made, key = folder / "server.pem", folder / "server.key"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {made}"
    subprocess.run(
        [*words.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True
    )
    context = ssl.create_default_context(cafile=made)
    return f'tls {{ cert_file: "{made}", key_file: "{key}" }}', {"tls": context}


WAYS = [password, nkey, credentials, certificate]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@contextmanager
def serving(folder: Path, config: str) -> Generator[NatsServer, None, None]:
    (folder / "nats.conf").write_text(config)
    server = NatsServer(config=folder / "nats.conf")
    try:
        yield server
    finally:
        server.kill()


def relay_to(server: NatsServer, options: dict[str, Any]) -> Relay:
    scheme = "tls" if "tls" in options else "nats"
    url = server.url.replace("nats://", f"{scheme}://")
    return Relay([Route(f"{GROUP}:{PORT}%lo", (f"{url}/feeds",))], nats=options)


@every_way
def test_relay_that_proves_who_it_is_sends(
    way: Callable[[Path], tuple[str, dict[str, Any]]], tmp_path: Path
) -> None:
    config, options = way(tmp_path)

    async def main(relay: Relay) -> None:
        async with relaying(relay), multicast.aio.Sender(GROUP, PORT, interface="lo") as tx:
            await tx.send_many([b"x"] * 100)
            await eventually(lambda: relay.stats()[0].sent == 100, "all to be sent")

    with serving(tmp_path, config) as server:
        relay = relay_to(server, options)
        asyncio.run(main(relay))
    assert relay.stats()[0].lost_here == 0


@every_way
def test_relay_that_proves_nothing_says_why_it_is_not_connected(
    way: Callable[[Path], tuple[str, dict[str, Any]]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, options = way(tmp_path)
    stranger = {"tls": ssl.create_default_context()} if "tls" in options else {}
    reason = "certificate verify failed" if stranger else "authorization violation"

    async def main(relay: Relay) -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(relay.run(stop))
        await eventually(lambda: reason in caplog.text.lower(), f"{reason!r} in the log")
        assert relay.stats()[0].connected is False
        stop.set()
        await task

    with serving(tmp_path, config) as server:
        asyncio.run(main(relay_to(server, stranger)))


@pytest.mark.parametrize("kind", ["address", "option"])
def test_relay_that_requires_tls_sends_nothing_to_a_server_without_it(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, options = password(tmp_path)
    reason = "the server does not require TLS"

    async def main(relay: Relay) -> None:
        stop = asyncio.Event()
        task = asyncio.ensure_future(relay.run(stop))
        await eventually(
            lambda: reason in caplog.text or any(leg.connected for leg in relay.stats()), "an answer"
        )
        assert relay.stats()[0].connected is False
        stop.set()
        await task

    with serving(tmp_path, config) as server:
        url = server.url.replace("nats://", "tls://") if kind == "address" else server.url
        tls = {"tls": ssl.create_default_context()} if kind == "option" else {}
        asyncio.run(main(Relay([Route(f"{GROUP}:{PORT}%lo", (f"{url}/feeds",))], nats={**options, **tls})))
    assert reason in caplog.text
