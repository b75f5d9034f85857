"""Scores → findings → alerts → deliveries.

- The service is put together in `app`, from `settings`; `health`, `metrics` and `logs` tell how it is.
- Street 1: `pipeline` reads, `lanes` remember a partition each (`findings`, `alerts`, `maintenance`), `inference` asks
  the models (`due`, `turns`), `explanations` keep what stands behind an alert. All of it ends in the `outbox`.
- Street 2: `dispatch` delivers from the outbox, in `stages`, by `notifiers`; `deliverywatch` tells what is stuck.
- People: `web` is the API (`fleet`, `fleetview`: how devices stand), `client` asks it; what it says of an alert is
  checked by `answers` and drawn by `alertfigure`.
- Commands (`cli`) besides: `workshop`, `rhythms`, `recalibrating` and `zoo` make models, `evaluating`, `simtrial`,
  `benchmark` and `scorerbench` measure, `simulating` and `player` play telemetry, `demo` shows all of it at work.
"""

__version__ = "0.1.0"
