"""Keras's configuration: a run sets all that it depends on, whatever ~/.keras/keras.json says."""

from lab.fields import InputError


def configure(precision: str = "float32") -> None:
    """Set what Keras reads from its file, and the precision of layers made from now on."""
    try:
        import keras
    except (AttributeError, ValueError) as error:  # of Keras's reading that file
        raise InputError(f"keras.json: {error}") from error
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"Keras's backend: must be tensorflow in this process, not {keras.backend.backend()}")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(precision)
