"""From one GGUF file to a Hugging Face directory: config, tokenizer and fp16 weights.

Plain Llama models with a byte-level vocabulary are converted here, in a few seconds and with the exact rule by which
their tokenizer splits text. All others go through transformers, which takes longer.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, TokenType, dequantize
from safetensors import SafetensorError
from safetensors.numpy import save_file

from mctool.core.errors import MismatchError, ResourceError

FloatArray = npt.NDArray[np.floating]

_TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TENSOR_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<part>\w+)\.weight")

_SPLITS_DIGITS = "smollm"
"""The pre-tokenizer (in the naming of llama.cpp) that splits off every digit, then goes on as GPT-2."""


def convert_gguf(path: Path, directory: Path) -> None:
    """Write the model in the GGUF file ``path`` into the empty ``directory``.

    Raises:
        MismatchError: The file is not a GGUF file, is cut short, or holds a model that nothing here can read.
        ResourceError: The disk is full.
    """
    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError, KeyError) as error:
        raise MismatchError(f"{path} is not a complete GGUF file: {error}", "download it again") from error
    metadata = {key: field.contents() for key, field in reader.fields.items()}
    if _is_plain_llama(metadata, reader):
        _write_json(directory / "config.json", _config(metadata, reader))
        _write_json(directory / "generation_config.json", {"eos_token_id": _end_ids(metadata)})
        _write_json(directory / "tokenizer.json", _tokenizer(metadata))
        _write_json(directory / "tokenizer_config.json", _tokenizer_config(metadata))
        _save(_tensors(metadata, reader), directory)
    else:
        from mctool.nets.hugging_face import read_gguf  # seconds of imports that plain Llama models do without

        _save({name: _half(tensor) for name, tensor in read_gguf(path, directory).items()}, directory)


def _save(tensors: dict[str, FloatArray], directory: Path) -> None:
    try:
        save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    except SafetensorError as error:
        raise ResourceError(
            f"cannot write weights to {directory}: {error}", "free some disk space and run again"
        ) from error


def _half(tensor: FloatArray) -> FloatArray:
    """``tensor`` in fp16 where the range of fp16 is enough, else as it is."""
    with np.errstate(over="ignore"):
        half = tensor.astype(np.float16)
    return np.ascontiguousarray(half if np.isfinite(half).all() else tensor)


def _is_plain_llama(metadata: dict[str, Any], reader: GGUFReader) -> bool:
    return (
        metadata.get("general.architecture") == "llama"
        and metadata.get("tokenizer.ggml.model") == "gpt2"
        and metadata.get("tokenizer.ggml.pre") == _SPLITS_DIGITS
        and not metadata.get("tokenizer.ggml.add_bos_token", False)
        and not any(key.startswith(("llama.rope.scaling", "llama.expert")) for key in metadata)
        and all((match := _TENSOR_NAME.fullmatch(t.name)) and match["part"] in _TENSORS for t in reader.tensors)
    )


def _config(metadata: dict[str, Any], reader: GGUFReader) -> dict[str, Any]:
    heads = metadata["llama.attention.head_count"]
    width = metadata["llama.embedding_length"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float16",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.get("llama.attention.head_count_kv", heads),
        "head_dim": metadata.get("llama.attention.key_length", width // heads),
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": metadata.get("llama.rope.freq_base", 10000.0)},
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in reader.tensors),
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
    }
    for name in ("bos", "eos"):
        if (token := metadata.get(f"tokenizer.ggml.{name}_token_id")) is not None:
            config[f"{name}_token_id"] = token
    return config


def _tensors(metadata: dict[str, Any], reader: GGUFReader) -> dict[str, FloatArray]:
    heads = metadata["llama.attention.head_count"]
    heads_of = {"attn_q": heads, "attn_k": metadata.get("llama.attention.head_count_kv", heads)}
    tensors = {}
    for tensor in reader.tensors:
        match = _TENSOR_NAME.fullmatch(tensor.name)
        assert match is not None  # _is_plain_llama has checked all names
        weight = dequantize(tensor.data, tensor.tensor_type)
        if match["part"] in heads_of:
            # GGUF interleaves the two halves of each rotary head; Hugging Face keeps them apart.
            paired = weight.reshape(heads_of[match["part"]], -1, 2, weight.shape[-1])
            weight = paired.swapaxes(1, 2).reshape(weight.shape)
        layer = f"model.layers.{match['layer']}." if match["layer"] else ""
        tensors[f"{layer}{_TENSORS[match['part']]}.weight"] = _half(weight)
    return tensors


def _tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer in the format of the `tokenizers` package.

    Written by hand, so that its bytes, which trees record a hash of, do not depend on the version of that package.
    """
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [
        {"id": i, "content": tokens[i], "special": types[i] == TokenType.CONTROL}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for i in range(len(tokens))
        if types[i] in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    for gguf_name, name in names.items():
        if (token := metadata.get(f"tokenizer.ggml.{gguf_name}_token_id")) is not None:
            config[f"{name}_token"] = metadata["tokenizer.ggml.tokens"][token]
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    return config


def _end_ids(metadata: dict[str, Any]) -> list[int]:
    """Tokens that end a text: that of the chat format, and that of the pretraining documents."""
    tokens = metadata["tokenizer.ggml.tokens"]
    ends = [metadata.get("tokenizer.ggml.eos_token_id")]
    ends += [tokens.index("<|endoftext|>")] if "<|endoftext|>" in tokens else []
    return [end for end in ends if end is not None]


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
