"""The classic tasks by target and size, each beside its source."""

from typing import Any

from lab.recipe import Size, Targets
from lab.tasks.adding import Adding
from lab.tasks.digits import Digits
from lab.tasks.memorise import Numbers
from lab.tasks.ocr import TextRecognition
from lab.tasks.reber import Reber
from lab.tasks.sine import Sine
from lab.tasks.transduction import Transduction
from lab.tasks.waveform import Waveform


def reber(parameters: int, **more: Any) -> Size:
    shared: dict[str, Any] = {
        "cell": "PeepholeLSTMCell",
        "units": 24,
        "train_examples": 256,
        "test_examples": 256,
        "optimizer": "adam",
    }
    return Size(
        Reber(**shared | more),
        parameters,
        paper="Hochreiter & Schmidhuber 1997",
        source="table 1: 8,440 strings, 100 % of the trials",
    )


def waveform(parameters: int, **more: Any) -> Size:
    shared: dict[str, Any] = {
        "epochs": 100,
        "train_examples": 200,
        "optimizer": "adam",
        "learning_rate": 1e-2,
        "warm_up": 1.0,
        "anneal": "cosine",
    }
    return Size(
        Waveform(**shared | more),
        parameters,
        paper="Koutnik et al. 2014, arXiv 1402.3511",
        source="junhyukoh/caffe-lstm, examples/lstm_sequence, with another optimizer",
    )


def sine(parameters: int, **more: Any) -> Size:
    shared: dict[str, Any] = {
        "units": 32,
        "epochs": 30,
        "batch_size": 32,
        "train_examples": 3200,
        "valid_examples": 250,
        "test_examples": 250,
        "optimizer": "adam",
        "learning_rate": 5e-3,
        "anneal": "cosine",
        "clip_norm": 1.0,
    }
    return Size(Sine(**shared | more), parameters, paper="", source="ours")


def transduction(kind: Any, parameters: int) -> dict[str, Size]:
    recipe = Transduction(
        kind=kind,
        units=128,
        epochs=15,
        batch_size=64,
        train_examples=12_800,
        valid_examples=500,
        test_examples=1000,
        evaluation_batch_size=500,
        optimizer="adam",
        learning_rate=3e-3,
        anneal="linear",
        clip_norm=1.0,
    )
    return {"attention": Size(recipe, parameters, paper="", source="ours")}


TARGETS: Targets = {
    "reber": {
        "online": reber(3319, batch_size=1, learning_rate=0.005, epochs=60),
        "batches": reber(3319, batch_size=50, learning_rate=0.02, epochs=1000),
    },
    "waveform": {
        "short": waveform(1036, samples=320, units=15),
        "deep_short": waveform(1100, samples=320, units=7, layers=3),
        # From larger weights the first gradients of 50 units overflow, and three layers fail to learn.
        "long": waveform(10_451, samples=960, units=50, init_scale=0.05),
        "deep_long": waveform(10_972, samples=960, units=23, layers=3, init_scale=0.05),
        "clockwork": waveform(1405, samples=320, units=36, cell="ClockworkRNNCell"),
    },
    "sine": {"sine": sine(4385), "sum": sine(16_961, wave="sum", units=64, epochs=40)},
    "numbers": {
        "ten": Size(
            Numbers(
                units=50,
                epochs=100,
                train_examples=100,
                optimizer="adam",
                learning_rate=0.01,
                anneal="linear",
            ),
            20_200,
            paper="",
            source="the minimal example of nicodjimenez/lstm",
        )
    },
    "copy": transduction("copy", 457_814),
    "reverse": transduction("reverse", 457_814),
    "sort": transduction("sort", 457_814),
    "add": {
        "steps_200": Size(
            Adding(
                units=64,
                epochs=30,
                batch_size=50,
                train_examples=10_000,
                valid_examples=500,
                test_examples=1000,
                optimizer="adam",
                learning_rate=3e-3,
                anneal="linear",
                clip_norm=1.0,
            ),
            17_473,
            paper="Hochreiter & Schmidhuber 1997",
            source="section 5.4: 74,000 sequences at 100 steps",
        )
    },
    "mnist": {
        "rows": Size(
            Digits(
                units=128,
                epochs=30,
                batch_size=50,
                valid_examples=500,
                test_examples=10_000,
                optimizer="adam",
                learning_rate=3e-3,
                anneal="linear",
                clip_norm=1.0,
            ),
            81_674,
            paper="",
            source="roatienza/Deep-Learning-Experiments: 98.9 % with 256 units and Adam",
        )
    },
    "ocr": {
        "columns": Size(
            TextRecognition(
                units=128,
                epochs=25,
                batch_size=50,
                train_examples=15_000,
                valid_examples=500,
                test_examples=1000,
                optimizer="adam",
                learning_rate=2e-3,
                anneal="linear",
                warm_up=0.2,
                clip_norm=1.0,
            ),
            679_574,
            paper="Bahdanau et al. 2015, arXiv 1409.0473",
            source="ours",
        )
    },
}
