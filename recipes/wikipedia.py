"""Sizes of the language models for texts of Wikipedia, each beside its published score. None was trained here.

The data's vocabularies: 33,278 words of WikiText-2, 28 symbols of text8 with `<eos>`, 205 of enwik8.
"""

from typing import Any

from lab.recipe import Size
from lab.tasks.language_model import LanguageModel
from recipes.penn_treebank import HA, HYPER_LSTM, NOT_HERE, ZILLY

MERITY = "Merity et al. 2018, arXiv 1708.02182"

RHN_SOTA: dict[str, Any] = {
    # enwik8_sota and text8_sota of the official code, github.com/jzilly/RecurrentHighwayNetworks, where epoch i, from
    # 0, has 0.2 / 1.03 ** max(i - 4, 0), and the embedding is as wide as the alphabet. It has 500 epochs at most; its
    # authors stopped after about 100.
    "cell": "RHNCell",
    "cell_arguments": {"depth": 10, "transform_bias": -4.0},
    "units": 1500,
    "steps": 50,
    "batch_size": 128,
    "epochs": 100,
    "learning_rate": 0.2,
    "decay": 1 / 1.03,
    "decay_after": 5,
    "clip_norm": 10.0,
    "weight_decay": 1e-7,
    "decay_all": True,
    "init_scale": 0.04,
    "init_biases": True,
    "word_dropout": 0.1,
    "input_dropout": 0.4,
    "state_dropout": 0.1,
    "output_dropout": 0.4,
    "evaluation_batch_size": 128,
}

SIZES: dict[str, dict[str, Size]] = {
    "lstm": {
        # The regularization of github.com/salesforce/awd-lstm-lm, and as many parameters: there layers have 1150, 1150
        # and 400 units, and input dropout is 0.65 before the first and 0.2 before the others. Training is ours: at
        # their learning rate, 30, smaller networks of this kind diverged on Penn Treebank within 80 steps. Their weight
        # decay, 1.2e-6, is left out.
        "wikitext2": Size(
            LanguageModel(
                cell="LSTMCell",
                cell_arguments={"forget_bias": 1.0},
                units=952,
                layers=3,
                embedding_units=400,
                tied=True,
                unigram_start=True,
                steps=70,
                batch_size=80,
                epochs=100,
                optimizer="adam",
                learning_rate=1e-3,
                warm_up=0.1,
                anneal="linear",
                clip_norm=0.25,
                loss="mean",
                word_dropout=0.1,
                input_dropout=0.4,
                output_dropout=0.4,
                weight_drop=0.5,
                activation_penalty=2.0,
                temporal_penalty=1.0,
            ),
            33_386_382,
            paper=MERITY,
            source="ours, after awd-lstm-lm, whose README has the score: 33 million parameters, before fine-tuning",
            published="68.7 / 65.6",
            own=NOT_HERE,
            corpus="wikitext2",
        ),
    },
    "rhn": {
        "text8": Size(
            LanguageModel(level="char", embedding_units=27, **RHN_SOTA),
            45_153_784,
            paper=ZILLY,
            source="rhn_train.py's text8_sota; bits per character",
            published="- / 1.27",
            own=NOT_HERE,
            corpus="text8",
        ),
        "enwik8": Size(
            LanguageModel(level="byte", embedding_units=205, **RHN_SOTA),
            45_994_730,
            paper=ZILLY,
            source="rhn_train.py's enwik8_sota; bits per byte",
            published="- / 1.27",
            own=NOT_HERE,
            corpus="enwik8",
        ),
    },
    "hypernets": {
        # The paper stops early, after a number of epochs that it does not tell.
        "enwik8": Size(
            LanguageModel(
                cell="HyperLSTMCell",
                cell_arguments=HYPER_LSTM | {"hyper_units": 256, "embedding_units": 64},
                level="byte",
                units=1800,
                one_hot=True,
                steps=250,
                batch_size=128,
                epochs=50,
                patience=3,
                optimizer="adam",
                learning_rate=1e-3,
                clip_norm=1.0,
                loss="mean",
                recurrent_dropout=0.1,
                evaluation_batch_size=64,
            ),
            18_728_773,
            paper=HA,
            source="table 4, Layer Norm HyperLSTM of 1800 units, and section A.3.4; bits per byte",
            published="- / 1.353",
            own=NOT_HERE,
            corpus="enwik8",
        ),
    },
}
