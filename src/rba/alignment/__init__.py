"""Alignment: pairs, objectives, rollouts and the training loop that knows none of the algorithms."""
