"""train.py search in this process: its studies, its workers' trials, and what it says of them."""

import json
import pathlib
import shlex
import signal
import sys
import threading
import time

import filelock
import numpy as np
import pytest

from lab.options import parse, settle
from lab.run import Run, load
from recipes import TARGETS
from tests.tiny import call, write_corpus

optuna = pytest.importorskip("optuna", reason="the extra search is not installed")

from lab import search, study_report  # noqa: E402
from lab.samplers import Evolution, make_pruner, make_sampler  # noqa: E402
from lab.signals import Signals  # noqa: E402
from lab.study import STOPS, Study, find_optuna, retry, trained  # noqa: E402
from lab.training import Training  # noqa: E402
from lab.trials import Worker  # noqa: E402

TINY = (
    "lstm --corpus text --layers 1 --batch_size 2 --steps 4 --epochs 3 --engine eager --steps_per_epoch 2 "
    "--evaluation_batch_size 2 --evaluation_steps 8 --optimizer adam --learning_rate 0.01 --pruner none"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a corpus in its folder `text`."""
    write_corpus(tmp_path / "text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lab.trials.REFUSED", 5)
    monkeypatch.setattr("tfcells.engine.has_compiler", lambda: False)  # nothing here is about compiling
    find_optuna()
    return tmp_path


def opened(line):
    return Study.opened(*parse(["search", *line.split()], TARGETS), TARGETS)


def trials_of(study, count, signals=None):
    """The study's trials, once there are so many."""
    while not Worker(study, 600, signals or Signals()).work(count) and not signals:
        pass  # the next shift
    return study.record.trials


@pytest.mark.slow
def test_trials_are_ordinary_runs(place):
    study = opened(f"{TINY} --units 3..6 --cell lstm,rhn --cell.depth 1..2 --sampler random --out study")
    trials = trials_of(study, 3)
    assert [each.state.name for each in trials] == ["COMPLETE"] * 3
    for each in trials:
        folder = place / "study" / f"trial-{each.number}"
        about = Run(folder).about()["recipe"]
        assert {name: str(about[name]) for name in each.user_attrs["values"]} == each.user_attrs["values"]
        assert each.params.items() <= about.items() and about["epochs"] == 3
        _, facts = load(folder / "checkpoint.npz")
        history = facts["progress"]["history"]
        assert list(each.intermediate_values.values()) == [epoch["valid_perplexity"] for epoch in history]
        assert each.value == min(each.intermediate_values.values()) and len(history) == 3
        assert not (folder / "result.json").exists()
    assert len({json.dumps(each.params) for each in trials}) == 3
    code, out, _ = call("lstm --resume --out study/trial-1")
    assert code == 0 and json.loads(out.splitlines()[-1])["valid_perplexity"] == pytest.approx(trials[1].value)


@pytest.mark.slow
def test_a_stopped_trial_goes_on_from_its_checkpoint(place, monkeypatch):
    """And ends bit by bit as one that nothing stopped."""
    line = f"{TINY} --units 3..6 --dropout 0.3 --sampler random --seed 3"
    whole = trials_of(opened(f"{line} --out whole"), 1)
    epoch, signals = Training.epoch, Signals()

    def stop(self, *arguments):
        epoch(self, *arguments)
        signals.received = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(Training, "epoch", stop)
        assert trials_of(opened(f"{line} --out parts"), 1, signals)[0].state.name == "FAIL"
    again = opened("--resume --out parts")
    held = filelock.FileLock(place / "parts" / "trial-0" / "lock", thread_local=False)
    held.acquire()  # by a worker that was thought to be dead
    threading.Timer(1.5, held.release).start()
    first, second = trials_of(again, 1)
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE") and first.last_step == 1
    assert second.intermediate_values == whole[0].intermediate_values and again.run_of(second).name == "trial-0"
    one, other = (load(place / name / "trial-0" / "checkpoint.npz")[0] for name in ("whole", "parts"))
    for name in one.keys() - {"step_seconds"}:
        np.testing.assert_array_equal(one[name], other[name], name)
    assert "| again as 1 |" in study_report.table(again, [first, second])


def test_workers_are_replaced_and_told_to_stop(place, monkeypatch):
    study = opened(f"{TINY} --units 3..6 --out study")
    monkeypatch.setattr(search, "POLL", 0.05)

    def watch(code, end=None):
        options, _ = parse(["search", "lstm", "--parallel", "2"], TARGETS)
        crew = search.Crew(study, options, 1)
        crew.command = [sys.executable, "-c", f"import os, pathlib, sys\n{code}"]
        search.watch(study, crew, 1, end, Signals())
        return crew

    with pytest.raises(
        search.InputError, match="worker [12] ended with exit code 3, like 3 before it; see study/worker"
    ):
        watch("sys.exit(3)")
    with pytest.raises(search.InputError, match="^units=1: must be 2$"):
        watch("print('train.py: error: units=1: must be 2'); sys.exit(2)")
    once = "path = pathlib.Path('relieved' + sys.argv[-1])\nsys.exit(0 if path.exists() else (path.touch(), 5)[1])"
    assert not watch(once).there and pathlib.Path("relieved1").exists() and pathlib.Path("relieved2").exists()
    began = time.monotonic()
    crew = watch("sys.stdin.read()", end=time.time() + 0.5)
    assert [each.returncode for each in crew.there.values()] == [0, 0] and time.monotonic() - began < 30


@pytest.mark.slow
def test_trials_keep_to_the_budget(place):
    study = opened(f"{TINY} --layers 1..2 --budget 500 --sampler random --out fitted")
    for each in trials_of(study, 2):
        recipe = study.plain.replace(**each.user_attrs["flags"])
        data = recipe.load("text", None)
        assert each.user_attrs["parameters"] == recipe.parameters(data) <= 500
        assert recipe.replace(units=str(recipe.units + 1)).parameters(data) > 500
        assert each.user_attrs["values"]["units"] == str(recipe.units)
    study = opened(f"{TINY} --units 3..6 --budget 300 --sampler random --out drawn")
    trials = trials_of(study, 3)
    assert sum(map(trained, trials)) == 3 < len(trials)
    for each in trials:
        if trained(each):
            assert each.user_attrs["parameters"] <= 300
        else:
            assert "--budget=300: these are" in each.user_attrs["refused"] and not study.run_of(each).exists()
    assert "draws were refused" in study_report.report(study)


@pytest.mark.slow
def test_what_diverges_ends_early_and_what_is_refused_ends_the_search(place):
    study = opened(f"{TINY} --optimizer sgd --learning_rate 1e30..1e32 --units 3 --sampler random --out diverged")
    (trial,) = trials_of(study, 1)
    assert trial.state.name == "PRUNED" and "perplexity inf" in trial.user_attrs["stopped"]
    assert "not finite" in study_report.report(study) and "No trial is complete yet" in study_report.report(study)
    trial.intermediate_values[1] = 1.0  # though it was the best before
    other = optuna.trial.create_trial(value=9.0, intermediate_values={1: 9.0})
    assert sorted([trial, other], key=study_report.place) == [other, trial]
    study = opened(f"{TINY} --units 2..20 --budget 60 --out refused")
    with pytest.raises(search.InputError, match="the last 5 draws were refused: --budget=60"):
        trials_of(study, 1)


@pytest.mark.slow
def test_other_data_and_other_runs_are_refused(place):
    study = opened(f"{TINY} --units 3..6 --out study")
    (place / "text" / "train.txt").write_text("a b c d e f g h " * 30)
    with pytest.raises(search.InputError, match="not the data that study was begun with"):
        trials_of(study, 1)
    write_corpus(place / "new")
    for name in ("train.txt", "valid.txt", "test.txt"):
        (place / "new" / name).replace(place / "text" / name)
    (place / "study" / "study.db").write_bytes(b"")  # it forgets its trials
    one = opened(f"{TINY} --units 2 --learning_rate 0.01..0.02 --out one")
    trials_of(one, 1)
    (place / "one" / "trial-0").rename(place / "study" / "trial-0")
    first, *_ = trials_of(opened("--resume --out study"), 1)
    assert "the run of another trial" in first.user_attrs["refused"]
    write_corpus(place / "other", "abcdefghi")
    with pytest.raises(search.InputError, match="^other: not the data that study was begun with"):
        opened("--resume --corpus other --out study")  # before any trial is lost by it


@pytest.mark.slow
def test_a_search_goes_on_once_the_cause_of_its_refusals_is_gone(place, monkeypatch):
    study = opened(f"{TINY} --units 3..6 --sampler random --out study")
    with monkeypatch.context() as patch:
        patch.setattr("lab.memory.available", lambda: 1)
        with pytest.raises(search.InputError, match="the last 5 draws were refused: .*this machine"):
            trials_of(study, 1)
    monkeypatch.setattr(search, "watch", lambda study, crew, trials, *_: trials_of(study, trials))  # in this process
    code, _, err = call("search lstm --resume --out study --trials 1")
    assert code == 0 and sum(map(trained, study.record.trials)) == 1, err


@pytest.mark.slow
def test_a_draw_that_the_text_is_too_short_for_is_refused(place):
    study = opened(f"{TINY} --batch_size 2,64 --units 3 --sampler random --out study")
    trials = trials_of(study, 2)
    assert {trained(each) for each in trials} == {True, False}
    for each in trials:
        assert trained(each) or "too few for one window" in each.user_attrs["refused"]


def test_runs_find_their_corpus_from_any_folder(place):
    line = f"{TINY} --units 3..6 --out study"
    assert opened(line).plan.settings["corpus"] == str(place / "text")
    assert opened("--resume --corpus text --out study").plan.settings["corpus"] == str(place / "text")


def test_stops_cost_no_attempt(place):
    """Three times a worker may be killed; how often a trial was stopped before does not count."""
    record = opened(f"{TINY} --units 3..6 --out study").record
    trial = record.ask()
    for _ in range(5):
        trial.set_user_attr(STOPS, trial.user_attrs.get(STOPS, 0) + 1)
        retry(record, record.trials[trial.number])
        record.tell(trial, state=optuna.trial.TrialState.FAIL)
        trial = record.ask()
    for _ in range(3):
        retry(record, record.trials[trial.number])
        record.tell(trial, state=optuna.trial.TrialState.FAIL)
        trial = record.ask()
    assert len(record.trials) == 9
    retry(record, record.trials[trial.number])
    assert len(record.trials) == 9


def test_a_storage_that_is_left_out(place):
    """The study begun there would be another, an empty one."""
    opened(f"{TINY} --units 3..6 --storage trials.journal --out study")
    (place / "study" / "trial-0").mkdir()
    with pytest.raises(search.InputError, match=r"--storage: must be as it was .*study has no study\.db"):
        opened("--resume --out study")
    assert opened("--resume --storage trials.journal --out study").record.trials == []


def test_fields_that_change_the_data_are_refused(place):
    for line in ("sine --steps 60..200", "add --train_examples 6400,12800", f"{TINY} --level char,word"):
        with pytest.raises(search.InputError, match="one of these changes the data; give it one value"):
            opened(f"{line} --units 3 --out study")
    assert not (place / "study").exists()


def test_the_most_epochs_of_several(place):
    assert opened(f"{TINY} --units 3 --out one".replace("--epochs 3", "--epochs 2,9,3")).longest == 9
    assert opened(f"{TINY} --units 3 --out two".replace("--epochs 3", "--epochs 2..7")).longest == 7


@pytest.mark.slow
def test_a_quick_look_at_a_long_text_is_short(place, monkeypatch):
    """In all trials, and in the command that trains the best recipe."""
    monkeypatch.setattr("lab.options.LONG", ("text", str(place / "text")))
    monkeypatch.setattr("lab.options.QUICK_STEPS", 2)
    line = TINY.replace("--steps_per_epoch 2", "").replace("--epochs 3", "--epochs 1")
    for more, steps in (("", 2), ("--steps_per_epoch none", None)):
        study = opened(f"{line} --quick {more} --units 3..4 --out study{steps}")
        (trial,) = trials_of(study, 1)
        command = shlex.split(study_report.command(study, trial))
        recipe, *_ = settle(*parse(command[2:], TARGETS), TARGETS)
        assert recipe.steps_per_epoch == steps and recipe.values() == Run(study.run_of(trial)).about()["recipe"]


@pytest.mark.slow
def test_the_report_has_a_table_pictures_and_a_command(place):
    line = f"{TINY} --units 3..9 --cell lstm,rhn --depth 1..3 --learning_rate 0.001..0.1:log --seed 5 --out 'a study'"
    study = Study.opened(*parse(["search", *shlex.split(line)], TARGETS), TARGETS)
    trials = trials_of(study, 4)
    text = study_report.report(study)
    best = min(trials, key=lambda each: each.value)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row[:1] == "|"]
    assert rows[0][:6] == ["trial", "valid perplexity", "epochs", "parameters", "minutes", "state"]
    assert sorted(rows[0][6:]) == ["cell", "cell.depth", "learning_rate", "units"] and {len(row) for row in rows} == {
        10
    }
    assert rows[2][0] == str(best.number) and [float(row[1]) for row in rows[2:]] == sorted(
        float(row[1]) for row in rows[2:]
    )
    for name in study_report.PICTURES:
        assert (place / "a study" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    anew, tested = (shlex.split(row) for row in text.splitlines() if row.startswith(f"    {sys.executable}"))
    recipe, settings, _ = settle(*parse(anew[2:], TARGETS), TARGETS)
    about = Run(study.run_of(best)).about()
    assert recipe.values() == about["recipe"]
    assert settings == {name: about[name] for name in settings} and settings["seed"] == 5
    assert call(tested[2:])[0] == 0
    assert (place / "a study" / "trials.md").read_text() == text


@pytest.mark.parametrize("name", ["tpe", "random", "evolution"])
def test_a_sampler_draws_the_same_for_a_trial_whoever_trains_it(name):
    def drawn(*stops):
        study = optuna.create_study(sampler=make_sampler(name, 1))
        for stop in stops:
            study.sampler = make_sampler(name, 1)
            study.optimize(lambda trial: trial.suggest_int("a", 0, 99) + trial.suggest_float("b", 0, 1), n_trials=stop)
        return [each.params for each in study.trials]

    one = drawn(30)
    assert drawn(7, 23) == one and len({str(each) for each in one}) > 25
    assert make_sampler(name, 2) is not None


def test_evolution_changes_one_field_of_a_good_recent_trial():
    def value(trial):
        names = [trial.suggest_categorical(f"f{n}", ("a", "b", "c", "d")) for n in range(6)]
        if trial.suggest_int("n", 0, 0) or trial.number % 7 == 3:
            trial.report(-99, 1)  # as one that was ahead, and then not finite: it has a value, too
            raise optuna.TrialPruned
        return -names.count("a")

    study = optuna.create_study(sampler=make_sampler("evolution", 3))
    study.optimize(value, n_trials=120)
    trials = study.trials
    for each in trials[20:]:
        recent = [other for other in trials[each.number - 20 : each.number] if other.state.name == "COMPLETE"]
        near = [sum(each.params[name] != other.params[name] for name in each.params) for other in recent]
        assert min(near) <= 1
        assert all(each.params != other.params for other in recent if near and other.value < -6)
    means = [
        np.mean([each.value for each in part if each.state.name == "COMPLETE"]) for part in (trials[:20], trials[-20:])
    ]
    assert means[1] < means[0] - 2
    assert issubclass(Evolution, optuna.samplers.RandomSampler)


def test_refused_draws_take_no_place_in_evolution():
    study = optuna.create_study(sampler=make_sampler("evolution", 1))

    def value(trial):
        found = trial.suggest_float("a", 0, 1) + trial.suggest_float("b", 0, 1)
        if trial.number >= 20:
            trial.set_user_attr("refused", "too large")
            raise optuna.TrialPruned
        return found

    study.optimize(value, n_trials=60)
    drawn = [each.params for each in study.trials]
    for params in drawn[20:]:
        assert any(sum(params[name] == other[name] for name in params) == 1 for other in drawn[:20])


def test_pruners_have_their_rungs():
    asha, hyperband = make_pruner("asha", 9), make_pruner("hyperband", 9)
    ended = {}
    for pruner in (asha, hyperband):
        study = optuna.create_study(sampler=make_sampler("random", 1), pruner=pruner)

        def value(trial):
            level = trial.suggest_float("level", 0, 1)
            for epoch in range(1, 10):
                trial.report(level, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return level

        study.optimize(value, n_trials=40)
        ended[pruner] = {each.last_step for each in study.trials}
    assert ended[asha] == {1, 3, 9} and ended[hyperband] <= {1, 3, 9}
    study = optuna.create_study(pruner=make_pruner("none", 9))
    trial = study.ask()
    trial.report(1.0, 1)
    assert not trial.should_prune()


@pytest.mark.parametrize(
    "line, told",
    [
        ("", "name a target: lstm"),
        ("lstn --units 1..2", "unknown target 'lstn'; did you mean lstm"),
        ("lstm --units 9..3", "units=9..3: must be LOW..HIGH with LOW at most HIGH"),
        ("lstm --unitz 3..9", "unknown option 'unitz'; did you mean units"),
        ("lstm --units 3", "search: must have a field to draw"),
        ("lstm --units 3..4 --trials 0", "--trials=0: must be a whole number from 1"),
        ("lstm --units 3..4 --parallel 0", "--parallel=0: must be a whole number from 1 to 100"),
        ("lstm --units 3..4 --hours 0", "--hours=0: must be a number above 0"),
        ("lstm --units 3..4 --wait 2", "--wait=2: must be a whole number from 5 to 86400"),
        ("lstm --units 3..4 --sampler best", "--sampler=best: must be tpe or random or evolution"),
        ("lstm --units 3..4 --pruner best", "--pruner=best: must be asha or hyperband or none"),
        ("lstm --units 4 --layers 1..2 --budget 4M", "--budget: must not be given with one value of --units"),
        ("lstm --units 3..4 --workers 2", "unknown option 'workers'"),
        ("lstm --units 3..4 --corpus nowhere", "nowhere"),
        ("lstm --units 3..4 --engine numpy --dropout 0.1", "dropout=0.1: must be 0.0 with --engine numpy"),
        ("lstm --units 3..4 --out text", "--out text: exists already, and is no run"),
        ("lstm --resume", "there is no run runs/lstm-small-search-1 to continue; --out"),
        ("lstm --resume --out text", "text: not a study, it has no study.json"),
        (
            "--resume --out study --units 3..7",
            "continues as it was begun, and that is not with units='3..7' (was '3..6')",
        ),
        ("--resume --out study --seed 2 --sampler tpe", "seed=2 (was 1), sampler='tpe' (was 'random'); begin a new"),
        (f"{TINY} --units 3..6 --out study", "--out study: exists already; --resume would continue it"),
        (f"{TINY} --units 3..6 --storage nonsense://x --out other", "--storage: "),
    ],
)
def test_command_lines_are_refused(place, line, told):
    opened(f"{TINY} --units 3..6 --sampler random --out study")
    code, out, err = call(["search", *line.split()])
    assert code == 2 and not out and told in err, err
    assert len(err.splitlines()) == 1


def test_a_damaged_study_is_refused(place):
    opened(f"{TINY} --units 3..6 --out study")
    (place / "study" / "study.json").write_text("{}")
    code, _, err = call("search --resume --out study")
    assert code == 2 and "study.json: damaged" in err


def test_without_optuna_it_says_what_to_install(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = call(["search", *TINY.split(), "--units", "3..6"])
    assert code == 2 and "search: needs Optuna, of the extra search: pip install -e '.[search]'" in err
    assert not pathlib.Path("runs").exists()


@pytest.mark.slow
def test_a_journal_and_another_study_of_that_name(place):
    study = opened(f"{TINY} --units 3..6 --storage all.journal --out study")
    assert len(trials_of(study, 1)) == 1 and not (place / "study" / "study.db").exists()
    joined = opened("--resume --storage all.journal --out study")
    assert len(trials_of(joined, 2)) == 2
    (place / "study").rename(place / "moved")
    with pytest.raises(search.InputError, match="has another study of the name study"):
        opened(f"{TINY} --units 3..5 --storage all.journal --out study").record  # noqa: B018
