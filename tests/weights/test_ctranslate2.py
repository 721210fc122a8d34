"""Reading CTranslate2's Whisper format."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rba.errors import ModelError
from rba.weights.ctranslate2 import read, rename
from rba.weights.whisper import _mended


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def model_bin(variables: dict[str, np.ndarray], version: int = 6, spec: str = "WhisperSpec") -> bytes:
    codes = {"float32": 0, "int8": 1, "float16": 4}
    data = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        data += text(name) + shape + struct.pack("<BI", codes[str(value.dtype)], value.nbytes) + value.tobytes()
    return data + struct.pack("<I", 0)


def test_half_precision_values_are_read_exactly(tmp_path):
    weight = np.arange(6, dtype=np.float16).reshape(2, 3) / 7
    (tmp_path / "model.bin").write_bytes(model_bin({"encoder/conv1/weight": weight}))
    (value,) = rename(read(tmp_path / "model.bin")).values()
    assert value.dtype == np.float32 and (value == weight.astype(np.float32)).all()


def test_a_fused_projection_is_split_into_query_key_and_value():
    fused = np.arange(6, dtype=np.float32)
    bias = np.where(np.isin(np.arange(6), (2, 3)), 0, 1).astype(np.float32)
    at = "decoder/layer_1/self_attention/linear_0"
    weights = rename({f"{at}/weight": fused[:, None], f"{at}/bias": bias})
    stem = "model.decoder.layers.1.self_attn"
    assert {n: w.ravel().tolist() for n, w in weights.items() if n.endswith("weight")} == {
        f"{stem}.q_proj.weight": [0, 1],
        f"{stem}.k_proj.weight": [2, 3],
        f"{stem}.v_proj.weight": [4, 5],
    }
    assert f"{stem}.k_proj.bias" not in weights  # Whisper's keys have none


def test_a_key_bias_or_an_unknown_variable_is_refused():
    with pytest.raises(ModelError, match="key bias"):
        rename({"decoder/layer_0/attention/linear_1/bias": np.ones(4, np.float32)})
    with pytest.raises(ModelError, match="unknown Whisper variable"):
        rename({"encoder/layer_0/mystery/weight": np.ones(4, np.float32)})


def test_settings_among_the_variables_are_ignored():
    assert rename({"decoder/scale_embeddings": np.array(0, np.int8), "encoder/num_heads": np.array(6, np.int16)}) == {}


@pytest.mark.parametrize("harm", [lambda data: data[:-20], lambda data: b"", lambda data: b"RIFF" + data])
def test_a_damaged_file_is_refused(tmp_path, harm):
    whole = model_bin({"encoder/conv1/weight": np.ones((4, 4), np.float32)})
    (tmp_path / "model.bin").write_bytes(harm(whole))
    with pytest.raises(ModelError):
        read(tmp_path / "model.bin")


def test_a_file_of_another_model_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(model_bin({}, spec="TransformerSpec"))
    with pytest.raises(ModelError, match="TransformerSpec"):
        read(tmp_path / "model.bin")


@pytest.mark.parametrize("lost", [True, False])
def test_a_tokenizer_gets_back_its_first_merge_and_the_time_stamps(lost):
    merges = ([] if lost else ["Ġ t"]) + ["Ġ a", "Ġt h"]
    spec = {"model": {"merges": merges}, "added_tokens": [{"id": 9, "content": "<|notimestamps|>"}]}
    mended = _mended(spec, vocabulary=12)
    assert mended["model"]["merges"] == ["Ġ t", "Ġ a", "Ġt h"]
    assert [(t["id"], t["content"]) for t in mended["added_tokens"][1:]] == [(10, "<|0.00|>"), (11, "<|0.02|>")]
