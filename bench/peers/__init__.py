"""The peers' side of each comparison, run in environments of their own; nothing here imports Durum."""
