"""A scorer for machines that repeat themselves: one cyclic channel, such as a ventilator's airway pressure.

The scorer of `models.detector` reads levels and residuals against settings; a rhythm has no level, and its faults (a
pause too long, a breath too shallow) are cycles of the right shape at the wrong time. So this one looks at the waveform
itself, with attention over time patches, and has learnt what breaks a rhythm from cycles of healthy recordings replayed
with other settings and with faults put in. Arrays only: knows no Kafka, no alert, no device id.
"""
