"""How a model's folder is opened, for its card: by rba, or by transformers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rba.lm.preamble import asked, turns
from rba.lm.task import preamble_of

SPEECHLM = "This SpeechLM answers spoken English requests with text. It"
_LLM = "This is the language model of a SpeechLM that answers spoken English requests with text. The SpeechLM"
_MERGED = (
    "The figures are those of the SpeechLM before its adapter was merged into the weights, which alters rounding alone."
)


@dataclass(frozen=True)
class Usage:
    """The `text` under "Use", the `subject` of the first sentence, and what model hubs want to know of it.

    `part` names the one part that the folder holds the weights of; "" where it is the model as a whole.
    """

    library: str
    pipeline: str
    text: str
    subject: str = SPEECHLM
    part: str = ""


def of_rba(folder: str) -> Usage:
    """A checkpoint folder of rba's."""
    text = f"""```python
import rba

model = rba.load_speechlm("{folder}")
reply = rba.ask(model, "question.wav")   # a file, or a waveform at 16 kHz
print(reply.heard, "->", reply.text)
```

Or `rba chat {folder} --wav question.wav`. The folder holds the connector, the adapter and the names of the frozen \
models, which are fetched when it is opened. From a hub it comes with `huggingface_hub.snapshot_download`."""
    return Usage("rba", "audio-text-to-text", text)


def of_llm(encoder: str, task: str) -> Usage:
    """The merged LLM of a compact model, for transformers alone; `encoder` is the speech encoder that it heard with."""
    told = preamble_of(task)
    chat = [*turns(told), asked(told, "Name three fruits.")]
    text = f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."   # this folder, or its name on a hub
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
chat = {chat!r}
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True, return_tensors="pt")
reply = model.generate(**inputs, max_new_tokens=160)
print(tokenizer.decode(reply[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```

It answers typed requests; transformers alone does not let it hear. `connector.safetensors` and `connector.json` are \
what lies between the encoder `{encoder}` and its embeddings. {_MERGED}"""
    return Usage("transformers", "text-generation", text, _LLM, "language model")


def of_audio_lm(model_class: str, prompt: str, whole: bool, audio_kwargs: Mapping[str, Any]) -> Usage:
    """A whole audio LM of transformers.

    `prompt` is its template's text around one clip, `whole` whether that begins with the beginning-of-text token,
    `audio_kwargs` what its processor must be told.
    """
    kwargs = {"sampling_rate": 16_000, **audio_kwargs}
    special = ", text_kwargs={'add_special_tokens': False}" if whole else ""
    text = f"""```python
import soundfile
from transformers import AutoProcessor, {model_class}

folder = "."   # this folder, or its name on a hub
processor = AutoProcessor.from_pretrained(folder)
model = {model_class}.from_pretrained(folder)
wave, rate = soundfile.read("question.wav", dtype="float32")   # 16 kHz, mono
prompt = {prompt!r}
inputs = processor(text=[prompt], audio=[wave], return_tensors="pt", audio_kwargs={kwargs!r}{special})
inputs = inputs.convert_to_tensors("pt")
reply = model.generate(**inputs, max_new_tokens=160)
print(processor.batch_decode(reply[:, inputs["input_ids"].shape[1]:], skip_special_tokens=True)[0])
```

{_MERGED}"""
    return Usage("transformers", "audio-text-to-text", text)


def of_own_layout(title: str, task: str, model_class: str = "") -> Usage:
    """A whole audio LM of a family, `title`, that transformers alone does not let hear; `task` is what it is told.

    `model_class` is its class in transformers; "" where there is none.
    """
    opened = f" transformers opens its weights, as `{model_class}`; what prepares text and sound for them is rba's."
    told = f"model = told(model, {task!r})\n" if task else ""
    text = f"""```python
import rba
{"from rba.models.told import told" + chr(10) if task else ""}
model = rba.load_speechlm(".", "float32")   # this folder, or its name on a hub
{told}reply = rba.ask(model, "question.wav")   # a file, or a waveform at 16 kHz
print(reply.text)
```

The folder is in the layout of {title}.{opened if model_class else ""} {_MERGED}"""
    return Usage("rba", "audio-text-to-text", text)
