"""What can be said of the container files without a container engine; `make compose-test` runs them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.settings import load_settings
from tests.compose.images import ROOT, STAND_INS, named_images

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"topics", "devices"}
# Kept in the image's own HEALTHCHECK.
CHECKED_BY_IMAGE = {"attendant"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_bounded(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT - CHECKED_BY_IMAGE))
def test_every_long_running_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_only_loopback_ports_are_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in published)


def test_images_are_pinned_and_have_a_stand_in_but_for_grafana() -> None:
    public = {s["image"] for s in SERVICES.values() if not s["image"].startswith("attendant:")}

    assert all(re.fullmatch(r"[a-z/]+:[a-z0-9.-]*\d[a-z0-9.-]*", image) for image in public)
    assert {image.partition(":")[0] for image in public} == STAND_INS.keys() - {"python"} | {
        "grafana/grafana"
    }
    assert len(named_images()) == len(STAND_INS)


def test_no_secret_stands_in_the_compose_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    set_to = re.findall(r"^\s+\w*(?:PASSWORD|SECRET|TOKEN)\w*: (\S+)", text, re.MULTILINE)

    assert set_to
    # Required: without a value in .env, compose refuses to start anything.
    assert all(re.match(r"\$\{\w+:\?", value) for value in set_to)


def test_the_example_environment_names_every_variable_of_the_compose_file_and_holds_no_secret() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text("utf-8")))
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))

    assert used <= example.keys()
    assert [example[name] for name in example if re.search("PASSWORD|SECRET", name)] == ["", "", ""]


def test_the_secrets_file_is_kept_out_of_version_control_and_of_the_image() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*"


def test_every_mounted_file_exists() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    sources = [re.sub(r"^\$\{\w+:-([^}]+)\}", r"\1", mount).split(":")[0] for mount in mounts]
    files = [source for source in sources if source.startswith(".")]

    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_what_the_dockerfile_copies_is_let_through_by_dockerignore() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = [
        source.rstrip("*")
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert copied
    assert set(copied) == let_through


def test_the_image_leaves_out_only_packages_that_the_lock_has() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    lock = (ROOT / "requirements" / "run.txt").read_text("utf-8")
    left_out = re.search(r"cpu\) skip='\^\(([^)]+)\)=='", dockerfile)

    assert left_out
    assert [name for name in left_out[1].split("|") if not re.search(rf"^{name}==", lock, re.MULTILINE)] == []


def test_the_image_ends_as_a_numbered_user_without_tools_to_build() -> None:
    last_stage = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]

    assert re.search(r"^USER 10001:10001$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last_stage, re.MULTILINE)
    assert "/opt/build" not in last_stage
    assert "pip" not in last_stage


def test_the_build_backend_is_locked_to_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    locked = (ROOT / "requirements" / "build.txt").read_text("utf-8")

    assert all(f"{requirement} " in locked for requirement in project["build-system"]["requires"])
    assert "--hash=sha256:" in locked


def test_the_settings_of_the_compose_file_are_good() -> None:
    example = dict(
        re.findall(r"^#?([A-Z_]+)=(.+)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    )
    example["WEBHOOK_SECRET"] = "whsec_" + "A" * 32
    environment = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda variable: example[variable[1]], value)
        for name, value in SERVICES["attendant"]["environment"].items()
        if name.startswith("ATTENDANT_")
    }

    settings = load_settings(ROOT / "dashboards/compose/attendant.toml", environment)

    assert settings.webhooks[0].allow == ("receiver",)
    assert settings.database.url.get_secret_value().startswith("postgresql")
    assert settings.kafka_alerts is not None


def test_prometheus_scrapes_the_service_that_the_compose_file_names() -> None:
    targets = yaml.safe_load((ROOT / "dashboards/prometheus/targets/attendant.yml").read_text("utf-8"))

    assert {target.split(":")[0] for group in targets for target in group["targets"]} <= SERVICES.keys()


def test_the_gpu_override_only_changes_the_service() -> None:
    override = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text("utf-8"))
    attendant = override["services"].pop("attendant")

    assert override["services"] == {}
    assert attendant["build"]["args"] == {"ACCELERATOR": "cuda"}
    assert attendant["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_scripts_of_the_stand_ins_can_be_executed() -> None:
    assert (Path(__file__).parent / "run.sh").stat().st_mode & 0o111
