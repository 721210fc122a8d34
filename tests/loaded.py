"""What the server of `forked` has loaded before it forks."""

from rba import runtime

runtime.prepare()

import gc  # noqa: E402

import peft  # noqa: E402, F401
import torch.distributed  # noqa: E402, F401
from transformers import LlamaForCausalLM, WhisperForConditionalGeneration  # noqa: E402, F401

import rba.alignment.stage  # noqa: E402
import rba.models.compact  # noqa: E402, F401

gc.collect()
gc.freeze()
