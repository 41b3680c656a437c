"""The one place where transformers is imported: configurations and model classes.

transformers says nothing meanwhile, neither warnings nor progress bars: what matters is raised.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor, dtype, float32, inference_mode, int64, ones
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from mctool.core.errors import MismatchError

_NEEDED_ARGUMENTS = ("inputs_embeds", "position_ids", "attention_mask", "past_key_values", "logits_to_keep")
_OTHER_MODEL = "use a causal language model with rotary positions, such as the default one"


@contextmanager
def _quiet() -> Iterator[None]:
    level, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bars:
            logging.enable_progress_bar()


def read_config(directory: Path) -> PreTrainedConfig:
    """The configuration of the model in ``directory``, once it is known that the model can be used.

    Raises:
        MismatchError: The model is unknown to transformers, is not a causal LM with rotary positions that takes
            embeddings and positions, or is quantised.
    """
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MismatchError(f"cannot read the configuration in {directory}: {reason}", _OTHER_MODEL) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise MismatchError(f"{directory} holds a {config.model_type} model, which is not a causal LM", _OTHER_MODEL)
    if not getattr(config.get_text_config(), "rope_parameters", None):
        raise MismatchError(f"the {config.model_type} model in {directory} has no rotary positions", _OTHER_MODEL)
    if getattr(config, "quantization_config", None):
        raise MismatchError(
            f"the model in {directory} is quantised", "use the weights before quantisation, or a .gguf file"
        )
    taken = inspect.signature(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].forward).parameters
    lacking = [name for name in _NEEDED_ARGUMENTS if name not in taken]
    if lacking:
        raise MismatchError(
            f"the {config.model_type} model in {directory} does not take {', '.join(lacking)}", _OTHER_MODEL
        )
    return config


def make_model(config: PreTrainedConfig, tensors: dict[str, Tensor], dtype: dtype) -> PreTrainedModel:
    """The model of a configuration with the given weights, on the CPU.

    Raises:
        MismatchError: The weights do not fit the configuration.
    """
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    try:
        with _quiet():
            model, loading = model_class.from_pretrained(
                None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True
            )
    except (RuntimeError, ValueError) as error:
        raise MismatchError(f"the weights do not fit config.json: {error}", "get the model again") from error
    if missing := sorted(loading["missing_keys"]):
        raise MismatchError(f"the weights lack {len(missing)} tensors, first {missing[0]}", "get the model again")
    return model


def copy_cache(cache: Cache) -> Cache:
    """What a model has read, to go on with on its own.

    Plain layers replace their tensors when they grow, so that these can be shared; others may write into them.
    """
    other = copy(cache)
    other.layers = [copy(layer) if type(layer) is DynamicLayer else deepcopy(layer) for layer in cache.layers]
    return other


def make_cache(pairs: Sequence[tuple[Tensor, Tensor]], dtype: dtype) -> Cache:
    """A cache that holds copies of the keys and values of each layer, each of shape [1, heads, slots, head width]."""
    cache = DynamicCache()
    for i, (keys, values) in enumerate(pairs):
        cache.update(keys.to(dtype), values.to(dtype), i)
    return cache


def make_encoder(directory: Path) -> PreTrainedModel:
    """The text encoder in ``directory``, on the CPU, for evaluation.

    Raises:
        MismatchError: There is none that transformers can read.
    """
    try:
        with _quiet():
            model = AutoModel.from_pretrained(directory, local_files_only=True, trust_remote_code=False, dtype=float32)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MismatchError(f"cannot read the encoder in {directory}: {reason}", "get the model again") from error
    return model.eval().requires_grad_(False)


def generate(model: PreTrainedModel, embeddings: Tensor, n_tokens: int) -> Tensor:
    """Greedy ``generate`` of transformers after a window, as a yardstick for our own decoding.

    Args:
        model: From :func:`make_model`.
        embeddings: The window, on the model's device, shape [n, d].
        n_tokens: How many tokens, no fewer and no more.

    Returns:
        Token ids, shape [n_tokens].
    """
    mask = ones(1, len(embeddings), dtype=int64, device=embeddings.device)
    with _quiet(), inference_mode():
        ids = model.generate(
            inputs_embeds=embeddings[None], attention_mask=mask, do_sample=False, pad_token_id=0,
            min_new_tokens=n_tokens, max_new_tokens=n_tokens,
        )  # fmt: skip
    return ids[0]


def read_gguf(path: Path, directory: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Weights of a GGUF file by their Hugging Face names; writes configuration and tokenizer to ``directory``.

    Raises:
        MismatchError: transformers cannot read this kind of model.
    """
    try:
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=float32, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
    except (ValueError, KeyError, NotImplementedError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise MismatchError(f"transformers cannot read {path}: {reason}", _OTHER_MODEL) from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the weights are written dequantised
    model.config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    tied = set(model.all_tied_weights_keys)
    return {name: tensor.numpy() for name, tensor in model.state_dict().items() if name not in tied}
