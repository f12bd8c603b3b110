"""Every cell and wrapper, as data: to be read without Keras.

A new cell or wrapper needs a row here, and one in tests/cases/. From these rows it is registered,
exported by `tfcells`, listed by `train.py --list`, taken by `--cell` or `--wrapper`, and documented.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """module: where the class is. family: under which heading it stands. kind: "cell" or "wrapper".

    parameters: how many a cell of n units has for d features, by its arguments that are numbers of something; the
    others at their defaults, and d not n. A wrapper's count is that around an `LSTMCell` of n units, and with it.
    """

    name: str
    module: str
    family: str
    paper: str
    year: int
    parameters: str
    kind: str = "cell"


LSTM, GRU, SIMPLE = "tfcells.cells.lstm", "tfcells.cells.gru", "tfcells.cells.elman"
HIGHWAY, NOISE = "tfcells.cells.highway", "tfcells.wrappers.noise"
DYNAMICAL, LINEAR = "tfcells.cells.dynamical", "tfcells.cells.linear"
CHANNELWISE, XLSTM = "tfcells.cells.channelwise", "tfcells.cells.xlstm"
GATING, STATE = "tfcells.wrappers.gating", "tfcells.wrappers.state"
STRUCTURE = "tfcells.wrappers.structure"
ATTENTION, WINDOW = "tfcells.wrappers.attention", "tfcells.wrappers.window"
MINIMAL, GATED, FAST = "tfcells.cells.minimal", "tfcells.cells.gated", "tfcells.cells.fast"
SEARCHED, IRREGULAR = "tfcells.cells.searched", "tfcells.cells.irregular"

ROWS = (
    Row("ElmanCell", SIMPLE, "simple", "Elman, 1990", 1990, "n*(d + n + 1)"),
    Row("LayerNormElmanCell", SIMPLE, "simple", "Ba et al., 1607.06450", 2016, "n*(d + n + 2)"),
    Row("ClockworkRNNCell", "tfcells.cells.clockwork", "simple", "Koutník et al., 1402.3511", 2014, "n*(d + n + 1)"),
    Row("SCRNCell", SIMPLE, "simple", "Mikolov et al., 1412.7753", 2014, "n*(d + n + 1) + context_units*(d + n)"),
    Row("OriginalLSTMCell", LSTM, "LSTM", "Hochreiter & Schmidhuber, 1997", 1997, "3*n*(d + n + 1)"),
    Row("LSTMCell", LSTM, "LSTM", "Hochreiter & Schmidhuber, 1997; Gers et al., 2000", 1997, "4*n*(d + n + 1)"),
    Row("PeepholeLSTMCell", LSTM, "LSTM", "Gers et al., 2002", 2002, "4*n*(d + n + 1) + 3*n"),
    Row(
        "LayerNormLSTMCell", LSTM, "LSTM", "Ba et al., 1607.06450; Ha et al., 1609.09106", 2016, "4*n*(d + n + 3) + 2*n"
    ),
    Row("MultiplicativeIntegrationLSTMCell", LSTM, "LSTM", "Wu et al., 1606.06630", 2016, "4*n*(d + n + 4)"),
    Row("ResidualLSTMCell", LSTM, "LSTM", "Kim, El-Khamy & Lee, 1701.03360", 2017, "5*n*(d + n) + 7*n"),
    Row("OrderedNeuronsLSTMCell", LSTM, "LSTM", "Shen et al., 1810.09536", 2018, "(4*n + 2*n//chunk_size)*(d + n + 1)"),
    Row("GRUCell", GRU, "GRU", "Cho et al., 1406.1078, both versions", 2014, "3*n*(d + n + 2)"),
    Row("LayerNormGRUCell", GRU, "GRU", "Ba et al., 1607.06450", 2016, "3*n*(d + n + 4)"),
    Row("MinLSTMCell", MINIMAL, "linear", "Feng et al., 2410.01201", 2024, "3*n*(d + 1)"),
    Row("QRNNCell", LINEAR, "linear", "Bradbury et al., 1611.01576", 2016, "3*n*(window*d + 1)"),
    Row("LRUCell", LINEAR, "linear", "Orvieto et al., 2303.06349", 2023, "n*(3*d + 2*n + 5)"),
    Row("HGRNCell", LINEAR, "linear", "Qin, Yang & Zhong, 2311.04823", 2023, "n*(5*d + 2*n + 11)"),
    Row("RGLRUCell", LINEAR, "linear", "De et al., 2402.19427", 2024, "2*n*(d//heads + 1) + n*(d + 1)"),
    Row("MLSTMCell", XLSTM, "linear", "Beck et al., 2405.04517", 2024, "(4*n + 2*heads)*(d + 1)"),
    Row("SLSTMCell", XLSTM, "LSTM", "Beck et al., 2405.04517", 2024, "4*n*(d + n//heads + 1)"),
    Row("SRUCell", CHANNELWISE, "channelwise", "Lei et al., 1709.02755", 2017, "4*n*(d + 1)"),
    Row("IndRNNCell", CHANNELWISE, "channelwise", "Li et al., 1803.04831", 2018, "n*(d + 2)"),
    Row("LayerNormIndRNNCell", CHANNELWISE, "channelwise", "Ba et al., 1607.06450; haste", 2020, "n*(d + 3)"),
    Row("IndyLSTMCell", CHANNELWISE, "channelwise", "Gonnet & Deselaers, 1903.08023", 2019, "4*n*(d + 2)"),
    Row("ParaGRUCell", CHANNELWISE, "channelwise", "ParaRNN, 2510.21450", 2025, "3*n*(d//heads + 2)"),
    Row("ParaLSTMCell", CHANNELWISE, "channelwise", "ParaRNN, 2510.21450", 2025, "3*n*(d//heads + 2) + 2*n"),
    Row("EchoStateCell", DYNAMICAL, "dynamical", "Jaeger, 2001", 2001, "n*(d + n + 1)"),
    Row("ScoRNNCell", DYNAMICAL, "dynamical", "Helfrich, Willmott & Ye, 1707.09520", 2017, "n*(d + n + 1)"),
    Row("AntisymmetricRNNCell", DYNAMICAL, "dynamical", "Chang et al., 1902.09689", 2019, "n*(d + n + 1)"),
    Row("GatedAntisymmetricRNNCell", DYNAMICAL, "dynamical", "Chang et al., 1902.09689", 2019, "n*(2*d + n + 2)"),
    Row("LipschitzRNNCell", DYNAMICAL, "dynamical", "Erichson et al., 2006.12070", 2020, "n*(d + 2*n + 1)"),
    Row("CoRNNCell", DYNAMICAL, "dynamical", "Rusch & Mishra, 2010.00951", 2020, "n*(d + 2*n + 1)"),
    Row("LEMCell", DYNAMICAL, "dynamical", "Rusch et al., 2110.04744", 2021, "4*n*(d + n + 1)"),
    Row("UGRNNCell", GATED, "gated", "Collins et al., 1611.09913", 2016, "2*n*(d + n + 1)"),
    Row("IntersectionRNNCell", GATED, "gated", "Collins et al., 1611.09913", 2016, "4*n*(d + n + 1) + n*(d + 1)"),
    Row("CFNCell", GATED, "gated", "Laurent & von Brecht, 1612.06212", 2016, "n*(3*d + 2*n + 3)"),
    Row("RANCell", GATED, "gated", "Lee et al., 1705.07393", 2017, "n*(3*d + 2*n + 2)"),
    Row("ATRCell", GATED, "gated", "Zhang et al., 1810.12546", 2018, "n*(d + n + 2)"),
    Row("BRCCell", GATED, "gated", "Vecoven et al., PLOS ONE 0252676", 2021, "n*(3*d + 5)"),
    Row("NBRCCell", GATED, "gated", "Vecoven et al., PLOS ONE 0252676", 2021, "n*(3*d + 2*n + 3)"),
    Row("MGUCell", MINIMAL, "minimal", "Zhou et al., 1603.09420", 2016, "2*n*(d + n + 1)"),
    Row("MinimalRNNCell", MINIMAL, "minimal", "Chen, 1711.06788", 2017, "n*(d + 2*n + 2)"),
    Row("JANETCell", MINIMAL, "minimal", "van der Westhuizen & Lasenby, 1804.04849", 2018, "2*n*(d + n + 1)"),
    Row("LiGRUCell", MINIMAL, "minimal", "Ravanelli et al., 1803.10225", 2018, "2*n*(d + n + 1)"),
    Row("FastRNNCell", FAST, "minimal", "Kusupati et al., 1901.02358", 2018, "n*(d + n + 1) + 2"),
    Row("FastGRNNCell", FAST, "minimal", "Kusupati et al., 1901.02358", 2018, "n*(d + n + 2) + 2"),
    Row("STARCell", MINIMAL, "minimal", "Turkoglu et al., 1911.11033", 2019, "n*(2*d + n + 2)"),
    Row("LightRUCell", MINIMAL, "minimal", "Ye et al., Electronics 13(16) 3204", 2024, "n*(2*d + n + 2)"),
    Row("MinGRUCell", MINIMAL, "minimal", "Feng et al., 2410.01201", 2024, "2*n*(d + 1)"),
    Row("MUT1Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015, "n*(3*d + 2*n + 4)"),
    Row("MUT2Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015, "3*n*(d + n + 1)"),
    Row("MUT3Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015, "3*n*(d + n + 1)"),
    Row("NASCell", SEARCHED, "searched", "Zoph & Le, 1611.01578", 2016, "8*n*(d + n + 1)"),
    Row("GenotypeCell", SEARCHED, "searched", "Liu et al., 1806.09055; Pham et al., 1802.03268", 2018, "2*n*(d + 9*n)"),
    Row("PhasedLSTMCell", IRREGULAR, "irregular", "Neil et al., 1610.09513", 2016, "4*n*(d + n + 1) + 3*n"),
    Row("TimeLSTMCell", IRREGULAR, "irregular", "Baytas et al., 2017", 2017, "4*n*(d + n + 1) + n*(n + 1)"),
    Row(
        "CfCCell",
        IRREGULAR,
        "irregular",
        "Hasani et al., 2106.13898",
        2021,
        "backbone_units*(d + n + 1) + 4*n*(backbone_units + 1)",
    ),
    Row("FastWeightsCell", "tfcells.cells.fast_weights", "memory", "Ba et al., 1610.06258", 2016, "n*(d + n + 3)"),
    Row("MogrifierLSTMCell", GATING, "LSTM", "Melis et al., 1909.01792", 2019, "4*n*(d + n + 1) + rounds*n*d"),
    Row("MultiplicativeLSTMCell", GATING, "LSTM", "Krause et al., 1609.07959", 2016, "4*n*(d + n + 1) + n*(d + n)"),
    Row(
        "HyperLSTMCell",
        "tfcells.cells.hyper",
        "hypernetworks",
        "Ha, Dai & Le, 1609.09106",
        2016,
        "4*n*(d + n + 1) + 4*hyper_units*(d + n + hyper_units + 1) + 4*embedding_units*(3*hyper_units + 3*n + 2)",
    ),
    Row("RHNCell", HIGHWAY, "highway", "Zilly et al., 1607.03474", 2016, "2*n*(d + depth*(n + 1))"),
    Row(
        "HighwayStateGateRHNCell",
        HIGHWAY,
        "highway",
        "Shoham & Permuter, 1805.09238",
        2018,
        "2*n*(d + depth*(n + 1)) + n*(2*n + 1)",
    ),
    Row("VariationalDropout", NOISE, "noise", "Gal & Ghahramani, 1512.05287", 2015, "4*n*(d + n + 1)", "wrapper"),
    Row("RecurrentDropout", NOISE, "noise", "Semeniuta et al., 1603.05118", 2016, "4*n*(d + n + 1)", "wrapper"),
    Row("Zoneout", NOISE, "noise", "Krueger et al., 1606.01305", 2016, "4*n*(d + n + 1)", "wrapper"),
    Row("WeightDrop", NOISE, "noise", "Merity et al., 1708.02182", 2017, "4*n*(d + n + 1)", "wrapper"),
    Row(
        "Attention",
        ATTENTION,
        "attention",
        "Bahdanau et al., 1409.0473",
        2014,
        "4*n*(d + memory_features + n + 1) + attention_units*(n + memory_features + 2)",
        "wrapper",
    ),
    Row(
        "LuongAttention",
        ATTENTION,
        "attention",
        "Luong et al., 1508.04025",
        2015,
        "4*n*(d + attention_units + n + 1) + memory_features*n + attention_units*(memory_features + n)",
        "wrapper",
    ),
    Row(
        "KVPAttention",
        WINDOW,
        "attention",
        "Daniluk et al., 1702.04521",
        2017,
        "4*n*(d + n + 1) + n//3*(4*n//3 + 1)",
        "wrapper",
    ),
    Row(
        "WindowAttention",
        WINDOW,
        "attention",
        "Cheng et al., 1601.06733",
        2016,
        "4*n*(d + n + 1) + d*(d + n + 1) + n*(5*n + 3)",
        "wrapper",
    ),
    Row("Mogrifier", GATING, "gating", "Melis et al., 1909.01792", 2019, "4*n*(d + n + 1) + rounds*n*d", "wrapper"),
    Row(
        "Multiplicative", GATING, "gating", "Krause et al., 1609.07959", 2016, "4*n*(d + n + 1) + n*(d + n)", "wrapper"
    ),
    Row(
        "Hyper",
        "tfcells.wrappers.hyper",
        "gating",
        "Ha et al., 1609.09106",
        2016,
        "4*n*(d + n + 1) + 512*(d + n + 129) + 4*embedding_units*(3*n + 386)",
        "wrapper",
    ),
    Row("Residual", STRUCTURE, "structure", "He et al., 1512.03385", 2015, "4*n*(d + n + 1)", "wrapper"),
    Row(
        "Highway",
        STRUCTURE,
        "structure",
        "Srivastava et al., 1505.00387",
        2015,
        "4*n*(d + n + 1) + n*(n + 1)",
        "wrapper",
    ),
    Row(
        "Projection",
        STRUCTURE,
        "structure",
        "Sak et al., 1402.1128",
        2014,
        "4*n*(d + projection_units + 1) + n*projection_units",
        "wrapper",
    ),
    Row(
        "FastSlow",
        STRUCTURE,
        "structure",
        "Mujika et al., 1705.08639",
        2017,
        "4*n*(d + n + 1) + 8*n*(2*n + 1) + 4*n*(fast_cells - 2)*(n + 1)",
        "wrapper",
    ),
    Row("Clip", STATE, "state", "Sak et al., 1402.1128", 2014, "4*n*(d + n + 1)", "wrapper"),
    Row("TrainableInitialState", STATE, "state", "none", 2015, "4*n*(d + n + 1) + 2*n", "wrapper"),
    Row("ResetOnFlag", STATE, "state", "none", 2018, "4*n*(d + n + 1)", "wrapper"),
)
