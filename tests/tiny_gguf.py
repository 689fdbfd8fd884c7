"""Serves a tiny vision-language model of random weights with llama.cpp's own server, until its standard input closes.

    python tests/tiny_gguf.py FOLDER [PENALTY]

Writes two GGUF files into the folder, a Llama of 2 layers and a CLIP with its projector, 1 MB together, and prints the
server's address. A picture becomes 224 x 224 pixels and 256 tokens. PENALTY is the server's own on repetition, 1 by
default: none. Needs xllamacpp and gguf.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp
from tiny_tokenizer import END, PAD, START, train

WIDTH, HEADS, KV_HEADS, HIDDEN, LAYERS, CONTEXT = 128, 4, 2, 256, 2, 8192
EYE_WIDTH, EYE_HIDDEN, PATCH, SIDE = 64, 128, 14, 224
CHAT = (
    "{% for message in messages %}" + START + "{{ message['role'] }}\n{{ message['content'] }}" + END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
)


def main(folder, penalty=1.0):
    """Write the model and serve it."""
    random = np.random.default_rng(0)
    write_language_model(folder / "text.gguf", random)
    write_eye(folder / "eye.gguf", random)
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.mmproj.path = str(folder / "text.gguf"), str(folder / "eye.gguf")
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 2 * CONTEXT, 2, 1
    settings.hostnames, settings.port, settings.warmup = ["127.0.0.1"], 0, False
    settings.sampling.penalty_repeat = float(penalty)
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


def write_language_model(path, random):
    """Write the language half, with the tokenizer of the other tiny models."""
    tokens = train()
    vocabulary = sorted(tokens.get_vocab().items(), key=lambda one: one[1])
    special = {PAD, START, END}
    merges = [" ".join(pair) for pair in json.loads(tokens.to_str())["model"]["merges"]]
    kinds = [gguf.TokenType.CONTROL if text in special else gguf.TokenType.NORMAL for text, _ in vocabulary]
    file = gguf.GGUFWriter(str(path), "llama")
    file.add_vocab_size(len(vocabulary))
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(HIDDEN)
    file.add_head_count(HEADS)
    file.add_head_count_kv(KV_HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("gpt-2")
    file.add_token_list([text for text, _ in vocabulary])
    file.add_token_types(kinds)
    file.add_token_merges(merges)
    file.add_bos_token_id(tokens.token_to_id(PAD))
    file.add_eos_token_id(tokens.token_to_id(END))
    file.add_pad_token_id(tokens.token_to_id(PAD))
    file.add_add_bos_token(value=False)
    file.add_chat_template(CHAT)
    file.add_tensor("token_embd.weight", noise(random, len(vocabulary), WIDTH))
    file.add_tensor("output.weight", noise(random, len(vocabulary), WIDTH))
    file.add_tensor("output_norm.weight", ones(WIDTH))
    small = WIDTH * KV_HEADS // HEADS
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (small, WIDTH),
        "attn_v": (small, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            file.add_tensor(f"blk.{layer}.{name}.weight", noise(random, *shape))
        for name in ("attn_norm", "ffn_norm"):
            file.add_tensor(f"blk.{layer}.{name}.weight", ones(WIDTH))
    write(file)


def write_eye(path, random):
    """Write the vision half and its projector, as LLaVA has them."""
    file = gguf.GGUFWriter(str(path), "clip")
    file.add_type("mmproj")
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_bool("clip.has_vision_encoder", val=True)
    file.add_bool("clip.use_gelu", val=False)
    file.add_string("clip.projector_type", "mlp")
    sizes = {
        "image_size": SIDE,
        "patch_size": PATCH,
        "embedding_length": EYE_WIDTH,
        "feed_forward_length": EYE_HIDDEN,
        "block_count": LAYERS,
        "projection_dim": WIDTH,
        "attention.head_count": HEADS,
    }
    for name, size in sizes.items():
        file.add_uint32(f"clip.vision.{name}", size)
    file.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    file.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    file.add_array("clip.vision.image_std", [0.25, 0.25, 0.25])
    file.add_tensor("v.class_embd", noise(random, EYE_WIDTH))
    file.add_tensor("v.patch_embd.weight", noise(random, EYE_WIDTH, 3, PATCH, PATCH))
    file.add_tensor("v.position_embd.weight", noise(random, (SIDE // PATCH) ** 2 + 1, EYE_WIDTH))
    norms = ["v.pre_ln", "v.post_ln"]
    linear = {"mm.0": (WIDTH, EYE_WIDTH), "mm.2": (WIDTH, WIDTH)}
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        norms += [f"{block}.ln1", f"{block}.ln2"]
        linear |= {f"{block}.{name}": (EYE_WIDTH, EYE_WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_out")}
        linear |= {f"{block}.ffn_up": (EYE_HIDDEN, EYE_WIDTH), f"{block}.ffn_down": (EYE_WIDTH, EYE_HIDDEN)}
    for name in norms:
        file.add_tensor(f"{name}.weight", ones(EYE_WIDTH))
        file.add_tensor(f"{name}.bias", 0 * ones(EYE_WIDTH))
    for name, shape in linear.items():
        file.add_tensor(f"{name}.weight", noise(random, *shape))
        file.add_tensor(f"{name}.bias", 0 * ones(shape[0]))
    write(file)


def noise(random, *shape):
    """Draw weights."""
    return (0.05 * random.standard_normal(shape)).astype(np.float32)


def ones(length):
    """Give the weights of a norm."""
    return np.ones(length, np.float32)


def write(file):
    """Write a file's header, settings and weights."""
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
