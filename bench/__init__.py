"""Measurements: ratios within one run, printed and recorded, never asserted."""
