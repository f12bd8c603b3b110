"""Text recognition: what is written on an image, read by attention over its columns."""

import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab import style
from lab.fields import Count, InputError, NonNegative, Rate
from lab.task import Model
from lab.tasks.sequences import Arrays, Examples, Figure, Rng
from lab.tasks.transduction import NOTHING, Transducer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
HEIGHT, WIDTH, COLUMN = 32, 160, 4  # pixels; COLUMN: how many make one row of the memory
LONGEST = 8  # letters that fit
SIZES = 18, 20, 22  # of letters, in pixels
SCALE = 2  # how many times as large they are drawn
FONTS = (  # of those that come with matplotlib
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("cmr10", "cmb10", "cmti10", "cmtt10", "cmss10"),
)
UNSEEN = ("STIXGeneral",)


@dataclass(frozen=True, kw_only=True)
class TextRecognition(Transducer):
    """Strings of a-z0-9, in several fonts, moved.

    filters: channels of the first convolution
    shear: how far strings lean at the most
    stretch: how much wider or narrower strings are at the most
    bold: share of strings in bolder type
    noise: noise of the pixels at the most, as a share of full ink

    Three convolutions halve the image's height and width, the first two both; what is left of a column
    is a row of the memory, after a recurrent layer in both directions. ``right`` is the share of whole
    strings that come out right, ``right_unseen`` the same in a font of another family than any in
    training.
    """

    symbols: Count = len(LETTERS)
    shortest: Count = 3
    longest: Count = LONGEST
    filters: Count = 16
    shear: Rate = 0.25
    stretch: Rate = 0.2
    bold: Rate = 0.3
    noise: NonNegative = 0.15
    beam: Count = 4
    fresh = True

    name, unit = "ocr", "strings"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.symbols != len(LETTERS):
            raise InputError(f"symbols={self.symbols}: must be {len(LETTERS)}, of {LETTERS}")
        if self.longest > LONGEST:
            raise InputError(f"longest={self.longest}: must be at most {LONGEST}, to fit the image")

    def examples(self, rng: Rng, count: int, split: str, fonts: tuple[str, ...] = FONTS) -> Arrays:
        types = [font(name, SCALE * size) for name in fonts for size in SIZES]
        x = np.zeros((count, HEIGHT, WIDTH), "uint8")
        y = np.zeros((count, self.longest + 1), "int32")
        for row in range(count):
            length = rng.integers(self.shortest, self.longest + 1)
            symbols = rng.integers(len(LETTERS), size=length)
            text = "".join(LETTERS[n] for n in symbols)
            drawn_in = types[rng.integers(len(types))]
            x[row] = render(text, drawn_in, rng, self.shear, self.stretch, self.bold, self.noise)
            y[row, :length] = 1 + symbols
            y[row, length] = self.symbols + 1
        return x, y

    def encoder(self) -> Model:
        import keras

        import tfcells

        x = keras.Input((HEIGHT, WIDTH), dtype="uint8", name="image")
        y = keras.layers.Rescaling(1 / 255)(keras.ops.expand_dims(x, -1))
        for number, pool in enumerate([(2, 2), (2, 2), (2, 1)]):
            filters = self.filters * 2**number
            y = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
            y = keras.layers.Activation("relu")(keras.layers.LayerNormalization()(y))
            y = keras.layers.MaxPooling2D(pool)(y)
        y = keras.layers.Permute((2, 1, 3))(y)
        y = keras.layers.Reshape((WIDTH // COLUMN, -1))(y)
        for _ in range(self.layers):
            layer = tfcells.RNN(self.make_cell(), return_sequences=True)
            y = keras.layers.Bidirectional(layer)(y)
        mask = keras.ops.ones_like(y[..., 0], dtype="bool")
        return keras.Model(x, [y, mask], name="encoder")

    def measures(self, model: Model, data: Examples, split: str) -> dict[str, float]:
        unseen = self.examples(self.rng(7), len(data.valid[0]), split, UNSEEN)
        return {
            "right": self.right(model, *getattr(data, split)),
            "right_unseen": self.right(model, *unseen),
        }

    def figure(self, model: Model, data: Examples) -> Figure:
        x, y = (array[:3] for array in data.test)
        found = self.answers(model, x, self.longest + 1)
        alignment = self.alignment(model, x, found)
        right = np.all((found == y) | (y == NOTHING), axis=1).sum()
        title = f"{right} of {len(x)} strings read right; shaded: where attention looks for each character"
        figure = style.figure(title, 7, 0.5 + 0.36 * (self.longest + 2))
        rows = figure.add_gridspec(self.longest + 1, len(x))
        for number, (image, symbols, where) in enumerate(zip(x, found, alignment)):
            top = figure.add_subplot(rows[0, number])
            top.imshow(image, cmap="Greys", aspect="auto")
            top.set_axis_off()
            for t, symbol in enumerate(symbols[: self.longest]):
                if not 0 < symbol <= self.symbols:  # padding, or the end
                    continue
                axes = figure.add_subplot(rows[t + 1, number])
                axes.imshow(image, cmap="Greys", alpha=0.5, aspect="auto")
                shown = np.repeat(where[t], COLUMN)[None]
                extent = (-0.5, WIDTH - 0.5, HEIGHT - 0.5, -0.5)
                axes.imshow(shown, cmap=style.color_map(), alpha=0.6, extent=extent, aspect="auto", vmin=0)
                axes.set_ylabel(LETTERS[symbol - 1], rotation=0, va="center", ha="right", fontsize=11)
                axes.set_xticks([])
                axes.set_yticks([])
        return figure


def font(name: str, size: int) -> Any:
    """A font that comes with matplotlib."""
    import matplotlib
    from PIL import ImageFont

    path = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")
    return ImageFont.truetype(str(path), size)


def render(text: str, font: Any, rng: Rng, shear: float, stretch: float, bold: float, noise: float) -> np.ndarray:
    """The image, (HEIGHT, WIDTH) bytes: ink 255, paper 0.

    font: of SCALE times the size; only after all else is the image made smaller. Nothing is cut off.
    """
    from PIL import Image, ImageDraw, ImageFilter

    left, top, right, bottom = font.getbbox(text)
    width, height = right - left, bottom - top
    image = Image.new("L", (width + 2, height + 2))
    ink = int(rng.integers(160, 256))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=ink, font=font)
    if rng.uniform() < bold:
        image = image.filter(ImageFilter.MaxFilter(3))
    slope = rng.uniform(-shear, shear)
    whole = SCALE * WIDTH, SCALE * HEIGHT
    slack = SCALE + abs(slope) * whole[1] / 2
    wide = min(rng.uniform(1 - stretch, 1 + stretch), (whole[0] - 2 * slack) / width)
    x = slack + rng.uniform() * (whole[0] - 2 * slack - wide * width)
    y = rng.uniform(0.25, 0.75) * (whole[1] - height)
    affine = (1 / wide, slope / wide, 1 - (x + slope * whole[1] / 2) / wide, 0, 1, 1 - y)
    image = image.transform(whole, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    image = image.reduce(SCALE)
    values = np.asarray(image, "float32")
    values = values + rng.normal(0, 255 * rng.uniform(0, noise), values.shape)
    return np.clip(values, 0, 255).astype("uint8")
