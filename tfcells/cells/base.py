"""The contract of a cell: `prepare` sees the whole sequence once, `step` one moment of it."""

import inspect

import keras
from keras import ops

from tfcells.checks import flag, positive


def multiply(x, matrix):
    """x @ matrix; for a rank-3 matrix, group by group: (batch, groups, in) to (batch, groups, out)."""
    if len(matrix.shape) == 3:
        return ops.einsum("bgi,gio->bgo", x, matrix)
    return ops.matmul(x, matrix)


def affine(x, matrix, bias=None, product=ops.matmul):
    """x @ matrix + bias along the last axis; bias may be None. product: multiplies (rows, inputs).

    Row by row, so that TensorFlow adds the bias while it multiplies.
    """
    rows = product(ops.reshape(x, (-1, x.shape[-1])), matrix)
    rows = rows if bias is None else ops.add(rows, bias)
    return ops.reshape(rows, (*ops.shape(x)[:-1], rows.shape[-1]))


def add_bias(x, bias):
    """x + bias along the last axis; row by row, as in `affine`."""
    rows = ops.add(ops.reshape(x, (-1, x.shape[-1])), bias)
    return ops.reshape(rows, ops.shape(x))


class Projection:
    """sequence @ matrix + bias, a slice whose product is still to be made.

    projection[t] is that of the moment t, `whole()` that of all at once, the fastest. sequence: (steps,
    batch, features); bias may be None. dtype: of the product, if not its factors'.
    """

    def __init__(self, sequence, matrix, bias=None, dtype=None):
        given = [sequence, matrix] if bias is None else [sequence, matrix, bias]
        # What a variable is now, which is not what it is outside the layer's scopes.
        self.tensors = [x.value if isinstance(x, keras.Variable) else x for x in given]
        self.shape = (*sequence.shape[:-1], matrix.shape[-1])
        self.factors = keras.backend.result_type(*(x.dtype for x in self.tensors[:2]))
        self.dtype = dtype or self.factors

    def __getitem__(self, step):
        sequence, *rest = self.tensors
        return self.using([sequence[step], *rest]).whole()

    def whole(self, product=ops.matmul):
        """The product, made by a function of (rows, inputs) and the matrix."""
        sequence, *rest = self.tensors
        y = affine(ops.cast(sequence, self.factors), *rest, product=product)
        return ops.cast(y, self.dtype)

    def using(self, tensors):
        """The same with other tensors."""
        return Projection(*tensors, dtype=self.dtype)


def multiplied(slices, product=ops.matmul):
    """The slices with the product of every `Projection` made."""
    return keras.tree.map_structure(
        lambda s: s.whole(product) if isinstance(s, Projection) else s, slices
    )


class Kernel:
    """A matrix as a step uses it: `kernel(x)` is the product x @ matrix.

    matrix: (inputs, outputs), or (groups, inputs, outputs) to multiply group by group. `reads` names
    the state that the product reads, if any: there state dropout acts. `blocks`: how many gates the
    columns stack. Whoever runs the step may replace the product by an equal one, a wrapper may put
    something before it.
    """

    def __init__(self, matrix, reads=None, blocks=1, product=None):
        self.matrix = matrix
        self.reads = reads
        self.blocks = blocks
        self.product = product

    def __call__(self, x):
        return self.product(x) if self.product else multiply(x, self.matrix)

    def using(self, product):
        """The same kernel, multiplied by the function `product` of its input."""
        return Kernel(self.matrix, self.reads, self.blocks, product)


def identity(x):
    """What the update slot does unless a wrapper fills it."""
    return x


class Weights:
    """What a step reads besides its input and state, by attribute or by key.

    A matrix is a `Kernel`, a vector is a tensor, the weights of a wrapped cell are `Weights` again.
    `update` marks the candidate that enters the memory.
    """

    def __init__(self, items=(), update=identity, **more):
        self.items = dict(items, **more)
        self.update = update

    def __getitem__(self, name):
        return self.items[name]

    def __getattr__(self, name):
        try:
            return self.__dict__["items"][name]
        except KeyError:
            raise AttributeError(
                f"these weights have no {name!r}; they have {list(self)}"
            ) from None

    def __iter__(self):
        return iter(self.items)

    def __repr__(self):
        items = (
            f"{k}: {v if isinstance(v, Weights) else type(v).__name__}"
            for k, v in self.items.items()
        )
        return f"Weights({', '.join(items)})"

    def get(self, name):
        """The item of that name, or None."""
        return self.items.get(name)

    def map(self, function):
        """The same weights with `function` applied to every kernel and every tensor."""
        return Weights(
            {
                name: item.map(function) if isinstance(item, Weights) else function(item)
                for name, item in self.items.items()
            },
            self.update,
        )

    def map_kernels(self, function):
        """The same weights with `function` applied to every kernel."""
        return self.map(lambda leaf: function(leaf) if isinstance(leaf, Kernel) else leaf)

    def updating(self, update):
        """The same weights with that function in the update slot."""
        return Weights(self.items, update)

    def leaves(self):
        """All kernels and tensors, in order."""
        found = []
        self.map(found.append)
        return found


class Cell(keras.layers.Layer):
    """One recurrence, split where it may be split.

    A subclass gives `states`, `build`, `prepare` and `step`, and gets from here its configuration
    (every constructor argument is an attribute of the same name), its registration under the package
    `tfcells`, and the ordinary Keras cell interface, so that it runs in `keras.layers.RNN` too.

    states: the names of the state tensors, the output's first by custom.
    slots: where wrappers can act: "kernel" (a `Kernel` that reads a state), "update" (`step` calls
        w.update), "state" (every cell has it).
    clocks: the names of states that count the steps; wrappers leave them alone.
    attends: whether `prepare` takes a memory, and its mask, by name.
    """

    states = ("h",)
    clocks = frozenset()
    attends = False
    slots = frozenset({"state"})

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable("tfcells")(cls)

    def __init__(self, **kwargs):
        self.dtype_is_explicit = kwargs.get("dtype") is not None
        super().__init__(**kwargs)

    def prepare(self, sequence, training=False):
        """Do once what concerns the whole sequence.

        sequence: (steps, batch, features). Returns the slices, a structure of tensors and `Projection`s
        whose first axis is time, one slice for each step, and the `Weights` that every step reads.
        """
        raise NotImplementedError

    def step(self, x, state, w):
        """One time step, a pure function of a slice, a tuple of states and the weights.

        Returns the output and the tuple of new states. Draws nothing, reads of `self` the
        constructor's arguments alone.
        """
        raise NotImplementedError

    def finish(self, outputs, training=False):
        """Do once what concerns all outputs, (steps, batch, features), and no state."""
        return outputs

    def call(self, inputs, states, training=False):
        """One step as Keras's own RNN layers ask for it: a sequence of a single moment."""
        if training and self.fixes_noise_along_time:
            raise ValueError(
                f"{type(self).__name__} draws its masks once a sequence; a loop over `call` would "
                "draw them at each step. Run the cell in tfcells.RNN."
            )
        slices, w = self.prepare(ops.expand_dims(inputs, 0), training=training)
        output, state = self.step(
            keras.tree.map_structure(lambda s: s[0], slices), tuple(states), w
        )
        return self.finish(ops.expand_dims(output, 0), training=training)[0], list(state)

    @property
    def fixes_noise_along_time(self):
        """Whether `prepare` draws something that has to last for the whole sequence."""
        return False

    @property
    def state_size(self):
        return [self.units] * len(self.states)

    @property
    def output_size(self):
        return self.units

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def adopt_dtype(self, policy):
        """Take the dtype policy of the layer that runs this cell, unless it was given its own."""
        if self.dtype_is_explicit and self.dtype_policy != policy:
            raise ValueError(
                f"dtype: the layer's policy is {policy.name}, its cell's {self.dtype_policy.name}; "
                "give the layer the cell's dtype, or neither"
            )
        if self.built and self.dtype_policy != policy:
            raise ValueError(f"dtype: the cell is already built with {self.dtype_policy.name}")
        self.dtype_policy = policy

    @classmethod
    def arguments(cls):
        """The names of the constructor's arguments, those of its base classes included."""
        names = {}
        for base in cls.__mro__[: cls.__mro__.index(Cell)]:
            own = vars(base).get("__init__")
            for parameter in inspect.signature(own).parameters.values() if own else ():
                if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                    names[parameter.name] = None
        return list(names)

    def get_config(self):
        config = {name: getattr(self, name) for name in self.arguments()}
        return super().get_config() | {
            name: keras.saving.serialize_keras_object(value) for name, value in config.items()
        }


class KernelCell(Cell):
    """A cell with one stacked input kernel and one stacked recurrent kernel.

    Arguments (as in Keras's own cells): units, activation, use_bias, and for kernel, recurrent and
    bias an initializer, regularizer and constraint.

    gates: how many blocks of `units` columns the kernels stack.
    """

    gates = 1
    slots = frozenset({"kernel", "update", "state"})

    def __init__(
        self,
        units,
        activation="tanh",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = positive("units", units)
        self.activation = keras.activations.get(activation)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.draws = {}

    def add_kernel(self, shape, name="kernel"):
        """A weight that multiplies the input."""
        return self.add("kernel", shape, name)

    def add_recurrent_kernel(self, shape, name="recurrent_kernel", blocks=1):
        """A weight that multiplies a state; its equal blocks of columns are drawn one by one.

        For orthogonal matrices that makes a difference: every block is orthogonal by itself.
        """
        return self.add("recurrent", shape, name, blocks)

    def add_bias(self, shape, name="bias"):
        """A bias that starts as `initial_bias` of what was drawn, or None without `use_bias`."""
        return self.add("bias", shape, name, then=self.initial_bias) if self.use_bias else None

    def add(self, role, shape, name, blocks=1, then=identity):
        """A weight with the role's regularizer and constraint, drawn afresh by its initializer."""
        given = getattr(self, f"{role}_initializer")
        first = self.draws.get(role, 0)
        self.draws[role] = first + blocks
        *rows, columns = shape

        def initialize(shape, dtype=None):
            drawn = [
                fresh(given, number)((*rows, columns // blocks), dtype=dtype)
                for number in range(first, first + blocks)
            ]
            return then(ops.concatenate(drawn, axis=-1))

        return self.add_weight(
            shape,
            initialize,
            name=name,
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def build(self, input_shape):
        width = self.gates * self.units
        self.kernel = self.add_kernel((input_shape[-1], width))
        self.recurrent_kernel = self.add_recurrent_kernel((self.units, width))
        self.bias = self.add_bias((width,))

    def initial_bias(self, drawn):
        """The bias that the cell starts with, (gates * units,), from what its initializer drew."""
        return drawn

    def project(self, sequence, bias):
        """W x + b as a slice: of (steps, batch, features), to (..., columns); b may be None."""
        return Projection(sequence, self.kernel, bias)

    def prepare(self, sequence, training=False):
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        return self.project(sequence, self.bias), Weights(
            recurrent_kernel=Kernel(kernel, reads=self.states[0], blocks=self.gates)
        )


class GatedCell(KernelCell):
    """A `KernelCell` whose gates are squashed by `recurrent_activation`."""

    def __init__(self, units, recurrent_activation="sigmoid", **kwargs):
        super().__init__(units, **kwargs)
        self.recurrent_activation = keras.activations.get(recurrent_activation)


def raise_block(values, block, blocks, amount):
    """Add `amount` to one of the equal blocks of the last axis of an initial value."""
    size = values.shape[-1] // blocks
    where = ops.repeat(ops.one_hot(block, blocks, dtype=values.dtype), size)
    return values + amount * where


def fresh(initializer, number):
    """The initializer for weight `number`: one seed would give all weights the same values."""
    config = initializer.get_config() if isinstance(initializer, keras.Initializer) else {}
    seed = config.get("seed")
    if "seed" not in config or not isinstance(seed, int | None):
        return initializer
    return type(initializer).from_config(config | {"seed": seed if seed is None else seed + number})
