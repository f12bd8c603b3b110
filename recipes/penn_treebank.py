"""The language models by target and size, each beside the score it has to reach."""

from typing import Any

from lab.recipe import Size, Targets
from lab.tasks.language_model import LanguageModel

ZAREMBA = "Zaremba et al. 2014, arXiv 1409.2329"
ZILLY = "Zilly et al. 2017, arXiv 1607.03474"
SHOHAM = "Shoham & Permuter 2018, arXiv 1805.09238"
DANILUK = "Daniluk et al. 2017, arXiv 1702.04521"
HA = "Ha et al. 2017, arXiv 1609.09106"
LIU = "Liu et al. 2019, arXiv 1806.09055"
MELIS = "Melis et al. 2020, arXiv 1909.01792"

NOT_HERE = "not trained here"

SMALL: dict[str, Any] = {
    # Ours: at most the 4,651,600 parameters of the small LSTM, at most an hour on two cores: so the
    # wider networks have fewer epochs.
    "embedding_units": 200,
    "tied": True,
    "unigram_start": True,
    "batch_size": 20,
    "steps": 35,
    "epochs": 10,
    "optimizer": "adam",
    "learning_rate": 4e-3,
    "warm_up": 0.1,
    "anneal": "linear",
    "clip_norm": 10.0,
    "word_dropout": 0.05,
    "input_dropout": 0.2,
    "state_dropout": 0.1,
    "output_dropout": 0.25,
}

# Where c is normalized on its way out its size is free, and grows with the length of the text: a network whose state
# never restarts fails in time (benchmarks/NOTES.md).
NORMALIZED: dict[str, Any] = {"restart": 0.02}

QUICK: dict[str, Any] = SMALL | {
    # For pydoc, a sixth of Penn Treebank: smaller, with more dropout.
    "embedding_units": 160,
    "epochs": 8,
    "learning_rate": 5e-3,
    "input_dropout": 0.3,
    "state_dropout": 0.15,
    "output_dropout": 0.3,
}

PTB_SOTA: dict[str, Any] = {
    # Of the official code, github.com/jzilly/RecurrentHighwayNetworks, where epoch i, from 0, has
    # 0.2 / 1.02 ** max(i - 19, 0). H's bias is drawn like the weights.
    "units": 830,
    "tied": True,
    "steps": 35,
    "batch_size": 20,
    "epochs": 500,
    "learning_rate": 0.2,
    "decay": 1 / 1.02,
    "decay_after": 20,
    "clip_norm": 10.0,
    "decay_all": True,
    "init_scale": 0.04,
    "word_dropout": 0.25,
    "input_dropout": 0.75,
    "state_dropout": 0.25,
    "output_dropout": 0.75,
    "init_biases": True,
}


def quick(parameters: int, **more: Any) -> Size:
    """A first look, on the text that comes with Python. parameters: with Penn Treebank's words."""
    return Size(LanguageModel(**QUICK | more), parameters, paper="", source="ours, for pydoc", corpus="pydoc")


LSTM: dict[str, Any] = {"cell": "LSTMCell", "cell_arguments": {"forget_bias": 0.0}}
BEST: dict[str, Any] = {
    # The best four changes of `lstm --size tied` that go together (benchmarks screening).
    "cell": "LSTMCell",
    "cell_arguments": {"forget_bias": 1.0, "input_gate": "capped"},
    "wrapper": "Mogrifier",
    "wrapper_arguments": {"rank": 40},
    "augmented_loss": 0.5,
    "partial_shuffle": True,
}
HYPER_LSTM = {"embedding_units": 4, "layer_norm": True, "forget_bias": 1.0}

TARGETS: Targets = {
    # The learning rate is 1 for the first 4, 6 and 14 epochs, as the text of the paper says and as
    # TensorFlow's ptb_word_lm.py counts them. As there, the cells' biases start at zero, and the
    # softmax's like the weights. Dropout is 1 - keep_prob.
    "lstm": {
        "small": Size(
            LanguageModel(
                **LSTM,
                units=200,
                layers=2,
                steps=20,
                batch_size=20,
                epochs=13,
                learning_rate=1.0,
                decay=0.5,
                decay_after=4,
                clip_norm=5.0,
                init_scale=0.1,
            ),
            4_651_600,
            paper=ZAREMBA,
            source="table 1, non-regularized; TensorFlow's ptb_word_lm.py: 121.39 / 115.91",
            published="120.7 / 114.5",
            own="119.3 / 115.1",
        ),
        "medium": Size(
            LanguageModel(
                **LSTM,
                units=650,
                layers=2,
                steps=35,
                batch_size=20,
                epochs=39,
                learning_rate=1.0,
                decay=0.8,  # both codes'; the paper divides by 1.2
                decay_after=6,
                clip_norm=5.0,
                init_scale=0.05,
                dropout=0.5,
            ),
            19_775_200,
            paper=ZAREMBA,
            source="table 1, medium; TensorFlow's ptb_word_lm.py: 86.16 / 82.07",
            published="86.2 / 82.7",
            own=NOT_HERE,
        ),
        "large": Size(
            LanguageModel(
                **LSTM,
                units=1500,
                layers=2,
                steps=35,
                batch_size=20,
                epochs=55,
                learning_rate=1.0,
                decay=1 / 1.15,
                decay_after=14,
                clip_norm=10.0,
                shards=1,  # each would read all 36 MB of each recurrent kernel at every step
                init_scale=0.04,
                dropout=0.65,
            ),
            66_022_000,
            paper=ZAREMBA,
            source="table 1, large; TensorFlow's ptb_word_lm.py: 82.62 / 78.29",
            published="82.2 / 78.4",
            own=NOT_HERE,
        ),
        "tied": Size(
            LanguageModel(
                cell="LSTMCell",
                cell_arguments={"forget_bias": 1.0},
                units=656,
                recurrent_dropout=0.1,
                **SMALL | {"epochs": 9},
            ),
            4_390_168,
            paper="Inan et al. 2017, arXiv 1611.01462",
            source="not theirs but ours; the score is of their small VD-LSTM with tied embeddings",
            published="89.9 / 85.1",
            own="85.9 / 80.4",
        ),
        "quick": quick(2_571_760, cell="LSTMCell", cell_arguments={"forget_bias": 1.0}, units=400),
    },
    "best": {
        "small": Size(
            LanguageModel(
                **BEST,
                units=629,
                recurrent_dropout=0.1,
                **SMALL
                | {"epochs": 12}
                | {"word_dropout": 0.08, "input_dropout": 0.3, "state_dropout": 0.15, "output_dropout": 0.35},
            ),
            4_390_080,
            paper=MELIS,
            source="not theirs but ours; the paper's network has 24 million parameters, and 50.1 on test",
            own="77.7 / 73.6",
        ),
        "quick": quick(2_617_520, **BEST, units=384),
    },
    "lnlstm": {
        "small": Size(
            LanguageModel(
                cell="LayerNormLSTMCell",
                cell_arguments={"forget_bias": 1.0},
                units=656,
                **SMALL | NORMALIZED | {"epochs": 8},
            ),
            4_396_728,
            paper="Ba et al. 2016, arXiv 1607.06450",
            source="ours; the paper has no language model of Penn Treebank",
            own="91.4 / 84.9",
        ),
        "quick": quick(
            2_575_760, cell="LayerNormLSTMCell", cell_arguments={"forget_bias": 1.0}, units=400, **NORMALIZED
        ),
    },
    "rhn": {
        "small": Size(
            LanguageModel(
                cell="RHNCell",
                cell_arguments={"depth": 4, "transform_bias": -2.0},
                units=448,
                init_biases=True,
                **SMALL,
            ),
            3_888_216,
            paper=ZILLY,
            source="ours; the paper's smallest has 23 million parameters",
            own="87.9 / 82.3",
        ),
        "quick": quick(
            2_380_080,
            cell="RHNCell",
            cell_arguments={"depth": 3, "transform_bias": -2.0},
            units=320,
            init_biases=True,
        ),
        "paper": Size(
            LanguageModel(
                cell="RHNCell",
                cell_arguments={"depth": 10, "transform_bias": -2.0},
                weight_decay=1e-7,
                **PTB_SOTA,
            ),
            23_482_400,
            paper=ZILLY,
            source="table 1, variational RHN + WT; rhn_train.py's ptb_sota",
            published="67.9 / 65.4",
            own=NOT_HERE,
        ),
    },
    "hsg": {
        "small": Size(
            LanguageModel(
                cell="HighwayStateGateRHNCell",
                cell_arguments={"depth": 4, "transform_bias": -2.0, "gate_bias": -2.0},
                units=448,
                init_biases=True,
                **SMALL,
            ),
            4_290_072,
            paper=SHOHAM,
            source="ours; the paper's models are larger",
            own=NOT_HERE,
        ),
        "quick": quick(
            2_585_200,
            cell="HighwayStateGateRHNCell",
            cell_arguments={"depth": 3, "transform_bias": -2.0, "gate_bias": -2.0},
            units=320,
            init_biases=True,
        ),
        # Depth 40 and the biases of the only published code, github.com/asahi417/LSTMCell; the rest
        # as rhn's. The paper's own scores could not be verified.
        "paper": Size(
            LanguageModel(
                cell="HighwayStateGateRHNCell",
                cell_arguments={"depth": 40, "transform_bias": -2.5, "gate_bias": -2.5},
                weight_decay=1e-9,
                **PTB_SOTA,
            ),
            66_244_830,
            paper=SHOHAM,
            source="asahi417/LSTMCell's hsg; no verified score",
            own=NOT_HERE,
        ),
    },
    # A window of five: more gave the paper's models next to nothing. output_dropout is inside the wrapper,
    # on keys, values and predictions alike.
    "kvp": {
        "small": Size(
            LanguageModel(
                cell="LSTMCell",
                cell_arguments={"forget_bias": 1.0},
                wrapper="KVPAttention",
                wrapper_arguments={"window": 5},
                units=672,
                **SMALL,
            ),
            4_602_552,
            paper=DANILUK,
            source="ours; the paper's corpora are Wikipedia and the Children's Book Test",
            own=NOT_HERE,
        ),
        "quick": quick(
            2_533_424,
            cell="LSTMCell",
            cell_arguments={"forget_bias": 1.0},
            wrapper="KVPAttention",
            wrapper_arguments={"window": 5},
            units=384,
        ),
    },
    # The cell that a search of theirs found; `train.py search cell` looks for another.
    "cell": {
        "small": Size(
            LanguageModel(
                cell="GenotypeCell",
                cell_arguments={"genotype": "darts_v2"},
                units=364,
                **SMALL,
            ),
            4_613_528,
            paper=LIU,
            source="ours; the paper's network has 23 million parameters, and 55.7 on test",
            own=NOT_HERE,
        ),
        "quick": quick(2_620_848, cell="GenotypeCell", cell_arguments={"genotype": "darts_v2"}, units=224),
    },
    "hypernets": {
        "small": Size(
            LanguageModel(
                cell="HyperLSTMCell",
                cell_arguments=HYPER_LSTM | {"hyper_units": 64},
                units=448,
                **SMALL,
                **NORMALIZED,
            ),
            3_475_064,
            paper=HA,
            source="ours; the paper has characters alone",
            own="91.1 / 84.9",
        ),
        "quick": quick(
            2_219_856, cell="HyperLSTMCell", cell_arguments=HYPER_LSTM | {"hyper_units": 64}, units=256, **NORMALIZED
        ),
        # Layer-norm HyperLSTM; inputs are one-hot characters: so the paper's parameters add up.
        "paper": Size(
            LanguageModel(
                cell="HyperLSTMCell",
                cell_arguments=HYPER_LSTM | {"hyper_units": 128},
                level="char",
                units=1000,
                one_hot=True,
                steps=100,
                batch_size=128,
                epochs=100,  # ours: the paper names no number
                optimizer="adam",
                learning_rate=1e-3,
                clip_norm=1.0,
                loss="mean",
                dropout=0.1,
                recurrent_dropout=0.1,
                evaluation_batch_size=64,
            ),
            4_923_154,
            paper=HA,
            source="table 3, Layer Norm HyperLSTM; bits per character",
            published="1.281 / 1.250",
            own=NOT_HERE,
        ),
    },
}
