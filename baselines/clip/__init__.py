"""What the CLIP baselines share: the model, its weights, prompts, and pictures cut into tiles."""
