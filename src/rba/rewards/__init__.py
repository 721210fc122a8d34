"""Rewards: functions from prompts, completions and references to one number per completion (TRL's signature)."""
