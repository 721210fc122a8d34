"""Moonshine's files: names, steps and offsets, and the pieces of its tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rba.errors import ModelError
from rba.weights.moonshine import read_pieces, tokenizer_of, weights
from rba.weights.ort import Node, read

BYTES = [bytes([i]) for i in range(256)]


def test_matrices_are_found_by_node_and_scaled_back():
    arrays = {
        "onnx::1_quantized": np.array([[1, -2], [3, 4]], np.int8),
        "onnx::1_scale": np.array([0.5], np.float32),
        "onnx::1_zero_point": np.array([0.25], np.float32),
        "model.decoder.layers.3.mlp.up_proj.bias_merged_0": np.array([7.0], np.float32),
        "layer_norm.weight": np.array([2.0], np.float32),
        "onnx::Mul_9": np.array([[3.0]], np.float32),
    }
    nodes = [
        Node("MatMul", "/model/decoder/layers.3/self_attn/dense/MatMul", ("x", "onnx::1_add_tensor")),
        Node("Mul", "/groupnorm/Mul", ("x", "onnx::Mul_9")),
        Node("MatMul", "/layers.3/self_attn/MatMul", ("q", "k")),  # of two activations: no weight
    ]
    found = weights(arrays, nodes)
    assert set(found) == {
        "layers.3.self_attn.o_proj.weight", "layers.3.mlp.fc1.bias", "layer_norm.weight", "groupnorm.weight"
    }  # fmt: skip
    assert found["layers.3.self_attn.o_proj.weight"].tolist() == [[0.75, 1.75], [-0.75, 2.25]]
    assert found["groupnorm.weight"].tolist() == [3.0]


@pytest.mark.parametrize("zero", [None, np.array([3], np.int8)])
def test_a_weight_that_is_missing_or_quantised_otherwise_is_refused(zero):
    arrays = {"w_quantized": np.ones((1, 1), np.int8), "w_scale": np.ones(1, np.float32)}
    arrays |= {} if zero is None else {"w_zero_point": zero}
    with pytest.raises(ModelError, match="Moonshine file"):
        weights(arrays, [Node("MatMul", "/layers.0/mlp/fc1/MatMul", ("x", "w"))])


def test_pieces_may_be_long_and_join_to_text_with_letters_of_several_bytes(tmp_path: Path):
    long = "ab" * 100
    pieces = [b"<unk>", b"<s>", b"</s>", *BYTES, "\u2581Caf".encode(), long.encode()]
    path = tmp_path / "tokenizer.bin"
    lengths = [bytes([len(p)]) if len(p) < 128 else bytes([len(p) % 128 + 128, len(p) // 128]) for p in pieces]
    path.write_bytes(b"".join(length + piece for length, piece in zip(lengths, pieces)))
    assert read_pieces(path) == pieces
    tokenizer = tokenizer_of(read_pieces(path))
    ids = [1, 259, 3 + 0xC3, 3 + 0xA9, 260, 2]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Caf\u00e9" + long
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="tokenizer file is damaged"):
        read_pieces(path)


@pytest.mark.parametrize("content", [b"", b"no model at all, only words, and some more of them"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "encoder_model.ort").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read(tmp_path / "encoder_model.ort")


@pytest.mark.weights
def test_the_converted_model_is_tied_and_ends_what_it_hears(weights):
    import soxr
    from hibari import Hibari

    from rba.speech.moonshine import MoonshineTranscriber

    recogniser = MoonshineTranscriber(threads=1)
    model = recogniser._model
    assert sum(p.numel() for p in model.parameters()) == 61_513_920
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    sentence = "The weather in London is cold and wet today."
    wave = soxr.resample(Hibari()(sentence, seed=0), 24_000, 16_000).astype(np.float32)
    assert recogniser.transcribe([wave]) == [sentence]
