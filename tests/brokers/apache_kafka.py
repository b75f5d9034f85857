"""A real Apache Kafka for the tests: one KRaft node from the published jars, with a plain, a SASL and a TLS port.

The jars come once by Maven into `.cache/kafka-VERSION` and are used again. Needs Java 17 or newer.
"""

import asyncio
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from streams.broker import answers, dying_with_us, free_port
from streams.kafka import KafkaConfig, ensure_topics
from streams.transport import TransportError

VERSION = "4.1.1"
CACHE = Path(__file__).parents[2] / ".cache" / f"kafka-{VERSION}"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>attendant.tests</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
 <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
  <version>{VERSION}</version></dependency>
 <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
  <version>2.24.3</version></dependency>
 <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
  <version>2.24.3</version></dependency>
</dependencies></project>
"""
LOG4J = """<Configuration status="ERROR"><Appenders><Console name="out">
<PatternLayout pattern="%d{HH:mm:ss,SSS} %p %c{1} %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""
USER = "attendant"


class KafkaMissingError(Exception):
    """Kafka cannot be run on this machine; the text says what it needs."""


def find_jars() -> Path:
    """The folder of Kafka's jars, fetched by Maven the first time.

    Raises:
        KafkaMissingError: no Java 17, or no jars and no Maven to fetch them.
    """
    _check_java()
    CACHE.mkdir(parents=True, exist_ok=True)
    jars = CACHE / "lib"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once fetch once
        if not jars.is_dir():
            _fetch(jars)
    return jars


def _check_java() -> None:
    java = shutil.which("java")
    if java is None:
        raise KafkaMissingError("Apache Kafka needs Java 17, and there is no java here")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        raise KafkaMissingError(f"Apache Kafka needs Java 17, here is {said.splitlines()[:1]}")


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissingError("Apache Kafka's jars are fetched by Maven, and there is no mvn here")
    (CACHE / "pom.xml").write_text(POM)
    incoming = CACHE / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    command = [maven, "-q", "-B", "-f", str(CACHE / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={incoming}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise KafkaMissingError(f"Maven could not fetch Apache Kafka: {(lines or ['?'])[0]}")
    incoming.rename(jars)


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority of our own."""

    ca: Path
    server: Path
    """Key and certificate, as Kafka's PEM keystore wants them."""
    client: Path
    other_ca: Path
    """One that signed nothing here."""

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        ca = trustme.CA()
        made = cls(folder / "ca.pem", folder / "server.pem", folder / "client.pem", folder / "other.pem")
        ca.cert_pem.write_to_path(made.ca)
        trustme.CA().cert_pem.write_to_path(made.other_ca)
        _write(ca.issue_cert("127.0.0.1"), made.server)
        _write(ca.issue_cert("client@attendant.test"), made.client)
        return made


def _write(issued: trustme.LeafCert, file: Path) -> None:
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Java reads PKCS 8 only.
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [certificate.bytes() for certificate in issued.cert_chain_pems]
    file.write_bytes(b"".join(parts))


class ApacheKafka:
    """One node that can be killed and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jars = find_jars()
        self._process: subprocess.Popen[bytes] | None = None
        self.certificates = Certificates.make(folder)
        self.password = "canary-" + secrets.token_urlsafe(12)
        """Of `USER`; must appear nowhere."""
        self.bootstrap_servers, self.sasl_servers, self.tls_servers, controller = (
            f"127.0.0.1:{free_port()}" for _ in range(4)
        )
        (folder / "log4j2.xml").write_text(LOG4J)
        (folder / "server.properties").write_text(self._properties(controller))
        cluster = self._tool("random-uuid").strip().splitlines()[-1]
        scram = f"SCRAM-SHA-512=[name={USER},password={self.password}]"
        config = str(folder / "server.properties")
        self._tool("format", "--standalone", "-t", cluster, "-c", config, "--add-scram", scram)

    def config(self, **changes: object) -> KafkaConfig:
        """For the plain port, with waits short enough for tests."""
        settings = {"session_timeout_ms": 3_000, "restore_timeout_s": 2.0, "rebalance_timeout_ms": 10_000}
        return KafkaConfig.model_validate(
            {"bootstrap_servers": self.bootstrap_servers, **settings, **changes}
        )

    def sasl_config(self, **changes: object) -> KafkaConfig:
        """For the port that wants TLS and SCRAM."""
        settings = {
            "bootstrap_servers": self.sasl_servers,
            "security_protocol": "SASL_SSL",
            "ssl_cafile": self.certificates.ca,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password": self.password,
        }
        return self.config(**{**settings, **changes})

    def tls_config(self, **changes: object) -> KafkaConfig:
        """For the port that wants a client certificate."""
        settings = {
            "bootstrap_servers": self.tls_servers,
            "security_protocol": "SSL",
            "ssl_cafile": self.certificates.ca,
            "ssl_certfile": self.certificates.client,
        }
        return self.config(**{**settings, **changes})

    async def start(self, ready_timeout_s: float = 60.0) -> None:
        """Start, and wait until it serves."""
        with (self._folder / "server.log").open("ab") as log:
            options = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            command = [*dying_with_us(), *self._java(*options), "kafka.Kafka"]
            command.append(str(self._folder / "server.properties"))
            # Not asyncio's: it outlives the loop of the test that killed and started it.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - forking takes a moment, once a session
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + ready_timeout_s
        while not await self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Apache Kafka did not start:\n{self.log()[-2000:]}")
            await asyncio.sleep(0.2)

    async def _serves(self) -> bool:
        if not await answers(self.bootstrap_servers):
            return False
        try:
            await ensure_topics(self.config(), {"ready": 1})
        except TransportError:
            return False
        return True

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody, nothing flushed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    async def restart(self) -> None:
        """Kill it and start it on the same data."""
        self.kill()
        await self.start()

    def log(self) -> str:
        """What it printed."""
        return (self._folder / "server.log").read_text("utf-8", "replace")

    def _tool(self, *arguments: str) -> str:
        command = [*self._java("-Xmx256m"), "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"StorageTool {arguments[0]}: {done.stdout[-500:]} {done.stderr[-500:]}")
        return done.stdout

    def _java(self, *options: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.xml'}"
        return ["java", *options, "-Djava.awt.headless=true", log4j, "-cp", f"{self._jars}{os.sep}*"]

    def _properties(self, controller: str) -> str:
        plain, sasl, tls = self.bootstrap_servers, self.sasl_servers, self.tls_servers
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={controller}
listeners=PLAINTEXT://{plain},SASL_SSL://{sasl},SSL://{tls},CONTROLLER://{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{self.password}";
ssl.keystore.type=PEM
ssl.keystore.location={self.certificates.server}
ssl.truststore.type=PEM
ssl.truststore.location={self.certificates.ca}
listener.name.ssl.ssl.client.auth=required
log.dirs={self._folder / "data"}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
"""
