"""Evaluation: what every model answers to held-out speech, and how good the answers are, with intervals."""
