"""What the objectives are called, and in a few words what each does: for cards, tables and reports."""

from __future__ import annotations

TITLES = {
    "sft": ("SFT", "cross-entropy on the teacher's answers (RBA, Eq. 1)"),
    "kd": ("KD", "the reading teacher's token distributions, on its answers"),
    "gkd": ("GKD", "the reading teacher's token distributions, on its answers and the model's own"),
    "opd": ("OPD", "the reading teacher's token distributions, on the model's own answers"),
    "dpo": ("DPO", "the best of the model's own answers to one voice is preferred to the worst"),
    "grpo": ("GRPO", "policy gradient, each answer compared with its group"),
    "rloo": ("RLOO", "policy gradient, each answer compared with the others"),
    "ppo": ("PPO", "policy gradient with a learnt value"),
    "tars": ("TARS", "GRPO with rewards for hearing as one reads"),
    "rba-single": (
        "RBA-Single",
        "the teacher's answer is preferred to the model's own, voice by voice (RBA, Eqs. 6-8)",
    ),
    "rba-group": ("RBA-Group", "the best of its own answers across voices is preferred to the worst (RBA, Eqs. 2-5)"),
    "rba-opd": ("RBA-OPD", "preference across voices against the reading teacher, and its signal at every token"),
}
"""(title, what it does) by method, in the order in which they are shown."""
