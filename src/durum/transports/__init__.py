"""Perform live IO, one module per namespace; nothing here runs in replay."""
