"""Tag each character of a text: what is comment, string, keyword, name or number in a Python program?

Shows a stack of two cells in both directions, with an output for each step. An MGU is a GRU with one gate instead of
two. The programs are modules of this Python's standard library; `tokenize` says what is right.

Prints the accuracy on modules that training has not seen, beside that of the commonest tag of each character, and the
tags of the beginning of one, below its lines. Takes a minute on two cores, with --small a few seconds.
"""

import argparse
import io
import keyword
import pathlib
import sysconfig
import tokenize

import keras
import numpy as np

import tfcells

TRAIN = "argparse configparser csv difflib fractions functools heapq inspect optparse textwrap types".split()
TEST = "bisect calendar string".split()
TAGS = "other comment string keyword name number".split()
MARKS = ".#skn9"  # of the tags, to print them
STEPS, CHARACTERS = 100, 128


def read(modules):
    """The characters of some modules and the tag of each, as numbers, in windows: (windows, STEPS) both."""
    windows = []
    for module in modules:
        text = pathlib.Path(sysconfig.get_path("stdlib"), f"{module}.py").read_text(encoding="utf-8")
        lines = io.StringIO(text).readlines()
        starts = np.cumsum([0, *map(len, lines)])
        characters = np.minimum([ord(character) for character in text], CHARACTERS - 1)
        tags = np.zeros_like(characters)
        for token in tokenize.generate_tokens(iter(lines).__next__):
            first, last = (starts[line - 1] + column for line, column in (token.start, token.end))
            tags[first:last] = tag_of(tokenize.tok_name[token.type], token.string)
        whole = len(text) // STEPS * STEPS
        windows.append(np.stack([characters[:whole], tags[:whole]]).reshape(2, -1, STEPS))
    return np.concatenate(windows, axis=1)


def tag_of(kind, string):
    """The number of a token's tag."""
    if kind == "NAME" and keyword.iskeyword(string):
        return TAGS.index("keyword")
    kind = "string" if "STRING" in kind else kind.lower()  # f-strings come in parts
    return TAGS.index(kind) if kind in TAGS else 0


def build(units):
    cells = [tfcells.MGUCell(units), tfcells.MGUCell(units)]
    layers = [
        keras.layers.Embedding(CHARACTERS, 32),
        keras.layers.Bidirectional(tfcells.RNN(cells, return_sequences=True)),
        keras.layers.Dense(len(TAGS)),
    ]
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers])


def main(small=False):
    keras.utils.set_random_seed(1)
    x, y = read(TRAIN[:1] if small else TRAIN)
    test_x, test_y = read(TEST)

    model = build(32 if small else 64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    epochs = 3 if small else 6
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * -(-len(x) // 32))
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0 if small else 2)

    counts = np.zeros((CHARACTERS, len(TAGS)))
    np.add.at(counts, (x, y), 1)
    found = model.predict(test_x, verbose=0).argmax(axis=2)
    right = {"MGU": found, "commonest tag": counts.argmax(axis=1)[test_x]}
    right = {name: np.mean(tags == test_y) for name, tags in right.items()}
    print("accuracy: " + ", ".join(f"{name} {share:.1%}" for name, share in right.items()))

    text = "".join(map(chr, test_x[0]))
    marks = "".join("\n" if character == "\n" else MARKS[tag] for character, tag in zip(text, found[0]))
    for line, below in zip(text.splitlines(), marks.splitlines()):
        if line:
            print(line, below, sep="\n")
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="learn less, in a few seconds")
    main(**vars(parser.parse_args()))
