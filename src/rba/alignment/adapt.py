"""What the recipe has trained of an LLM: copies of its own weights, or an adapter beside them."""

from __future__ import annotations

from rba.alignment.settings import AlignSettings
from rba.data import seeds
from rba.models.adapters import add_lora
from rba.models.full import add_full
from rba.models.speechlm import SpeechLM


def adapt(speechlm: SpeechLM, settings: AlignSettings, seed: int) -> None:
    """Put on the LLM what `settings` train of it, in place; an adapter of rank 0 is none. `seed` is that of the recipe.

    Raises ModelError for a SpeechLM that cannot be trained so.
    """
    lora = settings.lora
    if settings.tuning == "full":
        add_full(speechlm)
    elif lora.rank:
        add_lora(speechlm, lora.rank, lora.alpha, lora.dropout, lora.targets, seeds.derive(seed, "lora") % 2**31)
