"""Language models: predict the next word, character or byte of a text.

Keras and TensorFlow are imported where they are used: reading a recipe, or refusing one, needs
neither.
"""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data import EOS
from lab.cells import make_cell, regularized
from lab.fields import Count, InputError, NonNegative, Positive, Rate
from lab.recipe import Recipe
from lab.run import Run, write_text
from lab.streams import complain
from lab.task import Batches, Model, Tensor
from lab.tasks.corpus import (
    NAMES,
    Corpus,
    count_windows,
    evaluation_windows,
    from_vocabulary,
    load_corpus,
    windows,
)
from lab.tasks.generation import generate, written
from lab.tasks.layers import carried, recurrent
from lab.tasks.scoring import Reader, Remember, Scorer

SAMPLE_WORDS = 50
PENN_TREEBANK = {"word": 10_000, "char": 50, "byte": 50}
"""The sizes of Penn Treebank's vocabularies, by which the parameters of a recipe are counted."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Recipe[Corpus]):
    """Embedding, recurrent layers, softmax.

    level: what a token is
    steps: tokens of a window, over which gradients flow
    embedding_units: width of the embedding, or none for that of the layers
    one_hot: one-hot vectors instead of an embedding
    tied: the softmax shares the embedding's matrix
    unigram_start: the softmax's bias starts at the logarithms of the words' frequencies
    init_scale: weights start uniform within plus and minus that, or none for Keras's initializers
    init_biases: init_scale is for the cells' biases, too
    dropout: before each layer and after the last, new noise at each step
    word_dropout: share of the words dropped out of the vocabulary, one mask a window
    input_dropout: on the inputs of each layer, one mask a window
    state_dropout: on what kernels read of the state, one mask a window
    output_dropout: on the outputs of the last layer, one mask a window
    untied_masks: state_dropout has a mask for each gate
    recurrent_dropout: on the update of the cell's memory, new noise at each step
    zoneout: probability that a unit of a state keeps its old value
    weight_drop: on the recurrent kernels, one mask a window
    activation_penalty: weight of AR, the mean square of the last layer's outputs
    temporal_penalty: weight of TAR, the mean square of their change from step to step
    restart: share of a batch's rows that begin a window with the zero state
    augmented_loss: weight of the augmented loss, times its temperature; 0 for none
    augmented_temperature: temperature of the augmented loss
    partial_shuffle: each row of a batch begins at another word in every epoch, whatever the seed
    layer_sum: the softmax reads the sum of the outputs of all layers
    loss: summed or averaged over the steps of a window
    evaluation_batch_size: rows that validation reads at once
    evaluation_steps: steps that validation and test read at once

    The training text is cut into ``batch_size`` rows, and those into windows of ``steps``. State is carried from
    window to window and starts at zero in each epoch. The loss is averaged over the batch. Over time it is summed, as
    in Zaremba's code and those after it, to which their learning rates and clipping norms refer.

    ``dropout`` is Zaremba's. ``recurrent_dropout`` is from Semeniuta et al., 1603.05118; ``zoneout`` from Krueger et
    al., 1606.01305; ``weight_drop`` from Merity et al., 1708.02182. AR and TAR (Merity et al., 1708.01009) are added to
    the mean loss of a prediction. Both act after ``output_dropout``, unlike the authors' TAR.

    The augmented loss (Inan et al., 1611.01462) is the divergence of the prediction from the likeness of all words'
    embeddings to the right one's, both at ``augmented_temperature``. It acts on gradients alone: the losses that are
    shown lack it. ``partial_shuffle`` is from Press, 1903.04167, ``layer_sum`` from Melis et al., 1707.05589.

    A linear map leads from ``units`` back to ``embedding_units`` before a tied softmax. Adam takes long to find the
    bias of ``unigram_start``, as it moves rare words as fast as frequent ones.
    """

    level: Literal["word", "char", "byte"] = "word"
    steps: Count = 35
    embedding_units: Count | None = None
    one_hot: bool = False
    tied: bool = False
    unigram_start: bool = False
    init_scale: Positive | None = None
    init_biases: bool = False
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
    augmented_loss: NonNegative = 0.0
    augmented_temperature: Positive = 10.0
    partial_shuffle: bool = False
    layer_sum: bool = False
    loss: Literal["sum", "mean"] = "sum"
    evaluation_batch_size: Count = 20
    evaluation_steps: Count = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.one_hot and (self.tied or self.embedding_units):
            raise InputError("one_hot=True: must be false with tied or embedding_units")
        if self.one_hot and self.augmented_loss:
            raise InputError(f"augmented_loss={self.augmented_loss}: must be 0 with one_hot")
        if not self.augmented_loss and self.augmented_temperature != type(self).augmented_temperature:
            raise InputError(
                f"augmented_temperature={self.augmented_temperature}: must not be given without augmented_loss"
            )
        if self.layer_sum and self.layers == 1:
            raise InputError("layer_sum=True: must be false with layers=1")
        if self.untied_masks and not self.state_dropout:
            raise InputError("untied_masks=True: must be false without state_dropout")

    def regularized_cell(self, top: bool) -> Any:
        """A layer's cell with the dropout that acts inside it. top: whether it is the last layer's."""
        names = ["kernel_initializer", "recurrent_initializer"]
        names += ["bias_initializer"] if self.init_biases else []
        cell = make_cell(self.cell, self.units, self.cell_arguments, **self.initializers(*names))
        cell = regularized(cell, "RecurrentDropout", {"recurrent_dropout": self.recurrent_dropout})
        cell = regularized(cell, "Zoneout", {"zoneout": self.zoneout})
        cell = regularized(cell, "WeightDrop", {"weight_drop": self.weight_drop})
        rates = {
            "input_dropout": self.input_dropout,
            "state_dropout": self.state_dropout,
            "output_dropout": self.output_dropout if top else 0.0,
        }
        return self.wrapped(regularized(cell, "VariationalDropout", rates, self.untied_masks))

    def penalized(self, outputs: Tensor) -> Tensor:
        """The last layer's outputs, with their penalties among the model's losses."""
        import keras

        import tfcells

        for rate, penalty in (
            (self.activation_penalty, tfcells.ActivationRegularizer),
            (self.temporal_penalty, tfcells.TemporalActivationRegularizer),
        ):
            if rate:
                outputs = keras.layers.Identity(activity_regularizer=penalty(rate))(outputs)
        return outputs

    def initializers(self, *names: str) -> dict[str, Any]:
        """The initializers of those names that the recipe prescribes."""
        import keras

        if self.init_scale is None:
            return {}
        scale = self.init_scale
        return {name: keras.initializers.RandomUniform(-scale, scale) for name in names}

    def network(self, vocabulary_size: int, with_state: bool = True) -> Model:
        """A model [tokens, *state] -> [logits, *state], or, without state, tokens -> logits.

        Any batch size and any number of steps will do; tokens: (batch, steps).
        """
        import keras

        import tfcells
        from lab.tasks.dropout import Dropout

        def drop(x: Tensor) -> Tensor:
            layer = Dropout if with_state else keras.layers.Dropout  # a model that is saved has Keras's
            return layer(self.dropout)(x) if self.dropout else x

        tokens = keras.Input((None,), dtype="int32", name="tokens")
        embedding = self.embedding(vocabulary_size)
        x = embedding(tokens)
        if self.word_dropout:
            x = tfcells.WordDropout(vocabulary_size, self.word_dropout)([tokens, x])
        cells = (self.regularized_cell(n == self.layers and not self.layer_sum) for n in range(1, self.layers + 1))
        before: list[Tensor] = []
        after: list[Tensor] = []
        if with_state:
            x, before, after = carried(x, cells, drop, self.restart, self.layer_sum)
        else:
            x = recurrent(x, cells, drop, self.layer_sum)
        if self.layer_sum and self.output_dropout:
            x = keras.layers.SpatialDropout1D(self.output_dropout)(x)  # one mask a window, as in the cells
        if with_state:
            x = self.penalized(x)  # a model that is saved needs no penalties
        if self.tied:
            logits = self.tied_logits(drop(x), embedding)
        else:
            start = self.initializers("kernel_initializer")
            output = tfcells.Dense(vocabulary_size, use_bias=False, name="output", **start)
            logits = output(drop(x))
        bias = tfcells.Bias(name="output_bias", **self.initializers("initializer"))
        logits = bias(logits)
        return keras.Model([tokens, *before] if before else tokens, [logits, *after] if after else logits)

    def embedding(self, vocabulary_size: int) -> Any:
        """The first layer."""
        import keras

        if self.one_hot:
            return keras.layers.Embedding(vocabulary_size, vocabulary_size, "identity", trainable=False, name="one_hot")
        return keras.layers.ReversibleEmbedding(
            vocabulary_size,
            self.embedding_units or self.units,
            name="embedding",
            **self.initializers("embeddings_initializer"),
        )

    def tied_logits(self, x: Tensor, embedding: Any) -> Tensor:
        """x by the embedding's matrix, after a map to its width where it has another."""
        import keras

        if embedding.output_dim != x.shape[-1]:
            start = self.initializers("kernel_initializer")
            x = keras.layers.Dense(embedding.output_dim, name="projection", **start)(x)
        return embedding(x, reverse=True)

    score_name = "perplexity"
    numpy_cells = ("LSTMCell",)
    corpora = NAMES

    @property
    def unit(self) -> str:
        return {"word": "words", "char": "characters", "byte": "bytes"}[self.level]

    def load(self, corpus: str, data_dir: str | None, like: Corpus | None = None) -> Corpus:
        if like:
            return load_corpus(corpus, data_dir, self.level, like.vocabulary)
        data = load_corpus(corpus, data_dir, self.level)
        self.check_steps(count_windows(data.train, self.batch_size, self.steps))
        return data

    def files(self, data: Corpus) -> dict[str, object]:
        return {"vocabulary.json": data.vocabulary}

    def recall(self, read: Callable[[str], Any] | None) -> Corpus:
        if read is None:
            words = [EOS, *map(str, range(1, PENN_TREEBANK[self.level]))]
            return from_vocabulary(words, self.level)
        return from_vocabulary(read("vocabulary.json"), self.level)

    def describe(self, data: Corpus) -> dict[str, object]:
        """Also the level, the share of unknown tokens in each split, and the folder of a text of one's own."""
        shares = {f"{split}_unknown": data.unknown(split) for split in ("train", "valid", "test")}
        folder = {"folder": data.folder} if data.folder else {}
        return super().describe(data) | {"level": self.level} | folder | shares

    def fingerprint(self, data: Corpus) -> str:
        digest = hashlib.sha256(json.dumps(data.vocabulary).encode())
        for stream in (data.train, data.valid, data.test):
            digest.update(stream.astype("<i4").tobytes())
        return digest.hexdigest()

    def build(self, data: Corpus) -> Model:
        import numpy as np

        model = self.network(len(data.vocabulary))
        if self.unigram_start:
            counts = np.bincount(data.train, minlength=len(data.vocabulary))
            counts = np.maximum(counts, 1)  # <unk> may be in the vocabulary for the other splits alone
            model.get_layer("output_bias").bias.assign(np.log(counts / counts.sum()))
        return model

    def prompt(self, data: Corpus, text: str) -> Sequence[int]:
        found = data.encode(text)
        if unknown := [token for token in data.tokens(text) if token not in data.vocabulary]:
            complain(f"--prompt: not in the vocabulary, so read as <unk>: {', '.join(map(repr, unknown))}")
        return found

    def batches(self, data: Corpus, epoch: int = 0) -> Batches:
        shuffle = epoch if self.partial_shuffle else None
        return self.taken(windows(data.train, self.batch_size, self.steps, shuffle))

    def evaluation(self, data: Corpus, split: str) -> Batches:
        """Validation in rows, to be quick; the test text as the one stream it is."""
        rows = self.evaluation_batch_size if split == "valid" else 1
        return evaluation_windows(getattr(data, split), rows, self.evaluation_steps, data.eos)

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        from lab.tasks.cross_entropy import augmentation, cross_entropy

        logits, *state = model([x, *state], training=training)
        losses = cross_entropy(y, logits)
        if training and self.augmented_loss:
            embeddings = model.get_layer("embedding").embeddings
            losses += augmentation(y, logits, embeddings, self.augmented_loss, self.augmented_temperature)
        return losses, state

    def objective(self, losses: Tensor, penalties: Tensor = 0.0) -> Tensor:
        import tensorflow as tf

        mean = tf.reduce_mean(losses) + tf.cast(penalties, losses.dtype)
        return mean if self.loss == "mean" else mean * losses.shape[1]

    def predictions(self, batches: Batches) -> int:
        return batches.element_spec[1].shape.num_elements()

    def score(self, loss: float) -> float:
        return math.exp(loss) if loss < 709 else math.inf

    def results(self, train: float, valid: float, test: float) -> dict[str, object]:
        """Perplexities; of characters or bytes the bits of each, too."""
        results: dict[str, object] = {
            "train_perplexity": self.score(train),
            "valid_perplexity": self.score(valid),
            "test_perplexity": self.score(test),
        }
        if self.level != "word":
            results[f"bits_per_{self.unit[:-1]}"] = test / math.log(2)
        return results

    def scorer(self, model: Model, data: Corpus, remember: Remember) -> Scorer:
        """What reads texts with the weights of a model, by methods that score better."""
        recipe = dataclasses.replace(self, restart=0.0, activation_penalty=0.0, temporal_penalty=0.0)
        copy = recipe.network(len(data.vocabulary))
        for new, old in zip(copy.trainable_variables, model.trainable_variables, strict=True):
            new.assign(old)
        start = functools.partial(recipe.initial_state, copy)
        return Scorer(recipe, Reader(copy, f"layer_{self.layers}", start), data, remember)

    def portable(self, model: Model, data: Corpus) -> Model:
        """A model tokens -> logits with the same weights, of Keras's and tfcells's layers alone."""
        copy = self.network(len(data.vocabulary), with_state=False)
        for new, old in zip(copy.trainable_variables, model.trainable_variables, strict=True):
            new.assign(old)
        return copy

    def illustrate(self, model: Model, data: Corpus, run: Run, seed: int) -> str:
        sample = self.sample(model, data, SAMPLE_WORDS, seed)
        write_text(run.folder / "sample.txt", sample)
        return f"a sample:\n{sample}"

    def sample(
        self,
        model: Model,
        data: Corpus,
        words: int,
        seed: int,
        temperature: float = 1.0,
        prompt: Sequence[int] = (),
    ) -> str:
        """A prompt and so many words of generated text, a sentence a line."""
        import tfcells

        decoder = tfcells.Decoder(self.portable(model, data))
        tokens = generate(decoder, data, seed, temperature, prompt)
        return written(tokens, words, data, prompt)

    def in_numpy(self, data: Corpus, dtype: str) -> tuple[Any, Any]:
        from tfcells import from_scratch as networks

        words, units = len(data.vocabulary), self.units
        widths = [self.embedding_units or units, *[units] * self.layers]
        network = networks.Network(
            networks.Embedding(words, widths[0], dtype=dtype),
            *(networks.LSTM(width, units, dtype=dtype) for width in widths[:-1]),
            networks.Dense(units, words, dtype=dtype),
        )
        return network, networks.SoftmaxCrossEntropy()
