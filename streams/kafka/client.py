"""What source, sink and topics need of aiokafka alike: arguments, deadlines, and errors in one readable line."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka import conn, errors
from aiokafka.protocol.metadata import MetadataRequest

from streams.kafka.config import KafkaConfig
from streams.transport import TransportError

T = TypeVar("T")


def client_arguments(config: KafkaConfig) -> dict[str, Any]:
    """Arguments that every aiokafka client takes.

    Raises:
        TransportError: certificate files that cannot be used.
    """
    return {"bootstrap_servers": config.bootstrap_servers.split(","), **_connection_arguments(config)}


def _connection_arguments(config: KafkaConfig) -> dict[str, Any]:
    try:
        context = config.ssl_context()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TransportError(f"Kafka: the TLS files cannot be used: {one_line(error, config)}") from None
    arguments: dict[str, Any] = {
        "client_id": config.client_id,
        "request_timeout_ms": int(config.request_timeout_s * 1000),
        "security_protocol": str(config.security_protocol),
        "ssl_context": context,
    }
    if config.sasl_mechanism is not None and config.sasl_password is not None:
        arguments |= {
            "sasl_mechanism": str(config.sasl_mechanism),
            "sasl_plain_username": config.sasl_username,
            "sasl_plain_password": config.sasl_password.get_secret_value(),
        }
    return arguments


async def within(config: KafkaConfig, seconds: float, what: str, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which should `what`, for at most so long.

    It is cancelled then but not awaited any more: a client of a dead broker can hang in its own cancellation.

    Raises:
        TransportError: it took too long, or Kafka or the network refused.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(retrieved)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        raise TransportError(f"Kafka did not {what} within {seconds:g} s")
    if task.cancelled():  # by the client itself; as CancelledError it would look like our own end
        raise TransportError(f"Kafka did not {what}: the client gave up")
    try:
        return task.result()
    except TransportError:
        raise
    except Exception as error:
        raise TransportError(f"Kafka did not {what}: {one_line(error, config)}") from error


def retrieved(task: "asyncio.Future[Any]") -> None:
    """Look at the outcome of a task that may have been abandoned, so that asyncio doesn't complain of it."""
    if not task.cancelled():
        task.exception()


async def explained(config: KafkaConfig, error: TransportError) -> TransportError:
    """`error` of a failed start with its cause in words, where a second look finds one."""
    problem = await connection_problem(config)
    return TransportError(f"Kafka: {problem}") if problem else error


async def connection_problem(config: KafkaConfig) -> str | None:
    """Try each server once more and say in words what is wrong, or None where one lets us in.

    aiokafka tells the cause of a failed start to its log only; what it raises is "unable to bootstrap".
    """
    problems = []
    arguments = _connection_arguments(config)
    for server in config.bootstrap_servers.split(","):
        host, _, port = server.rpartition(":")
        try:
            connection = await conn.create_conn(host.strip("[]"), int(port), **arguments)
            try:
                # A port that wants a login lets us ask for its version, but nothing else.
                await connection.send(MetadataRequest([]))
            finally:
                connection.close()
        except (errors.KafkaError, OSError) as error:  # TimeoutError is an OSError
            problems.append(f"{server} {_in_words(error, config)}")
        else:
            return None
    return "; ".join(problems)


def _in_words(error: Exception, config: KafkaConfig) -> str:
    detail = one_line(error, config)
    match error:
        case ssl.SSLCertVerificationError():
            return f"has a certificate that is not trusted: {error.verify_message}"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            return "does not speak TLS on this port"
        case ssl.SSLError():
            return f"failed in the TLS handshake: {detail}"
        case TimeoutError():
            return f"did not answer within {config.request_timeout_s:g} s"
        case ConnectionRefusedError():
            return "refuses connections: no broker listens there"
        case socket.gaierror():
            return f"is no known host: {error.strerror}"
        case errors.UnsupportedSaslMechanismError() | errors.IllegalSaslStateError():
            return f"does not offer {config.sasl_mechanism} on this port: {detail}"
        case errors.SaslAuthenticationFailed() | errors.AuthenticationFailedError():
            return f"refuses user {config.sasl_username!r}: wrong name or password"
        case errors.KafkaConnectionError() | ConnectionError():
            return f"closed the connection: does it expect another protocol than {config.security_protocol}?"
        case _:
            return f"cannot be used: {detail}"


def one_line(error: BaseException, config: KafkaConfig) -> str:
    """The error's text on one line, without the secrets of `config`."""
    text = " ".join(str(error).split()) or type(error).__name__
    for secret in config.secrets():
        text = text.replace(secret, "***")
    return text[:300]
