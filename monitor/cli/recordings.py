"""Commands that make telemetry: devices that are simulated, and recordings that are played."""

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.common import LookalikeRates, fail, numbers


def simulate(
    device_type: Annotated[str, typer.Option("--type", help="Device type; `list` shows them.")],
    devices: Annotated[int, typer.Option(help="How many devices.", min=1)] = 1,
    hours: Annotated[float, typer.Option(help="Device hours of each.", min=0.01)] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same telemetry.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="Inject this fault (may be given again); `list` shows them.")
    ] = None,
    severity: Annotated[float, typer.Option(help="Of the faults, 0 to 1.", min=0, max=1)] = 0.7,
    lookalikes: LookalikeRates = "1",
    out: Annotated[
        Path | None, typer.Option(help="Write labelled recordings into this folder.", metavar="DIR")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(help="Send to this broker instead.", metavar="HOST:PORT")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic for --kafka.")] = "telemetry",
    speed: Annotated[float, typer.Option(help="Device seconds a second, for --kafka.", min=0.01)] = 1.0,
) -> None:
    """Simulated devices with faults and harmless look-alikes: as recordings, or live into Kafka."""
    from monitor.simulated import SimulateError, SimulateOptions, device_types
    from monitor.simulating import simulate_to_folder, simulate_to_kafka

    if device_type == "list":
        typer.echo("\n".join(device_types()))
        return
    rates = tuple(numbers("--lookalikes", lookalikes, float))
    options = SimulateOptions(device_type, devices, hours, seed, tuple(fault or ()), severity, rates)
    if (out is None) == (kafka is None) and fault != ["list"]:
        fail("give either --out DIR or --kafka HOST:PORT")
    try:
        if fault == ["list"]:
            for line in options.catalogue():
                typer.echo(line)
        elif out is not None:
            simulate_to_folder(options, out)
        elif kafka is not None:
            simulate_to_kafka(options, kafka, topic, speed)
    except SimulateError as error:
        fail(str(error))


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings: Parquet or CSV.", metavar="FILE…")],
    kafka: Annotated[str, typer.Option(help="Broker to send to.", metavar="HOST:PORT")] = "127.0.0.1:9092",
    device_type: Annotated[
        str | None, typer.Option("--type", help="Device type; by default guessed from the channels.")
    ] = None,
    topic: Annotated[str, typer.Option(help="Topic.")] = "telemetry",
    speed: Annotated[
        float, typer.Option(help="1 is the recording's own rate; 0 as fast as it goes.", min=0)
    ] = 1.0,
    rate: Annotated[
        float | None, typer.Option(help="Rows a second, where the file doesn't say it.", min=0.001)
    ] = None,
) -> None:
    """Play recordings through Kafka, each as a device of its own."""
    from monitor.simulated import SimulateError
    from monitor.simulating import replay_to_kafka

    try:
        replay_to_kafka(files, kafka, topic=topic, device_type=device_type, speed=speed, rate_hz=rate)
    except SimulateError as error:
        fail(str(error))
