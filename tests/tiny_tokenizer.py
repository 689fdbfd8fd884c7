"""The tokenizer of the tiny models, without transformers: byte-level pairs, learned from the words of our questions."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

SENTENCES = (
    "You inspect industrial products for defects. White borders divide the picture into numbered regions. ",
    "Give scores from 0 to 1, where a higher score means more anomalous: one for the image, and one for each region. ",
    "Answer in exactly this format, with your own numbers, and write nothing else: ",
    "image anomaly score: 0.9; region 1: 0.9; region 3: 0.7. ",
    'Answer with one JSON object: {"image_anomaly_score": 0.9, "regions": [{"region": 1, "score": 0.9}]} ',
)
"""What the tokenizer learns its merges from: without any, a question would be one token a letter."""


def train(specials=()):
    """Learn a byte-level tokenizer, the same each time; the special tokens come first, in order.

    Args:
        specials: special tokens beside the three above.
    """
    merges = Tokenizer(models.BPE())
    merges.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        min_frequency=1,
        # Sorted: the alphabet comes as a set, and a token's number must be the same each time.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[PAD, START, END, *specials],
        show_progress=False,
    )
    merges.train_from_iterator(SENTENCES, trainer)
    return merges
