"""The files of a run."""

import numpy as np
import pytest

from lab.fields import InputError
from lab.run import Run, load, load_newest, save


def test_damaged_checkpoint_is_seen_and_the_one_before_used(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for step in (1, 2):
        save(path, {"a": np.full(1000, step, "float32")}, {"step": step})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[:-100], whole[: len(whole) // 2], bytes(flipped), b"", b"stranger"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="checkpoint.npz: damaged"):
            load(path)
        said = []
        arrays, facts = load_newest(path, said.append)
        assert facts == {"step": 1} and (arrays["a"] == 1).all()
        assert len(said) == 1 and "checkpoint.previous.npz" in said[0]
    path.write_bytes(whole)
    assert load_newest(path, said.append)[1] == {"step": 2} and len(said) == 1


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    np.savez(tmp_path / "it.npz", a=np.array([Bomb()], object), sha256=np.zeros(32, np.uint8))
    with pytest.raises(InputError, match="damaged"):
        load(tmp_path / "it.npz")
    assert not (tmp_path / "exploded").exists()


def test_new_run_gets_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def create(folder, n):
        return Run.create(folder, "lstm-small", {"recipe.json": {"n": n}}, filled.append).folder

    filled = []
    names = [create(None, n).name for n in (1, 2)]
    assert names == ["lstm-small-1", "lstm-small-2"]
    assert Run.latest("lstm-small").about() == {"n": 2}
    with pytest.raises(InputError, match="no run runs/lstm-large-1"):
        Run.latest("lstm-large")
    with pytest.raises(InputError, match="exists already"):
        create(tmp_path / "runs" / "lstm-small-1", 3)
    assert len(filled) == 3 and not any(run.folder.exists() for run in filled)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
