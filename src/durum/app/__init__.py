"""The use cases: settings, provenance, wiring and the service that every entry point calls."""
