"""Without Java or Maven the Kafka tests say so in one line, and don't fetch anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers import apache_kafka
from tests.brokers.apache_kafka import KafkaMissingError, find_jars

ROOT = Path(__file__).parents[2]


def test_a_missing_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissingError, match="needs Java 17, and there is no java here"):
        find_jars()


def test_an_old_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(KafkaMissingError, match=r"needs Java 17, here is .*11\.0\.2"):
        find_jars()


def test_a_missing_maven_is_named_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "java").symlink_to("/bin/true")
    monkeypatch.setattr(apache_kafka, "_check_java", lambda: None)
    monkeypatch.setattr(apache_kafka, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissingError, match="there is no mvn here"):
        find_jars()
    (tmp_path / "cache" / "lib").mkdir()
    assert find_jars() == tmp_path / "cache" / "lib"


@pytest.mark.parametrize(("required", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_kafka_skips_or_fails_as_asked(required: str, outcome: str, tmp_path: Path) -> None:
    name = "tests/streams/test_kafka.py::test_a_missing_topic_is_named[apache_kafka]"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "ATTENDANT_REQUIRE_KAFKA": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in run.stdout
    assert "Apache Kafka needs Java 17" in run.stdout
    assert run.returncode == int(required)
