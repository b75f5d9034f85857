"""The images that docker-compose.yml and the Dockerfile name: pulled, or where that is impossible made on the spot.

A stand-in has the same name, user, paths, entry point and variables as the official image, as far as the compose
file uses them, and holds Debian's (Kafka: Apache's) build of the same program. Stand-ins are only put into an engine
of our own, because under their public names they would be taken for the real ones.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.compose.engine import Engine, EngineError

ROOT = Path(__file__).parent.parent.parent
RECIPES = Path(__file__).parent / "images"
BASE = "attendant-standin/bookworm:1"
PACKAGES = "ca-certificates,python3,python3-venv"
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
# Image without its tag: the recipe's folder, and how to ask the program inside for its version.
STAND_INS = {
    "python": ("python", ["python3", "--version"]),
    "apache/kafka": ("kafka", ["sh", "-c", "/opt/kafka/bin/kafka-topics.sh --version | tail -n 1"]),
    "postgres": ("postgres", ["postgres", "--version"]),
    "prom/prometheus": ("prometheus", ["/bin/prometheus", "--version"]),
    "prom/alertmanager": ("alertmanager", ["/bin/alertmanager", "--version"]),
}


@dataclass(frozen=True)
class Provided:
    """An image that is there now. `stand_in` tells what a made one really holds; None is the official image."""

    name: str
    stand_in: str | None


def named_images() -> list[str]:
    """The public images that the stack needs, with their tags, without Grafana (which has no stand-in)."""
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    names = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    names += re.findall(r"^    image: (\S+)$", compose, re.MULTILINE)
    return sorted({name for name in names if name.partition(":")[0] in STAND_INS})


def provide(engine: Engine, cache: Path) -> list[Provided]:
    """Pull every image, or make stand-ins of all of them.

    Raises:
        EngineError: neither is possible here.
    """
    names = named_images()
    if not engine.ours or not engine.works("image", "inspect", BASE):
        try:
            for name in names:
                engine.docker("pull", "--quiet", name, timeout_s=600)
        except EngineError as error:
            if not engine.ours:
                raise EngineError(
                    f"{error}\nStand-ins are only made in an engine of the test's own."
                ) from None
        else:
            return [Provided(name, None) for name in names]
    _base(engine)
    return [_stand_in(engine, name, cache) for name in names]


def _base(engine: Engine) -> None:
    if engine.works("image", "inspect", BASE):
        return
    if shutil.which("debootstrap") is None:
        raise EngineError("images cannot be pulled; to make them, install debootstrap")
    with tempfile.TemporaryDirectory(prefix="attendant-bookworm-") as folder:
        system = Path(folder) / "system"
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(system)]
        engine.run(["nice", "-n", "10", *bootstrap], timeout_s=900)
        _trust_what_the_host_trusts(engine, system)
        engine.run(["chroot", str(system), "apt-get", "clean"])
        archive = Path(folder) / "system.tar"
        engine.run(["tar", "-C", str(system), "-cf", str(archive), "."], timeout_s=300)
        engine.docker("import", str(archive), BASE, timeout_s=300)


def _trust_what_the_host_trusts(engine: Engine, system: Path) -> None:
    """Behind a proxy that opens TLS, the package registries can only be reached with the proxy's authority."""
    for authority in LOCAL_AUTHORITIES.glob("*.crt"):
        shutil.copy(authority, system / "usr/local/share/ca-certificates" / authority.name)
    engine.run(["chroot", str(system), "update-ca-certificates"])


def _stand_in(engine: Engine, name: str, cache: Path) -> Provided:
    recipe, version = STAND_INS[name.partition(":")[0]]
    with tempfile.TemporaryDirectory(prefix="attendant-image-") as folder:
        context = Path(folder) / recipe
        shutil.copytree(RECIPES / recipe, context)
        if recipe == "kafka":
            shutil.copytree(_kafka_jars(cache), context / "libs")
        build(engine, name, context)
    said = engine.docker("run", "--rm", "--network", "none", "--entrypoint", version[0], name, *version[1:])
    return Provided(name, said.strip().partition("\n")[0] or "unknown version")


def _kafka_jars(cache: Path) -> Path:
    jars = cache / "kafka-libs"
    if not any(jars.glob("kafka_2.13-*.jar")):
        if shutil.which("mvn") is None:
            raise EngineError(
                "images cannot be pulled; to make Kafka's from its published jars, install maven"
            )
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(RECIPES / "kafka" / "pom.xml"),
            "dependency:copy-dependencies",
        ]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"Kafka's jars cannot be had:\n{(done.stdout + done.stderr)[-2000:]}")
    return jars


def build(engine: Engine, name: str, context: Path, *arguments: str) -> None:
    """`docker build` on the host's network: from a bridge the package registries may be out of reach."""
    command = [
        "nice",
        "-n",
        "10",
        "docker",
        "build",
        "--network",
        "host",
        "--tag",
        name,
        *arguments,
        str(context),
    ]
    engine.run(command, timeout_s=3600)
