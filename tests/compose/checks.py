"""What must be seen in a stack whose simulated pump has a fault. Each check answers with what it saw."""

import json
from collections.abc import Callable
from typing import Any

from streams.simulation import fault_specs
from tests.compose.images import ROOT
from tests.compose.stack import BrokenError, CheckError, Stack, eventually

DEVICE_TYPE = "infusion-pump"
FAULT = "downstream_occlusion"
SPEED = 60
FAULT_SETTINGS = {
    "DEMO_TYPE": DEVICE_TYPE,
    "DEMO_FAULT": FAULT,
    "DEMO_HOURS": "2",
    "DEMO_SPEED": str(SPEED),
    "ATTENDANT_TIME_SCALE": f"{SPEED:.1f}",
}
LONG_RUNNING = ("kafka", "postgres", "attendant", "prometheus", "alertmanager", "receiver")
TOPICS = {"telemetry", "telemetry.rejected", "alerts"}
PARTITIONS = 6
"""Of `telemetry`, as the service `topics` makes it."""
LAG = "attendant_consumer_lag_messages"
TARGETS = ("engineering", "kafka-alerts")
OPENED = "device.alert.opened"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Json = dict[str, Any]


def services_are_healthy(stack: Stack) -> str:
    """Every long-running service passes its own health check."""
    for service in LONG_RUNNING:
        eventually(lambda service=service: stack.healthy(service), within_s=300)  # type: ignore[misc]
    return ", ".join(LONG_RUNNING)


def containers_are_confined(stack: Stack) -> str:
    """No root, no capability, no writable root file system, no way to more rights, bounded memory."""
    for service in LONG_RUNNING:
        uid, capabilities = _process(stack, service)
        host = stack.inspect(service)["HostConfig"]
        refused = {
            "runs as root": uid == 0,
            f"has capabilities {capabilities:x}": capabilities != 0,
            "has a writable root file system": not host["ReadonlyRootfs"],
            "may gain privileges": "no-new-privileges:true" not in (host["SecurityOpt"] or []),
            "has no memory limit": not host["Memory"],
            "has no limit of processes": not host["PidsLimit"],
        }
        wrong = [what for what, holds in refused.items() if holds]
        if wrong:
            raise CheckError(f"{service} {', '.join(wrong)}")
    return "no root, no capabilities, read-only root, limits"


def _process(stack: Stack, service: str) -> tuple[int, int]:
    """Effective user id and capabilities of a container's first process."""
    status = stack.execute(service, "cat", "/proc/1/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return int(lines["Uid"].split()[1]), int(lines["CapEff"], 16)


def ports_are_local(stack: Stack) -> str:
    """Nothing is published but on the loopback address."""
    for service in LONG_RUNNING:
        for bindings in (stack.inspect(service)["NetworkSettings"]["Ports"] or {}).values():
            for binding in bindings or []:
                if binding["HostIp"] != "127.0.0.1":
                    raise CheckError(f"{service} is published on {binding['HostIp']}")
    return "published on 127.0.0.1 only"


def topics_exist(stack: Stack) -> str:
    """The one-shot service made the topics."""
    listed = set(
        stack.execute(
            "kafka", "/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka:9092", "--list"
        ).split()
    )
    if not listed >= TOPICS:
        raise CheckError(f"topics missing: {', '.join(sorted(TOPICS - listed))}")
    return ", ".join(sorted(TOPICS))


def shipped_models_are_loaded(stack: Stack) -> str:
    """The service in the image has loaded every model that the project ships."""
    shipped = {manifest.parent.name for manifest in (ROOT / "models" / "zoo").glob("*/manifest.json")}
    loaded = {model["type"] for model in stack.get("ATTENDANT_PORT", "/api/v1/models")["items"]}
    if not shipped or loaded != shipped:
        raise CheckError(f"models loaded {sorted(loaded)}, shipped {sorted(shipped)}")
    return f"{len(loaded)}: {', '.join(sorted(loaded))}"


def webhook_arrives(stack: Stack) -> str:
    """The receiver verified a signed webhook that blames the pump, and a channel which that fault moves, first."""
    alert = eventually(lambda: _received(stack)[0], within_s=480)
    moved = fault_specs(DEVICE_TYPE)[FAULT].channels
    ranked = [channel["name"] for channel in alert["channels"]]
    if not set(ranked[:3]) & set(moved):
        raise CheckError(f"ranked {ranked}, but {FAULT} moves {moved}")
    return f"{alert['id']} {alert['device']['id']}: {', '.join(ranked[:3])} ({FAULT} moves {', '.join(moved[:3])})"


def _received(stack: Stack) -> list[Json]:
    """Alerts about faults that the receiver was told of, in order of arrival, each once."""
    events = [json.loads(line) for line in stack.logs("receiver") if line.startswith('{"webhook_id"')]
    alerts = {
        event["alert"]["id"]: event["alert"]
        for event in reversed(events)
        if event["type"] == OPENED and event["alert"]["kind"] == "fault"
    }
    if not alerts:
        state = stack.inspect("devices")["State"]
        if state["Status"] == "exited" and state["ExitCode"]:
            raise BrokenError(f"the simulator ended with {state['ExitCode']}")
        devices = stack.get("ATTENDANT_PORT", "/api/v1/devices")
        states = sorted({device["state"] for device in devices["items"]})
        raise CheckError(f"no webhook yet; {devices['total']} devices, {', '.join(states) or 'none seen'}")
    return list(reversed(alerts.values()))


def api_shows_the_alert(stack: Stack) -> str:
    """The API has it, and its ledger says that both targets were told."""
    alert = _received(stack)[0]
    found = stack.get("ATTENDANT_PORT", f"/api/v1/alerts/{alert['id']}")
    if found["device"] != alert["device"]:
        raise CheckError(f"the API says {found['device']}, the webhook {alert['device']}")

    def delivered() -> list[Json]:
        items: list[Json] = stack.get("ATTENDANT_PORT", f"/api/v1/alerts/{alert['id']}/deliveries")["items"]
        opened = {item["target"]: item["state"] for item in items if item["type"] == OPENED}
        if opened != dict.fromkeys(TARGETS, "delivered"):
            raise CheckError(f"deliveries of the first event: {opened}")
        return items

    items = eventually(delivered, within_s=120)
    return f"status {found['status']}; delivered to {' and '.join(TARGETS)}, {len(items)} deliveries so far"


def picture_is_drawn(stack: Stack) -> str:
    """`attendant explain` draws the alert inside the container, whose root file system is read-only."""
    alert = _received(stack)[0]
    out = "/tmp/alert.png"  # noqa: S108 - inside the container, whose /tmp is its own
    stack.execute("attendant", "attendant", "explain", alert["id"], "--out", out, timeout_s=300)
    read = f"import pathlib; data = pathlib.Path({out!r}).read_bytes(); print(data[:8].hex(), len(data))"
    signature, size = stack.execute("attendant", "python", "-c", read).split()
    if bytes.fromhex(signature) != PNG_SIGNATURE:
        raise CheckError(f"the picture begins with {signature}, which is no PNG")
    return f"PNG of {int(size) / 1e3:.0f} kB"


def topic_holds_the_alert(stack: Stack) -> str:
    """The Kafka topic `alerts` holds it, too."""
    alert = _received(stack)[0]
    consumer = [
        "/opt/kafka/bin/kafka-console-consumer.sh",
        "--bootstrap-server",
        "kafka:9092",
        "--topic",
        "alerts",
    ]

    def read() -> int:
        lines = stack.execute("kafka", *consumer, "--from-beginning", "--timeout-ms", "8000").splitlines()
        if not any(alert["id"] in line for line in lines):
            raise CheckError(f"not among {len(lines)} messages")
        return len(lines)

    return f"among {eventually(read, within_s=120)} messages"


def database_holds_the_alert(stack: Stack) -> str:
    """PostgreSQL holds it, not a file in the container."""
    query = "select string_agg(table_name, ' ') from information_schema.tables where table_schema = 'public'"
    psql = ["psql", "--username=attendant", "--dbname=attendant", "--no-align", "--tuples-only", "--command"]
    tables = stack.execute("postgres", *psql, query).split()
    if "alerts" not in tables:
        raise CheckError(f"no table of alerts, only {tables}")
    n = int(stack.execute("postgres", *psql, "select count(*) from alerts"))
    if not n:
        raise CheckError("the table alerts is empty")
    return f"{n} alerts in {len(tables)} tables"


def prometheus_scrapes(stack: Stack) -> str:
    """Prometheus reads Attendant's metrics, and its rules load and are evaluated without an error."""

    def up() -> None:
        targets = stack.get("PROMETHEUS_PORT", "/api/v1/targets?state=active")["data"]["activeTargets"]
        health = {target["labels"]["job"]: (target["health"], target["lastError"]) for target in targets}
        if health.get("attendant", ("missing", ""))[0] != "up":
            raise CheckError(f"target attendant: {health.get('attendant')}")

    def evaluated() -> int:
        groups = stack.get("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        bad = [
            f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}"
            for rule in rules
            if rule["health"] != "ok"
        ]
        if bad or not rules:
            raise CheckError(f"rules: {'; '.join(bad) or 'none'}")
        return len(rules)

    def counted() -> int:
        answer = stack.get("PROMETHEUS_PORT", "/api/v1/query?query=sum(attendant_alert_events_total)")
        result = answer["data"]["result"]
        if not result or float(result[0]["value"][1]) < 1:
            raise CheckError(f"attendant_alert_events_total: {result}")
        return int(float(result[0]["value"][1]))

    eventually(up, within_s=120)
    n = eventually(evaluated, within_s=120)
    return f"{n} rules evaluated, {eventually(counted, within_s=120)} alert events counted"


def alertmanager_hears(stack: Stack) -> str:
    """Prometheus's dead-man alert has reached Alertmanager."""

    def heard() -> str:
        names = {alert["labels"]["alertname"] for alert in stack.get("ALERTMANAGER_PORT", "/api/v2/alerts")}
        if "AttendantDeadMan" not in names:
            raise CheckError(f"no dead-man alert in Alertmanager, only {sorted(names)}")
        return ", ".join(sorted(names))

    return eventually(heard, within_s=240)


def nothing_is_lost_by_a_kill(stack: Stack) -> str:
    """kill -9 of Attendant's container; when it is back, it has every alert that it had before."""
    before = {
        alert["id"] for alert in stack.get("ATTENDANT_PORT", "/api/v1/alerts?kind=fault&limit=500")["items"]
    }
    stack.engine.docker("kill", "--signal", "KILL", stack.container("attendant"))
    stack.compose("up", "--detach", "--no-build", "--no-deps", "attendant")
    eventually(lambda: stack.healthy("attendant"), within_s=240)
    after = {
        alert["id"] for alert in stack.get("ATTENDANT_PORT", "/api/v1/alerts?kind=fault&limit=500")["items"]
    }
    if not before <= after:
        raise CheckError(f"lost: {before - after}")
    return f"{len(before)} alerts before, all there after"


def reading_goes_on(stack: Stack) -> str:
    """The service that came back has every partition again and has read what arrived meanwhile."""

    def caught_up() -> float:
        metrics = stack.get("ATTENDANT_PORT", "/metrics").splitlines()
        lags = [float(line.rpartition(" ")[2]) for line in metrics if line.startswith(f"{LAG}{{")]
        if len(lags) != PARTITIONS or any(lags):
            raise CheckError(f"{LAG}: {len(lags)} of {PARTITIONS} partitions, {sum(lags):g} messages behind")
        read = [line for line in metrics if line.startswith("attendant_messages_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in read)

    # Kafka gives the partitions of a member that was killed away only when its session has run out.
    return (
        f"{PARTITIONS} partitions, {eventually(caught_up, within_s=180):.0f} messages read since, none left"
    )


CHECKS: list[tuple[str, Callable[[Stack], str]]] = [
    ("services are healthy", services_are_healthy),
    ("containers are confined", containers_are_confined),
    ("ports", ports_are_local),
    ("topics", topics_exist),
    ("models", shipped_models_are_loaded),
    ("webhook", webhook_arrives),
    ("API", api_shows_the_alert),
    ("picture", picture_is_drawn),
    ("Kafka topic", topic_holds_the_alert),
    ("PostgreSQL", database_holds_the_alert),
    ("Prometheus", prometheus_scrapes),
    ("Alertmanager", alertmanager_hears),
    ("kill -9", nothing_is_lost_by_a_kill),
    ("reading on", reading_goes_on),
]
