"""Translate with attention and beam search: numbers in words, from English to French.

Shows an encoder in both directions, a decoder with attention to what it read, and beam search. French counts in its own
way: ninety-one is "quatre vingt onze", four twenties and eleven. The pairs are made here, of the numbers to 9,999.

Trains on 1,000 numbers. Prints how many of 500 others are translated without a mistake, by beam search, greedily and
word for word, and an example. Takes half a minute on two cores, with --small a few seconds.
"""

import argparse

import keras
import numpy as np

import tfcells

TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
ONES += "seventeen eighteen nineteen".split()
UN = "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize".split()
VINGT = "vingt trente quarante cinquante soixante".split()
PADDING, BEGIN, END = "<padding>", "<begin>", "<end>"


def english(n):
    """The words of a number, none of 0."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if n >= size:
            return [*english(n // size), name, *english(n % size)]
    return ONES[n - 1 : n] if n < 20 else [TENS[n // 10 - 2], *english(n % 10)]


def french(n):
    for size, name in ((1000, "mille"), (100, "cent")):
        many, rest = divmod(n, size)
        if many:
            name = "cents" if size == 100 and many > 1 and not rest else name
            return [*(french(many) if many > 1 else []), name, *french(rest)]
    if n < 20:
        return UN[n - 1 : n] if n < 17 else ["dix", *french(n - 10)]
    if n >= 80:
        return ["quatre", "vingt", *french(n - 80)] if n > 80 else ["quatre", "vingts"]
    ten = min(n // 10, 6)  # seventy is sixty and ten
    return [VINGT[ten - 2], *(["et"] if n - 10 * ten in (1, 11) else []), *french(n - 10 * ten)]


def word_for_word(words):
    numbers = {english(n)[0]: french(n) for n in [*range(1, 20), *range(20, 100, 10)]}
    return [each for word in words for each in (numbers | {"hundred": ["cent"], "thousand": ["mille"]})[word]]


def encoded(sentences, vocabulary):
    """The numbers of words, (sentences, words), padded with 0."""
    rows = np.zeros((len(sentences), max(map(len, sentences))), "int32")
    for row, words in zip(rows, sentences):
        row[: len(words)] = [vocabulary.index(word) for word in words]
    return rows


def build(source_words, target_words, units):
    """The encoder, the writer that reads what it found, and both as one model, which is trained."""
    source = keras.Input((None,), dtype="int32")
    read = tfcells.RNN(tfcells.GRUCell(units), return_sequences=True)
    found = keras.layers.Bidirectional(read)(keras.layers.Embedding(source_words, 32, mask_zero=True)(source))
    encoder = keras.Model(source, [found, source != 0])

    tokens, memory = keras.Input((None,), dtype="int32"), keras.Input((None, 2 * units))
    memory_mask = keras.Input((None,), dtype="bool")
    cell = tfcells.Attention(tfcells.LSTMCell(units), attention_units=units, memory_features=2 * units)
    h = tfcells.RNN(cell, return_sequences=True)(
        keras.layers.Embedding(target_words, 32)(tokens), memory=memory, memory_mask=memory_mask
    )
    writer = keras.Model([tokens, memory, memory_mask], keras.layers.Dense(target_words)(h))
    return encoder, writer, keras.Model([source, tokens], writer([tokens, *encoder(source)]))


def main(small=False):
    keras.utils.set_random_seed(1)
    numbers = 1 + np.random.default_rng(1).permutation(9999)[:1500]
    sources, targets = [english(n) for n in numbers], [french(n) for n in numbers]
    test, train = slice(0, 500), slice(500, None)
    sources_known = [PADDING, *sorted({word for words in sources[train] for word in words})]
    targets_known = [PADDING, BEGIN, END, *sorted({word for words in targets[train] for word in words})]
    x = encoded(sources, sources_known)
    y = encoded([[BEGIN, *words, END] for words in targets], targets_known)

    encoder, writer, model = build(len(sources_known), len(targets_known), 64)
    epochs = 6 if small else 30
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit([x[train], y[train, :-1]], y[train, 1:], epochs=epochs, verbose=0 if small else 2)

    decoder, end = tfcells.Decoder(writer, targets_known.index(END)), targets_known.index(END)
    prompt, context = [[targets_known.index(BEGIN)]] * 500, encoder.predict(x[test], verbose=0)
    beams = decoder.beam_search(prompt, y.shape[1], beams=4, context=context).tokens[:, 0]  # the best of each
    found = {"beam search": beams, "greedy": decoder.greedy(prompt, y.shape[1], context=context).tokens}
    written = {name: [[targets_known[n] for n in row if n != end] for row in rows] for name, rows in found.items()}
    written["word for word"] = [word_for_word(words) for words in sources[test]]
    right = {name: np.mean([a == b for a, b in zip(each, targets[test])]) for name, each in written.items()}
    print("right: " + ", ".join(f"{name} {share:.1%}" for name, share in right.items()))
    print(" ".join(sources[0]), "->", " ".join(written["beam search"][0]))
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="learn less, in a few seconds")
    main(**vars(parser.parse_args()))
