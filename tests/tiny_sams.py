"""Builds tiny Segment Anything models with random weights, as folders that transformers can load.

    python tests/tiny_sams.py FOLDER [sam sam2 sam2_video]

Each is the real class with the real image processor, well below 2 MB, made in a second without network. Their masks are
noise, scattered over the whole picture and overlapping: they test everything around a model, and nothing about one.
Needs torch, torchvision and transformers 5. ``sam2_video`` is the form in which SAM 2 is published; its memory of other
frames is left unused.
"""

import os
import sys
from pathlib import Path

# Read when huggingface_hub is imported: nothing here may look for a model's files on the network.
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import (
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    SamConfig,
    SamImageProcessor,
    SamModel,
)

SIDE = 128
"""Pixels a side of what the models see; published: 1024."""
WIDTH = 32
"""Numbers a place, in everything after the vision encoder; published: 256."""

PROMPTS = {"hidden_size": WIDTH, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
DECODER = {"hidden_size": WIDTH, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": WIDTH}


def save(folder, model_class, config, processor, spread):
    """Draw the weights, the same each time, and write the folder; with a small spread all masks would be alike."""
    config.initializer_range = config.vision_config.initializer_range = spread
    torch.manual_seed(0)
    model_class(config).eval().save_pretrained(folder)
    processor.save_pretrained(folder)


def build_sam(folder):
    """SAM: the picture keeps its shape and is padded to a square."""
    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": WIDTH // 2,
            "mlp_ratio": 2.0,
        },
        prompt_encoder_config=PROMPTS,
        mask_decoder_config=DECODER,
    )
    processor = SamImageProcessor(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": SIDE // 4},
        mask_pad_size={"height": SIDE // 4, "width": SIDE // 4},
    )
    save(folder, SamModel, config, processor, spread=0.5)


def sam2_settings():
    """Give the settings that SAM 2 for pictures and for videos have in common."""
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "image_size": [SIDE, SIDE],
        "window_positional_embedding_background_size": [4, 4],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 2, 4, 2],
        "global_attention_blocks": [3],
        "initializer_range": 0.2,
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        "fpn_hidden_size": WIDTH,
    }
    return {"vision_config": vision, "prompt_encoder_config": PROMPTS, "mask_decoder_config": DECODER}


def sam2_processor():
    """SAM 2 stretches the picture to a square."""
    return Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}, mask_size={"height": SIDE // 4, "width": SIDE // 4})


def build_sam2(folder):
    """SAM 2 for pictures."""
    save(folder, Sam2Model, Sam2Config(**sam2_settings()), sam2_processor(), spread=0.3)


def build_sam2_video(folder):
    """SAM 2 for videos."""
    config = Sam2VideoConfig(
        **sam2_settings(),
        image_size=SIDE,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[SIDE // 16, SIDE // 16],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=16,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=64,
    )
    save(folder, Sam2VideoModel, config, sam2_processor(), spread=0.3)


BUILDERS = {"sam": build_sam, "sam2": build_sam2, "sam2_video": build_sam2_video}


def main(arguments):
    """Build the named models, or all, each in a folder of its name."""
    if not arguments or set(arguments[1:]) - set(BUILDERS):
        return f"usage: python tests/tiny_sams.py FOLDER [{' '.join(BUILDERS)}]"
    for name in arguments[1:] or BUILDERS:
        BUILDERS[name](Path(arguments[0]) / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
