"""The imperative shell around the domain: processes, timers, devices, recovery."""
