"""What a step reads besides its input and its state."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NoReturn

from tfcells.contract.linear import Projection, Tensor, multiply

Number = int | float  # Python's, a bool too, which a compiled step has as a constant


class Kernel:
    """A matrix as a step uses it: `kernel(x)` is the product x @ matrix.

    matrix: (inputs, outputs), or (groups, inputs, outputs) to multiply group by group. reads: the name
    of the state that the product reads, if any; state dropout acts there. blocks: how many gates the
    columns stack. Whoever runs the step may replace the product by an equal one, and a wrapper may
    change its input.
    """

    def __init__(
        self,
        matrix: Tensor,
        reads: str | None = None,
        blocks: int = 1,
        product: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self.matrix = matrix
        self.reads = reads
        self.blocks = blocks
        self.product = product

    def __call__(self, x: Tensor) -> Any:
        return self.product(x) if self.product else multiply(x, self.matrix)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a matrix in w is no tensor, call it: w.recurrent_kernel(h) is the product of h and it")

    def using(self, product: Callable[[Tensor], Any]) -> "Kernel":
        """The same kernel, multiplied by the function `product` of its input."""
        return Kernel(self.matrix, self.reads, self.blocks, product)

    def reading(self, reads: str | None) -> "Kernel":
        """The same kernel, said to read that state."""
        return Kernel(self.matrix, reads, self.blocks, self.product)

    def deferred(self) -> "Kernel":
        """The same kernel, whose products with a sequence are `Projection`s."""
        return self.using(partial(Projection, matrix=self.matrix))


def kind(item: Any) -> str:
    """What an item of `Weights` is, a number its value; the same in a graph and outside."""
    if isinstance(item, Weights | Number):
        return repr(item)
    return "Kernel" if isinstance(item, Kernel) else "Tensor"


def identity(x: Tensor) -> Tensor:
    """What the update slot does unless a wrapper fills it."""
    return x


def unmarked(name: str, value: Tensor) -> Tensor:
    """What a mark does unless somebody traces."""
    return value


def taken(name: str) -> bool:
    """Whether a name means something else in `Weights`."""
    return name in ("items", "update", "mark", "moments", "rows") or hasattr(Weights, name)


def refuse_taken(names: Iterable[str]) -> None:
    for name in names:
        if taken(name):
            raise ValueError(f"no weights can be named {name!r}; w has that")


class Weights:
    """The bound weights, by attribute or by key.

    A matrix is a `Kernel`, a vector is a tensor, a bias is the number 0 in a cell without biases, and
    the weights of a wrapped cell are `Weights` again. `update` marks the candidate that enters the
    memory, `mark(name, value)` what else `tfcells.trace` is to show; it returns the value. moments: by name,
    structures of tensors with one entry for each step, (steps, ...); a step finds its own entry under that name.
    rows: the names of items that have a row for each sample.
    """

    def __init__(
        self,
        items: dict[str, Any] | None = None,
        update: Callable[[Tensor], Tensor] = identity,
        moments: dict[str, Any] | None = None,
        rows: frozenset[str] = frozenset(),
        mark: Callable[[str, Tensor], Tensor] = unmarked,
    ) -> None:
        self.items = items or {}
        self.update = update
        self.moments = moments or {}
        self.rows = rows
        self.mark = mark

    def __getitem__(self, name: str) -> Any:
        return self.items[name]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["items"][name]
        except KeyError:
            found = f"these weights have no {name!r}; they have {list(self.items)}"
            raise AttributeError(f"{found}. `build` makes more, with `declare` or one of the add_...") from None

    def __repr__(self) -> str:
        return f"Weights({', '.join(f'{name}: {kind(item)}' for name, item in self.items.items())})"

    def get(self, name: str) -> Any:
        """The item of that name, or None."""
        return self.items.get(name)

    def including(self, **items: Any) -> "Weights":
        """The same weights and these (tensors, kernels, numbers). Raises ValueError for a name with another meaning."""
        refuse_taken(items)
        return self.changed(items=self.items | items)

    def along(self, **moments: Any) -> "Weights":
        """The same weights and these, which have an entry for each step. Raises like `including`."""
        refuse_taken(moments)
        return self.changed(moments=self.moments | moments)

    def by_row(self, **items: Any) -> "Weights":
        """The same weights and these tensors, (batch, ...), with a row for each sample. Raises like `including`."""
        return self.including(**items).changed(rows=self.rows | items.keys())

    def updating(self, update: Callable[[Tensor], Tensor]) -> "Weights":
        """The same weights with that function in the update slot."""
        return self.changed(update=update)

    def changed(self, **parts: Any) -> "Weights":
        """The same weights but for the parts given."""
        return Weights(**vars(self) | parts)

    def map(self, function: Callable[[Any], Any]) -> "Weights":
        """The same weights with `function` applied to every kernel and every tensor."""

        def mapped(item: Any) -> Any:
            if isinstance(item, Weights):
                return item.map(function)
            return item if isinstance(item, Number) else function(item)

        return self.changed(items={name: mapped(item) for name, item in self.items.items()})

    def map_rows(self, function: Callable[[Tensor], Tensor]) -> "Weights":
        """The same weights with `function` applied to what has a row for each sample."""
        own = {name: function(self.items[name]) for name in self.rows}
        inner = {name: item.map_rows(function) for name, item in self.nested()}
        return self.changed(items=self.items | own | inner)

    def map_kernels(self, function: Callable[[Kernel], Kernel]) -> "Weights":
        """The same weights with `function` applied to every kernel."""
        return self.map(lambda leaf: function(leaf) if isinstance(leaf, Kernel) else leaf)

    def deferred(self) -> "Weights":
        """The same weights, for `Cell.inputs` of a sequence: products are still to be made."""
        return self.map_kernels(Kernel.deferred)

    def check_functions(self) -> None:
        """Raises ValueError for an update slot that is filled before the step, in `bind`."""
        if self.update is not identity:
            raise ValueError("bind: w.updating(...) belongs in step, which equal cells share")
        for _, item in self.nested():
            item.check_functions()

    def leaves(self) -> list[Any]:
        """All kernels and tensors, in order."""
        found: list[Any] = []
        self.map(found.append)
        return found

    def along_time(self) -> dict[str, Any]:
        """All that has an entry for each step, those of wrapped cells below their names."""
        inner = {name: item.along_time() for name, item in self.nested()}
        return {name: found for name, found in inner.items() if found} | self.moments

    def at(self, now: dict[str, Any]) -> "Weights":
        """The weights that one step reads; now: of `along_time()` the entries of that step."""
        inner = {name: item.at(now.get(name, {})) for name, item in self.nested()}
        return self.changed(items=self.items | now | inner, moments={})

    def nested(self) -> Iterator[tuple[str, "Weights"]]:
        """The `Weights` among the items, with their names."""
        for name, item in self.items.items():
            if isinstance(item, Weights):
                yield name, item
