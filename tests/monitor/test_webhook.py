"""Webhooks against real receivers; signatures are checked with the public library."""

import asyncio
import ipaddress
import json
import socket
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from monitor.alerts import body
from monitor.notifiers.addresses import Guard
from monitor.notifiers.base import Answer, Outcome
from monitor.notifiers.kafka_topic import KafkaAlertsSettings, KafkaTopicNotifier
from monitor.notifiers.webhook import WebhookNotifier, WebhookSettings, answer_of
from monitor.outbox import Job
from streams.transport import TransportError
from tests.monitor.receivers import drip, endpoint, hang, new_secret, receiver, reset
from tests.monitor.worlds import START, story


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def job_of(target: str = "engineering") -> Job:
    [event] = story(steps=1, resolved=False)
    return Job(
        id=1,
        lease="lease",
        event_id=event.id,
        alert_id=event.alert.id,
        target=target,
        type=event.type.value,
        kind="fault",
        severity="warning",
        device="SN-1",
        body=body(event),
        queued_ms=START,
        tries=0,
    )


@asynccontextmanager
async def started(settings: WebhookSettings) -> AsyncIterator[WebhookNotifier]:
    notifier = WebhookNotifier(settings)
    await notifier.start()
    try:
        yield notifier
    finally:
        await notifier.stop()


async def once(settings: WebhookSettings) -> Answer:
    async with started(settings) as notifier:
        return await notifier.notify(job_of(), now_ms())


# -- the standard -----------------------------------------------------------------------------------------


async def test_the_public_library_verifies_what_arrives() -> None:
    secret = new_secret()
    async with receiver() as there:
        answer = await once(endpoint(there.url, secrets=(SecretStr(secret),)))

    [hit] = there.hits
    assert answer == Answer(Outcome.DELIVERED, 204)
    payload = Webhook(secret).verify(hit.body, hit.headers)
    assert payload["type"] == "device.alert.opened"
    assert hit.headers["webhook-id"] == job_of().event_id
    assert hit.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(hit.body.replace(b"SN-1", b"SN-2"), hit.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(hit.body, hit.headers)


async def test_while_a_secret_is_changed_both_verify() -> None:
    old, new = new_secret(), new_secret()
    async with receiver() as there:
        await once(endpoint(there.url, secrets=(SecretStr(new), SecretStr(old))))

    [hit] = there.hits
    assert len(hit.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        assert Webhook(secret).verify(hit.body, hit.headers)


async def test_every_attempt_sends_the_same_id_and_bytes_with_a_timestamp_of_its_own() -> None:
    secret = new_secret()
    async with receiver() as there, started(endpoint(there.url, secrets=(SecretStr(secret),))) as notifier:
        for later_s in (0, 30, 60):
            await notifier.notify(job_of(), now_ms() + 1000 * later_s)

    assert len({hit.body for hit in there.hits}) == 1
    assert len(set(there.ids)) == 1
    assert len({hit.headers["webhook-timestamp"] for hit in there.hits}) == 3
    for hit in there.hits:
        Webhook(secret).verify(hit.body, hit.headers)


@pytest.mark.parametrize(
    ("status", "outcome", "may_retry"),
    [
        (200, Outcome.DELIVERED, False),
        (202, Outcome.DELIVERED, False),
        (301, Outcome.REDIRECT, True),
        (304, Outcome.REDIRECT, True),
        (400, Outcome.REJECTED, False),
        (401, Outcome.REJECTED, False),
        (404, Outcome.REJECTED, False),
        (408, Outcome.TIMEOUT, True),
        (410, Outcome.GONE, False),
        (413, Outcome.REJECTED, False),
        (429, Outcome.THROTTLED, True),
        (500, Outcome.SERVER_ERROR, True),
        (503, Outcome.SERVER_ERROR, True),
    ],
)
async def test_each_status_has_its_outcome(status: int, outcome: Outcome, may_retry: bool) -> None:
    async with receiver() as there:
        there.status = status
        answer = await once(endpoint(there.url))

    assert (answer.outcome, answer.status_code, answer.outcome.may_retry) == (outcome, status, may_retry)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("120", 120.0),
        ("Sun, 22 Nov 2026 05:07:40 GMT", 60.0),
        ("Sun, 22 Nov 2026 05:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
        ("\u0662", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, want: float | None) -> None:
    answer = answer_of(503, {"Retry-After": value}, START)

    assert answer.retry_after_s == want


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as there, receiver() as elsewhere:

        async def away(_: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": elsewhere.url})

        there.behaviour = away
        answer = await once(endpoint(there.url))

    assert answer.outcome is Outcome.REDIRECT
    assert elsewhere.hits == []


@pytest.mark.parametrize("behaviour", [hang, drip])
async def test_a_receiver_that_never_answers_is_a_timeout(behaviour: Any) -> None:
    async with receiver() as there:
        there.behaviour = behaviour
        began = time.monotonic()
        answer = await once(endpoint(there.url, timeout_s=1))

    assert answer.outcome is Outcome.TIMEOUT
    assert time.monotonic() - began < 15


async def test_an_endless_body_after_the_status_still_counts_as_delivered() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with receiver() as there:
        there.behaviour = endless
        answer = await once(endpoint(there.url))

    assert answer.outcome is Outcome.DELIVERED


async def test_a_broken_connection_may_be_tried_again() -> None:
    async with receiver() as there:
        there.behaviour = reset
        broken = await once(endpoint(there.url))
        closed_port = there.port
    refused = await once(endpoint(f"http://127.0.0.1:{closed_port}/"))
    unknown = await once(endpoint("http://no-such-host.invalid/", allow=("no-such-host.invalid",)))

    assert [a.outcome for a in (broken, refused, unknown)] == [Outcome.CONNECTION] * 3
    assert unknown.detail == "the host name is not found"


async def test_tls_is_verified_and_an_own_authority_can_be_named(tmp_path: Path) -> None:
    ours, foreign = trustme.CA(), trustme.CA()
    good, wrong_host = ours.issue_cert("localhost"), ours.issue_cert("elsewhere.example")
    file = tmp_path / "ca.pem"
    ours.cert_pem.write_to_path(file)
    answers = {}
    for name, certificate in {
        "good": good,
        "wrong host": wrong_host,
        "unknown authority": foreign.issue_cert("localhost"),
    }.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        async with receiver(context) as there:
            answers[name] = (
                await once(endpoint(there.url, ca_file=file, allow=("127.0.0.0/8", "::1/128")))
            ).outcome
            hits = len(there.hits)
            assert hits == (1 if name == "good" else 0)

    assert answers == {"good": Outcome.DELIVERED, "wrong host": Outcome.TLS, "unknown authority": Outcome.TLS}


# -- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f000001", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104 - called, not bound
)
async def test_no_notation_of_loopback_gets_through(host: str) -> None:
    async with receiver() as there:
        answer = await once(endpoint(f"http://{host}:{there.port}/", allow=("203.0.113.0/24",)))

    assert answer.outcome is Outcome.BLOCKED_ADDRESS
    assert there.hits == []


async def test_a_name_that_resolves_to_a_private_address_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in DNS rebinding: what the name resolves to at connect time is what counts."""
    real = socket.getaddrinfo

    def rebound(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host == "hooks.example" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    async with receiver() as there:
        blocked = await once(endpoint(f"http://hooks.example:{there.port}/", allow=("10.0.0.0/8",)))
        assert there.hits == []
        allowed = await once(endpoint(f"http://hooks.example:{there.port}/", allow=("hooks.example",)))

    assert blocked.outcome is Outcome.BLOCKED_ADDRESS
    assert blocked.detail == "address 127.0.0.1 is not on the allow list"
    assert allowed.outcome is Outcome.DELIVERED


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as there, receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        answer = await once(endpoint(there.url))

    assert answer.outcome is Outcome.DELIVERED
    assert proxy.hits == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),  # noqa: S104 - called, not bound
        ("::", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("::10.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::5db8:d70e", True),
        ("2002:7f00:1::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
    ],
)
def test_only_public_addresses_are_open_by_default(address: str, public: bool) -> None:
    assert Guard("hooks.example", ()).allows(ipaddress.ip_address(address)) is public


@given(st.ip_addresses(v=4, network="10.20.0.0/16"))
def test_an_allowed_network_is_allowed_in_every_notation(address: ipaddress.IPv4Address) -> None:
    guard, other = Guard("h", ["10.20.0.0/16"]), Guard("h", ["10.21.0.0/16"])
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")

    assert guard.allows(address)
    assert guard.allows(mapped)
    assert not other.allows(address)
    assert not other.allows(mapped)


# -- settings and secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"url": "ftp://x/CANARY"}, "https://host"),
        ({"url": "https:///CANARY"}, "https://host"),
        ({"url": "https://host:99999/CANARY"}, "not a URL"),
        ({"url": "http://hooks.example/CANARY", "allow": ()}, "plain http"),
        ({"url": "https://127.1/CANARY"}, "four numbers"),
        ({"url": "https://2130706433/CANARY"}, "four numbers"),
        ({"secrets": ()}, "at least 1"),
        ({"secrets": ("CANARY",)}, "secret 1 does not begin"),
        ({"secrets": ("whsec_CANARY!",)}, "not base64"),
        ({"secrets": ("whsec_Q0FOQVJZ",)}, "holds 6 bytes"),
        ({"allow": ("10.0.0.0/99",)}, "neither a CIDR"),
        ({"allow": ("300.1.1.1",)}, "neither a CIDR"),
        ({"ca_file": "/nonexistent.pem"}, "cannot be read: No such file"),
        ({"ca_file": __file__}, "holds no certificate"),
        ({"name": "With Blank"}, "pattern"),
        ({"timeout_s": 600}, "less than or equal to 30"),
    ],
)
def test_a_wrong_endpoint_is_refused_without_showing_its_secrets(
    changes: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why) as error:
        endpoint(str(changes.pop("url", "https://hooks.example/CANARY")), **changes)

    assert "CANARY" not in str(error.value)
    assert "Q0FOQVJZ" not in str(error.value)


async def test_neither_url_nor_secret_shows_in_answers_or_representations() -> None:
    secret = new_secret()
    settings = endpoint("http://user:CANARY@127.0.0.1:1/CANARY?key=CANARY", secrets=(SecretStr(secret),))

    answer = await once(settings)

    shown = f"{settings!r} {settings} {answer!r} {settings.model_dump_json()}"
    assert "CANARY" not in shown
    assert secret not in shown


async def test_at_most_so_many_connections_are_open_at_once() -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response(status=204)

    async with receiver() as there, started(endpoint(there.url, concurrency=4, timeout_s=15)) as notifier:
        there.behaviour = slow
        answers = await asyncio.gather(*(notifier.notify(job_of(), now_ms()) for _ in range(20)))

    assert {a.outcome for a in answers} == {Outcome.DELIVERED}
    assert there.at_once == 4


# -- the topic ---------------------------------------------------------------------------------------------------


class _Sink:
    """A broker that does as told; the real one is in test_kafka_alerts."""

    def __init__(self, error: Exception | None = None, delay_s: float = 0.0) -> None:
        self.error, self.delay_s, self.sent = error, delay_s, list[tuple[Any, ...]]()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, *, key: bytes | None, value: bytes, headers: Any = ()) -> None:
        await asyncio.sleep(self.delay_s)
        if self.error:
            raise self.error
        self.sent.append((topic, key, value, dict(headers)))

    async def send_many(self, topic: str, messages: Any) -> None: ...


async def test_an_alert_on_the_topic_has_the_same_bytes_and_id() -> None:
    sink, job = _Sink(), job_of()

    answer = await KafkaTopicNotifier(KafkaAlertsSettings(), sink).notify(job, now_ms())

    assert answer.outcome is Outcome.DELIVERED
    [(topic, key, value, headers)] = sink.sent
    assert (topic, key, value) == ("alerts", b"SN-1", job.body)
    assert headers["id"] == job.event_id.encode()
    assert json.loads(value)["data"]["id"] == str(uuid.UUID(str(job.alert_id)))


async def test_a_broker_that_is_away_or_hangs_may_be_tried_again() -> None:
    settings = KafkaAlertsSettings(timeout_s=1)
    away = await KafkaTopicNotifier(settings, _Sink(TransportError("no broker"))).notify(job_of(), now_ms())
    hangs = await KafkaTopicNotifier(settings, _Sink(delay_s=30)).notify(job_of(), now_ms())

    assert (away.outcome, away.detail, hangs.outcome) == (Outcome.CONNECTION, "no broker", Outcome.TIMEOUT)
    assert away.outcome.may_retry
    assert hangs.outcome.may_retry
