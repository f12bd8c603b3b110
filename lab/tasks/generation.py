"""Text that a language model generates."""

import codecs
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data import EOS
from lab.fields import InputError
from lab.tasks.corpus import Corpus

if TYPE_CHECKING:
    from tfcells import Decoder

AT_ONCE = 32  # tokens


def generate(
    decoder: "Decoder", data: Corpus, seed: int, temperature: float = 1.0, prompt: Sequence[int] = ()
) -> Iterator[str]:
    """Tokens without end, drawn one by one as if after the end of a sentence and a prompt."""
    tokens, states, random = np.array([[data.eos, *prompt]]), None, np.random.default_rng(seed)
    while True:
        try:
            found = decoder.sample(tokens, AT_ONCE, temperature=temperature, seed=random, initial_state=states)
        except ValueError as error:
            raise InputError(f"the network can't write: {error}") from error
        yield from (data.vocabulary[token] for token in found.tokens[0])
        tokens, states = found.tokens[:, -1:], found.states


def characters(tokens: Iterable[str]) -> Iterator[str]:
    """The characters that bytes make in UTF-8, U+FFFD where they make none; `<eos>` stays."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        if token == EOS:
            yield from decoder.decode(b"", final=True)
            yield token
        else:
            yield from decoder.decode(token.encode("latin-1"))


def written(tokens: Iterable[str], words: int, data: Corpus, prompt: Sequence[int]) -> str:
    """A prompt and so many words of some tokens, with space between them; a sentence a line."""
    space = " " if data.level == "word" else ""
    given: Iterable[str] = (data.vocabulary[token] for token in prompt)
    if data.level == "byte":
        given, tokens = characters(given), characters(tokens)
    parts = ["\n" if token == EOS else space + token for token in given]
    # A model of characters may never care to end a word.
    for token in itertools.islice(tokens, 20 * words):
        part = "\n" if token == EOS else space + token
        if part.strip() and (not parts or parts[-1][-1].isspace() or part[0].isspace()):
            if not words:
                break
            words -= 1
        parts.append(part)
    text = "".join(parts).rstrip() + "\n"
    return text.replace("\n ", "\n").lstrip() if space else text  # of characters, a space is one of them
