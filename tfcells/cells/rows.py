"""Every cell and wrapper, as data: to be read without Keras.

A new cell or wrapper needs a row here, and one in tests/cases/. From these rows it is registered,
exported by `tfcells`, listed by `train.py --list`, taken by `--cell` or `--wrapper`, and documented.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """module: where the class is. family: under which heading it stands. kind: "cell" or "wrapper"."""

    name: str
    module: str
    family: str
    paper: str
    year: int
    kind: str = "cell"


LSTM, GRU, SIMPLE = "tfcells.cells.lstm", "tfcells.cells.gru", "tfcells.cells.elman"
HIGHWAY, NOISE = "tfcells.cells.highway", "tfcells.wrappers.noise"
GATING, STATE = "tfcells.wrappers.gating", "tfcells.wrappers.state"
STRUCTURE = "tfcells.wrappers.structure"

ROWS = (
    Row("ElmanCell", SIMPLE, "simple", "Elman, 1990", 1990),
    Row("LayerNormElmanCell", SIMPLE, "simple", "Ba et al., 1607.06450", 2016),
    Row("ClockworkRNNCell", "tfcells.cells.clockwork", "simple", "Koutník et al., 1402.3511", 2014),
    Row("LSTMCell", LSTM, "LSTM", "Hochreiter & Schmidhuber, 1997; Gers et al., 2000", 1997),
    Row("PeepholeLSTMCell", LSTM, "LSTM", "Gers et al., 2002", 2002),
    Row("LayerNormLSTMCell", LSTM, "LSTM", "Ba et al., 1607.06450; Ha et al., 1609.09106", 2016),
    Row("GRUCell", GRU, "GRU", "Cho et al., 1406.1078, both versions", 2014),
    Row("LayerNormGRUCell", GRU, "GRU", "Ba et al., 1607.06450", 2016),
    Row("MGUCell", "tfcells.cells.minimal", "minimal", "Zhou et al., 1603.09420", 2016),
    Row("MinGRUCell", "tfcells.cells.minimal", "minimal", "Feng et al., 2410.01201", 2024),
    Row("FastWeightsCell", "tfcells.cells.fast_weights", "memory", "Ba et al., 1610.06258", 2016),
    Row("MogrifierLSTMCell", GATING, "LSTM", "Melis et al., 1909.01792", 2019),
    Row("MultiplicativeLSTMCell", GATING, "LSTM", "Krause et al., 1609.07959", 2016),
    Row("HyperLSTMCell", "tfcells.cells.hyper", "hypernetworks", "Ha, Dai & Le, 1609.09106", 2016),
    Row("RHNCell", HIGHWAY, "highway", "Zilly et al., 1607.03474", 2016),
    Row("HighwayStateGateRHNCell", HIGHWAY, "highway", "Shoham & Permuter, 1805.09238", 2018),
    Row("VariationalDropout", NOISE, "noise", "Gal & Ghahramani, 1512.05287", 2015, "wrapper"),
    Row("RecurrentDropout", NOISE, "noise", "Semeniuta et al., 1603.05118", 2016, "wrapper"),
    Row("Zoneout", NOISE, "noise", "Krueger et al., 1606.01305", 2016, "wrapper"),
    Row("WeightDrop", NOISE, "noise", "Merity et al., 1708.02182", 2017, "wrapper"),
    Row(
        "Attention",
        "tfcells.wrappers.attention",
        "attention",
        "Bahdanau et al., 1409.0473",
        2014,
        "wrapper",
    ),
    Row("LuongAttention", "tfcells.wrappers.attention", "attention", "Luong et al., 1508.04025", 2015, "wrapper"),
    Row("KVPAttention", "tfcells.wrappers.window", "attention", "Daniluk et al., 1702.04521", 2017, "wrapper"),
    Row("WindowAttention", "tfcells.wrappers.window", "attention", "Cheng et al., 1601.06733", 2016, "wrapper"),
    Row("Mogrifier", GATING, "gating", "Melis et al., 1909.01792", 2019, "wrapper"),
    Row("Multiplicative", GATING, "gating", "Krause et al., 1609.07959", 2016, "wrapper"),
    Row("Hyper", "tfcells.wrappers.hyper", "gating", "Ha et al., 1609.09106", 2016, "wrapper"),
    Row("Residual", STRUCTURE, "structure", "He et al., 1512.03385", 2015, "wrapper"),
    Row("Highway", STRUCTURE, "structure", "Srivastava et al., 1505.00387", 2015, "wrapper"),
    Row("Projection", STRUCTURE, "structure", "Sak et al., 1402.1128", 2014, "wrapper"),
    Row("FastSlow", STRUCTURE, "structure", "Mujika et al., 1705.08639", 2017, "wrapper"),
    Row("Clip", STATE, "state", "Sak et al., 1402.1128", 2014, "wrapper"),
    Row("TrainableInitialState", STATE, "state", "none", 2015, "wrapper"),
    Row("ResetOnFlag", STATE, "state", "none", 2018, "wrapper"),
)
