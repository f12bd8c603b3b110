"""Generate text with states: an LSTM learns Python's documentation, character by character.

Shows a stateful layer, which reads a text window by window, and `get_states` and `set_states`, which keep what it
remembers, so that the same beginning is continued three times. The text is that of help("lambda"), help("with") and
so on, as it comes with Python.

Prints bits per character of the last tenth of the text, beside those of a table of all pairs of characters, and three
sentences that begin alike. Takes one to two minutes on two cores, with --small a few seconds.
"""

import argparse
import pydoc_data.topics

import keras
import numpy as np

import tfcells

BATCH, STEPS = 32, 64


def windows(text):
    """Windows of BATCH rows, each of which goes on in the next window, and the characters that follow."""
    steps = (len(text) - 1) // BATCH // STEPS * STEPS
    both = (text[shift : shift + BATCH * steps].reshape(BATCH, -1, STEPS) for shift in (0, 1))
    return [each.swapaxes(0, 1).reshape(-1, STEPS) for each in both]


def table_of_pairs(train, test, size):
    """Bits per character of a table: how often does each character follow another?"""
    counts = np.full((size, size), 0.1)
    np.add.at(counts, (train[:-1], train[1:]), 1)
    return -np.log2(counts / counts.sum(axis=1, keepdims=True))[test[:-1], test[1:]].mean()


def build(size, units):
    cell = tfcells.VariationalDropout(tfcells.LSTMCell(units), output_rate=0.1)
    layers = [
        keras.layers.Embedding(size, 64),
        tfcells.RNN(cell, return_sequences=True, stateful=True),
        keras.layers.Dense(size),
    ]
    return keras.Sequential([keras.Input((None,), batch_size=BATCH, dtype="int32"), *layers])


def write(model, token, length, temperature, random):
    """What the model draws after a token, in all rows of the batch, from the states that it has.

    Each step is written out here; `tfcells.Decoder(model).sample(...)` does it in one call.
    """
    tokens = [np.full(BATCH, token)]
    for _ in range(length):
        logits = model.predict_on_batch(tokens[-1][:, None])[:, 0]
        noise = random.gumbel(size=logits.shape)  # the largest sum is a draw from softmax(logits / temperature)
        tokens.append((logits / temperature + noise).argmax(axis=1))
    return np.stack(tokens[1:], axis=1)


def main(small=False):
    keras.utils.set_random_seed(1)
    topics = pydoc_data.topics.topics
    text = "".join(topics[name] for name in sorted(topics))[: 100_000 if small else None]
    characters = sorted(set(text))
    numbers = np.array([characters.index(character) for character in text])
    train, test = np.split(numbers, [len(numbers) * 9 // 10])

    model = build(len(characters), 128 if small else 256)
    model.compile(
        keras.optimizers.Adam(1e-2, clipnorm=1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    for _ in range(3 if small else 6):
        tfcells.reset_states(model)  # the text begins again
        model.fit(*windows(train), batch_size=BATCH, shuffle=False, verbose=0 if small else 2)
    tfcells.reset_states(model)
    bits = {"LSTM": model.evaluate(*windows(test), batch_size=BATCH, verbose=0) / np.log(2)}
    bits["table of pairs"] = table_of_pairs(train, test, len(characters))
    print("bits per character: " + ", ".join(f"{name} {value:.2f}" for name, value in bits.items()))

    prompt = [characters.index(character) for character in "The statement "]
    tfcells.reset_states(model)
    model.predict_on_batch(np.tile(prompt[:-1], (BATCH, 1)))
    states = tfcells.get_states(model)
    for temperature in 0.3, 0.6, 1.0:
        tfcells.set_states(model, states)  # back to the end of the prompt
        found = write(model, prompt[-1], 80, temperature, np.random.default_rng(1))[0]
        written = "".join(characters[number] for number in found).replace("\n", " ")
        print(f"temperature {temperature}: The statement {written}")
    return bits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="learn less, in a few seconds")
    main(**vars(parser.parse_args()))
