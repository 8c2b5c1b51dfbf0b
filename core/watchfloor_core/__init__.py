"""Domain values, ports, settings, store, ledger and telemetry: what every other package stands on."""
