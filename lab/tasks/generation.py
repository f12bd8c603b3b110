"""Text that a language model generates."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lab.fields import InputError
from lab.task import Model, Tensor
from lab.tasks.corpus import Corpus


def generate(
    model: Model,
    data: Corpus,
    state: list[Tensor],
    seed: int,
    temperature: float = 1.0,
    prompt: Sequence[int] = (),
) -> Iterator[str]:
    """Tokens without end, drawn one by one as if after the end of a sentence and a prompt.

    model: [tokens, *state] -> [logits, *state]; state: the first one, of one sequence.
    """
    import tensorflow as tf

    step = tf.function(lambda token, state: model([token, *state]))
    random = np.random.default_rng(seed)
    token = data.eos
    for following in prompt:
        _, *state = step(tf.constant([[token]]), state)
        token = following
    while True:
        logits, *state = step(tf.constant([[token]]), state)
        logits = np.asarray(logits, "float64").ravel()
        if not np.isfinite(logits).all():
            raise InputError("the network's outputs are not finite")
        with np.errstate(over="ignore"):  # a temperature near 0: exp(-inf) is 0
            chances = np.exp((logits - logits.max()) / temperature)
        token = int(random.choice(len(chances), p=chances / chances.sum()))
        yield data.vocabulary[token]


def written(tokens: Iterable[str], words: int, data: Corpus, prompt: Sequence[int], space: str) -> str:
    """A prompt and so many words of some tokens, with space between them; a sentence a line."""
    end = data.vocabulary[data.eos]
    parts = ["\n" if token == data.eos else space + data.vocabulary[token] for token in prompt]
    # A model of characters may never care to end a word.
    for token in itertools.islice(tokens, 20 * words):
        part = "\n" if token == end else space + token
        if part.strip() and (not parts or parts[-1][-1].isspace() or part[0].isspace()):
            if not words:
                break
            words -= 1
        parts.append(part)
    text = "".join(parts).rstrip() + "\n"
    return text.replace("\n ", "\n").lstrip() if space else text  # of characters, a space is one of them
