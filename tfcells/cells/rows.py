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
DYNAMICAL, LINEAR = "tfcells.cells.dynamical", "tfcells.cells.linear"
CHANNELWISE, XLSTM = "tfcells.cells.channelwise", "tfcells.cells.xlstm"
GATING, STATE = "tfcells.wrappers.gating", "tfcells.wrappers.state"
STRUCTURE = "tfcells.wrappers.structure"
MINIMAL, GATED, FAST = "tfcells.cells.minimal", "tfcells.cells.gated", "tfcells.cells.fast"
SEARCHED, IRREGULAR = "tfcells.cells.searched", "tfcells.cells.irregular"

ROWS = (
    Row("ElmanCell", SIMPLE, "simple", "Elman, 1990", 1990),
    Row("LayerNormElmanCell", SIMPLE, "simple", "Ba et al., 1607.06450", 2016),
    Row("ClockworkRNNCell", "tfcells.cells.clockwork", "simple", "Koutník et al., 1402.3511", 2014),
    Row("SCRNCell", SIMPLE, "simple", "Mikolov et al., 1412.7753", 2014),
    Row("OriginalLSTMCell", LSTM, "LSTM", "Hochreiter & Schmidhuber, 1997", 1997),
    Row("LSTMCell", LSTM, "LSTM", "Hochreiter & Schmidhuber, 1997; Gers et al., 2000", 1997),
    Row("PeepholeLSTMCell", LSTM, "LSTM", "Gers et al., 2002", 2002),
    Row("LayerNormLSTMCell", LSTM, "LSTM", "Ba et al., 1607.06450; Ha et al., 1609.09106", 2016),
    Row("MultiplicativeIntegrationLSTMCell", LSTM, "LSTM", "Wu et al., 1606.06630", 2016),
    Row("ResidualLSTMCell", LSTM, "LSTM", "Kim, El-Khamy & Lee, 1701.03360", 2017),
    Row("OrderedNeuronsLSTMCell", LSTM, "LSTM", "Shen et al., 1810.09536", 2018),
    Row("GRUCell", GRU, "GRU", "Cho et al., 1406.1078, both versions", 2014),
    Row("LayerNormGRUCell", GRU, "GRU", "Ba et al., 1607.06450", 2016),
    Row("MGUCell", "tfcells.cells.minimal", "minimal", "Zhou et al., 1603.09420", 2016),
    Row("MinGRUCell", "tfcells.cells.minimal", "minimal", "Feng et al., 2410.01201", 2024),
    Row("MinLSTMCell", "tfcells.cells.minimal", "linear", "Feng et al., 2410.01201", 2024),
    Row("QRNNCell", LINEAR, "linear", "Bradbury et al., 1611.01576", 2016),
    Row("LRUCell", LINEAR, "linear", "Orvieto et al., 2303.06349", 2023),
    Row("HGRNCell", LINEAR, "linear", "Qin, Yang & Zhong, 2311.04823", 2023),
    Row("RGLRUCell", LINEAR, "linear", "De et al., 2402.19427", 2024),
    Row("MLSTMCell", XLSTM, "linear", "Beck et al., 2405.04517", 2024),
    Row("SLSTMCell", XLSTM, "LSTM", "Beck et al., 2405.04517", 2024),
    Row("SRUCell", CHANNELWISE, "channelwise", "Lei et al., 1709.02755", 2017),
    Row("IndRNNCell", CHANNELWISE, "channelwise", "Li et al., 1803.04831", 2018),
    Row("IndyLSTMCell", CHANNELWISE, "channelwise", "Gonnet & Deselaers, 1903.08023", 2019),
    Row("ParaGRUCell", CHANNELWISE, "channelwise", "ParaRNN, 2510.21450", 2025),
    Row("ParaLSTMCell", CHANNELWISE, "channelwise", "ParaRNN, 2510.21450", 2025),
    Row("EchoStateCell", DYNAMICAL, "dynamical", "Jaeger, 2001", 2001),
    Row("ScoRNNCell", DYNAMICAL, "dynamical", "Helfrich, Willmott & Ye, 1707.09520", 2017),
    Row("AntisymmetricRNNCell", DYNAMICAL, "dynamical", "Chang et al., 1902.09689", 2019),
    Row("GatedAntisymmetricRNNCell", DYNAMICAL, "dynamical", "Chang et al., 1902.09689", 2019),
    Row("LipschitzRNNCell", DYNAMICAL, "dynamical", "Erichson et al., 2006.12070", 2020),
    Row("CoRNNCell", DYNAMICAL, "dynamical", "Rusch & Mishra, 2010.00951", 2020),
    Row("LEMCell", DYNAMICAL, "dynamical", "Rusch et al., 2110.04744", 2021),
    Row("UGRNNCell", GATED, "gated", "Collins et al., 1611.09913", 2016),
    Row("IntersectionRNNCell", GATED, "gated", "Collins et al., 1611.09913", 2016),
    Row("CFNCell", GATED, "gated", "Laurent & von Brecht, 1612.06212", 2016),
    Row("RANCell", GATED, "gated", "Lee et al., 1705.07393", 2017),
    Row("ATRCell", GATED, "gated", "Zhang et al., 1810.12546", 2018),
    Row("BRCCell", GATED, "gated", "Vecoven et al., PLOS ONE 0252676", 2021),
    Row("NBRCCell", GATED, "gated", "Vecoven et al., PLOS ONE 0252676", 2021),
    Row("MGUCell", MINIMAL, "minimal", "Zhou et al., 1603.09420", 2016),
    Row("MinimalRNNCell", MINIMAL, "minimal", "Chen, 1711.06788", 2017),
    Row("JANETCell", MINIMAL, "minimal", "van der Westhuizen & Lasenby, 1804.04849", 2018),
    Row("LiGRUCell", MINIMAL, "minimal", "Ravanelli et al., 1803.10225", 2018),
    Row("FastRNNCell", FAST, "minimal", "Kusupati et al., 1901.02358", 2018),
    Row("FastGRNNCell", FAST, "minimal", "Kusupati et al., 1901.02358", 2018),
    Row("STARCell", MINIMAL, "minimal", "Turkoglu et al., 1911.11033", 2019),
    Row("LightRUCell", MINIMAL, "minimal", "Ye et al., Electronics 13(16) 3204", 2024),
    Row("MinGRUCell", MINIMAL, "minimal", "Feng et al., 2410.01201", 2024),
    Row("MUT1Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015),
    Row("MUT2Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015),
    Row("MUT3Cell", SEARCHED, "searched", "Jozefowicz et al., 2015", 2015),
    Row("NASCell", SEARCHED, "searched", "Zoph & Le, 1611.01578", 2016),
    Row("GenotypeCell", SEARCHED, "searched", "Liu et al., 1806.09055; Pham et al., 1802.03268", 2018),
    Row("PhasedLSTMCell", IRREGULAR, "irregular", "Neil et al., 1610.09513", 2016),
    Row("TimeLSTMCell", IRREGULAR, "irregular", "Baytas et al., 2017", 2017),
    Row("CfCCell", IRREGULAR, "irregular", "Hasani et al., 2106.13898", 2021),
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
