"""The webhook receiver of the compose file's profile `demo`: prints one JSON line for each verified delivery.

Runs inside the image of Attendant, which has the library that verifies signatures.
"""

import asyncio
import json
import os
import signal
import time

from monitor.receiver import Received, WebhookReceiver

PORT = 8000


def show(received: Received) -> None:
    """Print a delivery so that a person and a script can read it."""
    line = {"webhook_id": received.id, "type": received.type, "alert": received.alert}
    print(json.dumps(line, separators=(",", ":")), flush=True)


async def main() -> None:
    """Listen until SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    receiver = WebhookReceiver(
        os.environ["WEBHOOK_SECRET"],
        now_ms=lambda: time.time_ns() // 1_000_000,
        on_received=show,
        host="0.0.0.0",  # noqa: S104 - inside a container; the compose file publishes no port of it
        port=PORT,
    )
    async with receiver:
        print(json.dumps({"listening": PORT}), flush=True)
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main())
