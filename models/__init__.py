"""Arrays → scores. Knows no Kafka, no alert and no device id.

- What every model answers: `scoring` (Protocols, `Score`, `Explanation`); `loading` finds the model of a folder,
  `artifacts` is that folder's format, `calibration` the threshold and the alarm rule that it is fitted for.
- The model of a fleet: `preparation` (readings → input), `autoencoder` with `attention` and `columns` (what is usual),
  `attribution` (which channel), composed by `detector`; `planes` and `explaining` say it in units.
- Its training: `training` in four steps, by `recipe`, on a `fleet` split by device: `grounding` (what is usual,
  from the lines of `straight` on), `teaching` with the faults of `injection` (what a fault looks like); `descent` and
  `compute` do the work.
- Types without settings: `series`, the model of a few recordings. Machines that repeat themselves: `rhythm`, of one
  channel; `waves` makes rows of cycles for methods that look at levels.
- Measuring: `evaluation` (figures), `peers` (other methods on recordings), `baselines` (on windows of a device type),
  `speed`. `zoo` holds the shipped models.
"""
