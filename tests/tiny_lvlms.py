"""Builds tiny vision-language models with random weights, as folders that transformers and its like can load.

    python tests/tiny_lvlms.py FOLDER [llava idefics3 smolvlm qwen2_5_vl qwen3_vl internvl gemma3]

Each is the real class with the real processor and files, 2 layers deep and about 3 MB, made in a second without
network. Their answers are noise: they test everything around a model, and nothing about one. Needs torch and
transformers 5; Qwen2.5-VL and SmolVLM need torchvision too, SmolVLM num2words.

A server or a backend sees the same traps as with real weights: Idefics3 cuts a picture into tiles, Qwen2.5-VL's prompt
grows with the picture, and all have a byte-level tokenizer whose image token stands for many places in the prompt.
"""

import os
import sys
from pathlib import Path

# Read when huggingface_hub is imported: nothing here may look for a model's files on the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from tiny_tokenizer import END, PAD, START, train
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GenerationConfig,
    GotOcr2ImageProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def tokenizer(named, others=()):
    """Make a byte-level tokenizer.

    Args:
        named: special tokens that the processor asks for by attribute, such as ``{"image_token": "<image>"}``.
        others: further special tokens.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=train([*named.values(), *others]),
        bos_token=PAD,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=16384,
        extra_special_tokens=dict(named),
    )


def chat_template(image):
    """Write a chat template in which ``image`` stands where a picture is."""
    content = (
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}" + image + "{% endif %}"
        "{% endfor %}{% endif %}"
    )
    return (
        "{% for message in messages %}" + START + "{{ message['role'] }}\n" + content + END + "\n{% endfor %}"
        "{% if add_generation_prompt %}" + START + "assistant\n{% endif %}"
    )


def language_model(tokens, **more):
    """Give the settings of the language half."""
    return {
        "vocab_size": len(tokens),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,  # with 16, vLLM's CPU kernels fail at the first question
        "max_position_embeddings": 16384,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
        "tie_word_embeddings": False,
        **more,
    }


def save(folder, model_class, config, processor):
    """Draw the weights, the same each time, and write the folder."""
    torch.manual_seed(0)
    model = model_class(config).eval()
    tokens = processor.tokenizer
    model.generation_config = GenerationConfig(
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        do_sample=False,
        max_new_tokens=64,
        # Random weights would never end an answer; this makes it ever likelier after 16 tokens.
        exponential_decay_length_penalty=(16, 2.0),
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def build_llava(folder):
    """LLaVA: every picture becomes 224 x 224 pixels and 256 tokens."""
    tokens = tokenizer({"image_token": "<image>"})
    image = tokens.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        text_config=LlamaConfig(**language_model(tokens)),
        vision_config=CLIPVisionConfig(**VISION, image_size=224, patch_size=14, projection_dim=64),
        image_token_index=image,
        image_token_id=image,
        image_seq_length=256,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}),
        tokenizer=tokens,
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        image_token="<image>",
        chat_template=chat_template("<image>"),
    )
    save(folder, LlavaForConditionalGeneration, config, processor)


def build_idefics3(folder):
    """Idefics3: a square picture becomes 4 tiles and an overview of 512 x 512 pixels, 64 tokens each."""
    build_tiled(folder, Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor, Idefics3Processor)


def build_smolvlm(folder):
    """SmolVLM: as Idefics3, with a processor that takes videos too."""
    more = {"video_processor": SmolVLMVideoProcessor()}
    build_tiled(folder, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor, SmolVLMProcessor, **more)


def build_tiled(folder, config_class, model_class, image_processor_class, processor_class, **more):
    """Build one of the two models that cut a picture into tiles."""
    named = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokens = tokenizer(named, tiles)
    config = config_class(
        text_config={"model_type": "llama", **language_model(tokens)},
        vision_config={**VISION, "image_size": 512, "patch_size": 16},
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        pad_token_id=tokens.pad_token_id,
        scale_factor=4,
        tie_word_embeddings=False,
    )
    processor = processor_class(
        image_processor=image_processor_class(
            size={"longest_edge": 1024}, max_image_size={"longest_edge": 512}, do_image_splitting=True
        ),
        tokenizer=tokens,
        image_seq_len=64,
        chat_template=chat_template("<image>"),
        **more,
    )
    save(folder, model_class, config, processor)


def build_qwen2_5_vl(folder):
    """Qwen2.5-VL: a picture keeps its size and becomes a token for each 28 x 28 pixels, 729 for 768 x 768."""
    tokens = qwen_tokenizer()
    config = Qwen2_5_VLConfig(
        # The three parts of a position (time, row, column) share the 16 frequencies of a head of 32.
        text_config=language_model(tokens, rope_parameters=rope(1e6, mrope_section=[4, 6, 6])),
        vision_config={**QWEN_VISION, "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1]},
        **qwen_numbers(tokens),
    )
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28}),
        tokenizer=tokens,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=chat_template(QWEN_PICTURE),
    )
    save(folder, Qwen2_5_VLForConditionalGeneration, config, processor)


def build_qwen3_vl(folder):
    """Qwen3-VL: a token for each 32 x 32 pixels; features of the first two vision blocks enter the language model."""
    tokens = qwen_tokenizer()
    config = Qwen3VLConfig(
        text_config=language_model(tokens, rope_parameters=rope(5e6, mrope_section=[6, 5, 5], mrope_interleaved=True)),
        vision_config={
            **QWEN_VISION,
            "depth": 3,
            "patch_size": 16,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0, 1],
        },
        **qwen_numbers(tokens),
    )
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            size={"shortest_edge": 256 * 256, "longest_edge": 1280 * 32 * 32},
            patch_size=16,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        ),
        tokenizer=tokens,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=chat_template(QWEN_PICTURE),
    )
    save(folder, Qwen3VLForConditionalGeneration, config, processor)


QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "out_hidden_size": 128,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def qwen_tokenizer():
    """Make the tokenizer of both Qwens."""
    named = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    return tokenizer(named, ["<|vision_start|>", "<|vision_end|>"])


def qwen_numbers(tokens):
    """Give the settings that hold the numbers of a Qwen's special tokens."""
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    numbers = {f"{name}_token_id": tokens.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return {**numbers, "tie_word_embeddings": False}


def rope(theta, **sections):
    """Give the settings of a Qwen's positions."""
    return {"rope_type": "default", "rope_theta": theta, **sections}


def build_internvl(folder):
    """InternVL: up to 6 tiles of 224 x 224 pixels and an overview, 64 tokens each."""
    named = {
        "context_image_token": "<IMG_CONTEXT>",
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "video_token": "<video>",
    }
    tokens = tokenizer(named)
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **language_model(tokens)},
        vision_config={**VISION, "image_size": [224, 224], "patch_size": [14, 14]},
        image_token_id=tokens.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=64,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    square = {"height": 224, "width": 224}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=square, crop_to_patches=True, min_patches=1, max_patches=6),
        tokenizer=tokens,
        video_processor=InternVLVideoProcessor(size=square),
        image_seq_length=64,
        chat_template=chat_template("<IMG_CONTEXT>"),
    )
    save(folder, InternVLForConditionalGeneration, config, processor)


def build_gemma3(folder):
    """Gemma 3: every picture becomes 224 x 224 pixels and 64 tokens; every second layer looks 512 tokens back."""
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokens = tokenizer(named)
    number = tokens.convert_tokens_to_ids
    layers = {"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"]}
    config = Gemma3Config(
        text_config=language_model(tokens, query_pre_attn_scalar=32, **layers),
        vision_config={**VISION, "image_size": 224, "patch_size": 14},
        mm_tokens_per_image=64,
        boi_token_index=number("<start_of_image>"),
        eoi_token_index=number("<end_of_image>"),
        image_token_index=number("<image_soft_token>"),
        image_token_id=number("<image_soft_token>"),
        tie_word_embeddings=False,
    )
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 224, "width": 224}),
        tokenizer=tokens,
        image_seq_length=64,
        chat_template=chat_template("<start_of_image>"),
    )
    save(folder, Gemma3ForConditionalGeneration, config, processor)


BUILDERS = {
    "llava": build_llava,
    "idefics3": build_idefics3,
    "smolvlm": build_smolvlm,
    "qwen2_5_vl": build_qwen2_5_vl,
    "qwen3_vl": build_qwen3_vl,
    "internvl": build_internvl,
    "gemma3": build_gemma3,
}


def main(arguments):
    """Build the named models, or all, each in a folder of its name."""
    if not arguments or set(arguments[1:]) - set(BUILDERS):
        return f"usage: python tests/tiny_lvlms.py FOLDER [{' '.join(BUILDERS)}]"
    for name in arguments[1:] or BUILDERS:
        BUILDERS[name](Path(arguments[0]) / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
