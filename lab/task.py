"""The methods that training needs of a task, as a type."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

# Keras and TensorFlow are imported where they are used, so their types have no names here.
Model = Any  # keras.Model: [inputs, *state] -> [outputs, *state]
Tensor = Any
Batches = Any  # tf.data.Dataset

D = TypeVar("D")


class Task(Protocol[D]):
    """Data of the type D, a network for them, a loss and what else is measured.

    A *prediction* is what a loss is averaged over: a word of a text, or a whole sequence.
    """

    @property
    def unit(self) -> str:
        """The parts of a batch that are predicted, in the plural: "words"."""

    @property
    def score_name(self) -> str:
        """The name of `score`: "perplexity"."""

    @property
    def corpora(self) -> tuple[str, ...]:
        """The names that --corpus may have; any other text is a path."""

    # Data.

    def load(self, corpus: str, data_dir: str | None, like: D | None = None) -> D:
        """The data, which have a ``name`` and a ``notice``, what the user should know before training on them, or "".

        like: what `recall` returned, to read other data with.

        Raises InputError or CorpusError where they cannot be had.
        """

    def fingerprint(self, data: D) -> str:
        """A checksum of the data."""

    def describe(self, data: D) -> dict[str, object]:
        """What scores on these data are scores of: the unit and whatever else tells them from others'."""

    def files(self, data: D) -> dict[str, object]:
        """The facts about the data that a run's folder keeps, as JSON by file name."""

    def recall(self, read: Callable[[str], Any] | None) -> D:
        """The data without their examples, from those files; without any, at their usual size."""

    def batches(self, data: D, epoch: int = 0) -> Batches:
        """The batches (x, y) of an epoch, in the same order whenever they are asked for."""

    def evaluation(self, data: D, split: str) -> Batches:
        """All of a split as batches (x, y, weight)."""

    def predictions(self, batches: Batches) -> int:
        """The number of predictions in a batch."""

    # The network.

    def build(self, data: D) -> Model:
        """The network."""

    @property
    def numpy_cells(self) -> tuple[str, ...]:
        """The cells whose network `in_numpy` makes."""

    def in_numpy(self, data: D, dtype: str) -> tuple[Any, Any]:
        """The same network and its loss of `tfcells.from_scratch`."""

    def losses(
        self, model: Model, x: Tensor, y: Tensor, state: list[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """The loss of each prediction, and the state after them."""

    def objective(self, losses: Tensor, penalties: Tensor = 0.0) -> Tensor:
        """The scalar that the optimizer minimizes. penalties: the sum of the model's own losses."""

    # Results.

    def score(self, loss: float) -> float:
        """A mean loss as the papers report it."""

    def measures(self, model: Model, data: D, split: str) -> dict[str, float]:
        """Measures of success besides the loss, by name."""

    def reached(self, facts: dict[str, Any]) -> bool:
        """Whether the measures of an epoch reach the goal, so that training ends."""

    def results(self, train: float, valid: float, test: float) -> dict[str, object]:
        """The entries of result.json that depend on the task. train, valid, test: mean losses."""

    def portable(self, model: Model, data: D) -> Model:
        """A copy that maps inputs to outputs and can be saved."""

    def illustrate(self, model: Model, data: D, run: Any, seed: int) -> str:
        """Show in the run's folder what was learned; a sentence about it."""

    def prompt(self, data: D, text: str) -> Any:
        """A text as the start of generated text; an InputError where the task has no text."""

    def sample(self, model: Model, data: D, words: int, seed: int, temperature: float, prompt: Any) -> str:
        """Generated text."""
