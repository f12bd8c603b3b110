"""Language models: predict the next word, or character, of a text.

Keras and TensorFlow are imported where they are used: reading a recipe, or refusing one, needs
neither.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Literal

from lab.tasks.corpus import Corpus, evaluation_windows, from_vocabulary, load_corpus, windows
from lab.tasks.generation import generate, written
from lab.recipe import Count, Few, InputError, NonNegative, Number, Positive, Rate, Recipe
from lab.run import write_text

SAMPLE_WORDS = 50
PENN_TREEBANK = {"word": 10_000, "char": 50}
"""The sizes of Penn Treebank's vocabularies, by which the parameters of a recipe are counted."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Recipe):
    """Embedding, recurrent layers, softmax; each target adds the cell and the cell's own fields.

    The training text is cut into ``batch_size`` rows, and those into windows of ``steps``; state is
    carried from window to window and starts anew each epoch. The loss is summed over time and
    averaged over the batch, as in Zaremba's code and all that followed it: to that their learning
    rates and clipping norms refer. With ``loss="mean"`` it is averaged over time, too.

    Dropout comes in two kinds. ``dropout`` is Zaremba's: new noise at each step, before each layer
    and after the last. The others keep one mask for a window: ``word_dropout`` drops words out of
    the vocabulary, ``input_dropout`` acts on the inputs of each layer, ``state_dropout`` on what
    its kernels read of the state (one mask a gate with ``untied_masks``), ``output_dropout`` on what
    leaves the last. In the cells: ``recurrent_dropout``, new noise at each step on the update of the
    memory (Semeniuta et al., 1603.05118); ``zoneout`` of every state (Krueger et al., 1606.01305);
    ``weight_drop`` on the recurrent kernels (Merity et al., 1708.02182). On the last layer's outputs:
    ``activation_penalty`` and ``temporal_penalty``, AR and TAR (Merity et al., 1708.01009), added to
    the mean loss of a prediction; both after ``output_dropout``, unlike the authors' TAR.

    ``restart`` is the share of a batch's rows that begin a window with the zero state; the others carry
    theirs on.

    ``embedding_units`` is the width of the embedding, if not ``units``; a linear map leads back to
    it before a tied softmax. ``one_hot`` does without an embedding. ``init_scale`` draws weights
    uniformly within plus and minus that; without it, Keras's own initialisers do.
    ``unigram_start`` lets the softmax's bias start as the logarithms of the words' frequencies, which
    Adam, that moves rare words as fast as frequent ones, takes long to find.
    """

    level: Literal["word", "char"] = "word"
    units: Count
    layers: Few = 1
    steps: Count = 35
    embedding_units: Count | None = None
    one_hot: bool = False
    tied: bool = False
    unigram_start: bool = False
    init_scale: Positive | None = None
    dropout: Rate = 0.0
    word_dropout: Rate = 0.0
    input_dropout: Rate = 0.0
    state_dropout: Rate = 0.0
    output_dropout: Rate = 0.0
    untied_masks: bool = False
    recurrent_dropout: Rate = 0.0
    zoneout: Rate = 0.0
    weight_drop: Rate = 0.0
    activation_penalty: NonNegative = 0.0
    temporal_penalty: NonNegative = 0.0
    restart: Rate = 0.0
    loss: Literal["sum", "mean"] = "sum"
    evaluation_batch_size: Count = 20
    evaluation_steps: Count = 100

    def __post_init__(self):
        super().__post_init__()
        if self.one_hot and (self.tied or self.embedding_units):
            raise InputError("one_hot=True: must be false with tied or embedding_units")
        if self.untied_masks and not self.state_dropout:
            raise InputError("untied_masks=True: must be false without state_dropout")

    def cell(self, **initializers):
        """One layer's cell, without dropout."""
        raise NotImplementedError

    def regularized_cell(self, top: bool):
        """One layer's cell with the dropout that acts inside it."""
        import tfcells

        cell = self.cell(**self.initializers("kernel_initializer", "recurrent_initializer"))
        if self.recurrent_dropout:
            cell = tfcells.RecurrentDropout(cell, self.recurrent_dropout)
        if self.zoneout:
            cell = tfcells.Zoneout(cell, self.zoneout)
        if self.weight_drop:
            cell = tfcells.WeightDrop(cell, self.weight_drop)
        rates = self.input_dropout, self.state_dropout, self.output_dropout if top else 0.0
        return tfcells.Variational(cell, *rates, self.untied_masks) if any(rates) else cell

    def penalised(self, outputs):
        """The last layer's outputs, with their penalties noted for the model's losses."""
        import keras

        import tfcells

        for rate, penalty in (
            (self.activation_penalty, tfcells.ActivationRegularizer),
            (self.temporal_penalty, tfcells.TemporalActivationRegularizer),
        ):
            if rate:
                outputs = keras.layers.Identity(activity_regularizer=penalty(rate))(outputs)
        return outputs

    def initializers(self, *names: str) -> dict:
        """The initialisers of those names that the recipe prescribes."""
        import keras

        if self.init_scale is None:
            return {}
        scale = self.init_scale
        return {name: keras.initializers.RandomUniform(-scale, scale) for name in names}

    def network(self, vocabulary_size: int, with_state: bool = True):
        """A model [tokens, *state] -> [logits, *state], or, without state, tokens -> logits.

        Any batch size and any number of steps will do; tokens: (batch, steps).
        """
        import keras

        import tfcells

        def drop(x):
            return keras.layers.Dropout(self.dropout)(x) if self.dropout else x

        floats = keras.config.dtype_policy().variable_dtype
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        embedding = self.embedding(vocabulary_size)
        x = embedding(tokens)
        if self.word_dropout:
            x = tfcells.WordDropout(vocabulary_size, self.word_dropout)([tokens, x])
        before, after = [], []
        for number in range(1, self.layers + 1):
            cell = self.regularized_cell(top=number == self.layers)
            options = {"return_sequences": True, "name": f"layer_{number}"}
            if with_state:
                start = [
                    keras.Input((size,), name=f"{name}_{number}", dtype=floats)
                    for name, size in zip(cell.states, cell.state_size, strict=True)
                ]
                layer = tfcells.RNN(cell, return_state=True, **options)
                before += start
                if self.restart:
                    start = tfcells.Restart(self.restart, name=f"restart_{number}")(start)
                x, *end = layer(drop(x), initial_state=start)
                after += end
            else:
                x = tfcells.RNN(cell, **options)(drop(x))
        if with_state:  # what is saved needs no penalties
            x = self.penalised(x)
        if self.tied:
            logits = self.tied_logits(drop(x), embedding)
        else:
            start = self.initializers("kernel_initializer")
            output = tfcells.Dense(vocabulary_size, use_bias=False, name="output", **start)
            logits = output(drop(x))
        bias = tfcells.Bias(name="output_bias", **self.initializers("initializer"))
        logits = bias(logits)
        return keras.Model(
            [tokens, *before] if before else tokens, [logits, *after] if after else logits
        )

    def embedding(self, vocabulary_size: int):
        """The first layer."""
        import keras

        if self.one_hot:
            return keras.layers.Embedding(
                vocabulary_size, vocabulary_size, "identity", trainable=False, name="one_hot"
            )
        return keras.layers.ReversibleEmbedding(
            vocabulary_size,
            self.embedding_units or self.units,
            name="embedding",
            **self.initializers("embeddings_initializer"),
        )

    def tied_logits(self, x, embedding):
        """x by the embedding's matrix, after a map to its width where it has another."""
        import keras

        if embedding.output_dim != self.units:
            start = self.initializers("kernel_initializer")
            x = keras.layers.Dense(embedding.output_dim, name="projection", **start)(x)
        return embedding(x, reverse=True)

    def parameters(self, vocabulary_size: int | None = None) -> int:
        """The number of trainable scalars, tied ones once; without making a single one."""
        return self.scalars(lambda: self.network(vocabulary_size or PENN_TREEBANK[self.level]))

    # What train.py asks for, as recipes/__init__.py lists it.

    @property
    def unit(self) -> str:
        return {"word": "words", "char": "characters"}[self.level]

    def load(self, corpus: str, data_dir: str | None, like: Corpus | None = None) -> Corpus:
        if like:
            return load_corpus(corpus, data_dir, self.level, like.vocabulary)
        data = load_corpus(corpus, data_dir, self.level)
        steps = len(windows(data.train, self.batch_size, self.steps))  # raises if there is not one
        if self.steps_per_epoch and self.steps_per_epoch > steps:
            raise InputError(
                f"steps_per_epoch={self.steps_per_epoch}: this text has only {steps} steps"
            )
        return data

    def files(self, data) -> dict[str, object]:
        return {"vocabulary.json": data.vocabulary}

    def recall(self, read) -> Corpus:
        return from_vocabulary(read("vocabulary.json"), self.level)

    def fingerprint(self, data) -> str:
        digest = hashlib.sha256(json.dumps(data.vocabulary).encode())
        for stream in (data.train, data.valid, data.test):
            digest.update(stream.astype("<i4").tobytes())
        return digest.hexdigest()

    def build(self, data):
        import numpy as np

        model = self.network(len(data.vocabulary))
        if self.unigram_start:
            counts = np.bincount(data.train, minlength=len(data.vocabulary))
            model.get_layer("output_bias").bias.assign(np.log(counts / counts.sum()))
        return model

    def prompt(self, data, text: str):
        return data.encode(text)

    def batches(self, data, epoch: int = 0):
        every = windows(data.train, self.batch_size, self.steps)
        return every.take(self.steps_per_epoch) if self.steps_per_epoch else every

    def evaluation(self, data, split: str):
        """Validation in rows, to be quick; the test text as the one stream it is."""
        rows = self.evaluation_batch_size if split == "valid" else 1
        return evaluation_windows(getattr(data, split), rows, self.evaluation_steps, data.eos)

    def losses(self, model, x, y, state, training: bool = False):
        from lab.tasks.cross_entropy import cross_entropy

        logits, *state = model([x, *state], training=training)
        return cross_entropy(y, logits), state

    def objective(self, losses, penalties=0.0):
        import tensorflow as tf

        mean = tf.reduce_mean(losses) + tf.cast(penalties, losses.dtype)
        return mean if self.loss == "mean" else mean * losses.shape[1]

    score_name, speed_name = "perplexity", "words_per_second"

    def predictions(self, batches) -> int:
        return batches.element_spec[1].shape.num_elements()

    def measures(self, model, data, split: str) -> dict[str, float]:
        return {}

    def reached(self, facts: dict) -> bool:
        return False

    def score(self, loss: float) -> float:
        return math.exp(loss) if loss < 709 else math.inf

    def results(self, train: float, valid: float, test: float) -> dict[str, object]:
        """What result.json says of the task, from the losses of a prediction."""
        results = {
            "level": self.level,
            "train_perplexity": self.score(train),
            "valid_perplexity": self.score(valid),
            "test_perplexity": self.score(test),
        }
        if self.level == "char":
            results["bits_per_character"] = test / math.log(2)
        return results

    def portable(self, model, data):
        """A model tokens -> logits with the same weights, of Keras's and tfcells's layers alone."""
        copy = self.network(len(data.vocabulary), with_state=False)
        for new, old in zip(copy.trainable_variables, model.trainable_variables, strict=True):
            new.assign(old)
        return copy

    def illustrate(self, model, data, run, seed: int) -> str:
        sample = self.sample(model, data, SAMPLE_WORDS, seed)
        write_text(run.folder / "sample.txt", sample)
        return f"a sample:\n{sample}"

    def sample(self, model, data, words: int, seed: int, temperature=1.0, prompt=()) -> str:
        """A prompt, token by token, and so many words of made-up text; a sentence a line."""
        tokens = generate(model, data, self.initial_state(model, 1), seed, temperature, prompt)
        return written(tokens, words, data, prompt, "" if self.level == "char" else " ")


@dataclass(frozen=True, kw_only=True)
class LSTM(LanguageModel):
    forget_bias: Number = 1.0

    def cell(self, **initializers):
        import tfcells

        return tfcells.LSTMCell(self.units, forget_bias=self.forget_bias, **initializers)

    def in_numpy(self, data, dtype: str):
        from tfcells import numpy as networks

        words, units = len(data.vocabulary), self.units
        widths = [self.embedding_units or units, *[units] * self.layers]
        network = networks.Network(
            networks.Embedding(words, widths[0], dtype=dtype),
            *(networks.LSTM(width, units, dtype=dtype) for width in widths[:-1]),
            networks.Dense(units, words, dtype=dtype),
        )
        return network, networks.SoftmaxCrossEntropy()


@dataclass(frozen=True, kw_only=True)
class LayerNormLSTM(LanguageModel):
    forget_bias: Number = 1.0

    def cell(self, **initializers):
        import tfcells

        return tfcells.LayerNormLSTMCell(self.units, forget_bias=self.forget_bias, **initializers)


@dataclass(frozen=True, kw_only=True)
class RecurrentHighwayNetwork(LanguageModel):
    kind = "RHNCell"
    depth: Few
    transform_bias: Number = -2.0

    def cell(self, **more):
        import tfcells

        return getattr(tfcells, self.kind)(
            self.units,
            depth=self.depth,
            transform_bias=self.transform_bias,
            **more,
            **self.initializers("bias_initializer"),
        )


@dataclass(frozen=True, kw_only=True)
class HyperNetworks(LanguageModel):
    hyper_units: Count = 128
    signal_units: Count = 4
    layer_norm: bool = False
    forget_bias: Number = 1.0

    def cell(self, **initializers):
        import tfcells

        return tfcells.HyperLSTMCell(
            self.units,
            hyper_units=self.hyper_units,
            embedding_units=self.signal_units,
            layer_norm=self.layer_norm,
            forget_bias=self.forget_bias,
            **initializers,
        )


@dataclass(frozen=True, kw_only=True)
class HighwayStateGate(RecurrentHighwayNetwork):
    kind = "HighwayStateGateRHNCell"
    gate_bias: Number = -2.0

    def cell(self, **more):
        return super().cell(gate_bias=self.gate_bias, **more)
