"""Outputs, states and gradients of the papers' own code and its ports (golden/README.md).

A row maps the weights of a reference to those of our cell. The map runs inside the gradient tape:
our gradients arrive at the reference's weights, whatever it reorders, negates or adds. The loop is the
ordinary one, of which test_cells.py shows that the engine's numbers are the same.
All sizes are the file's. The environment variable TFCELLS_GOLDEN names another folder of such files;
those without a row are skipped there.
"""

import functools
import itertools
import math
import os
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfcells

pytestmark = pytest.mark.slow

OWN = pathlib.Path(__file__).parents[2] / "golden"
GOLDEN = pathlib.Path(os.environ.get("TFCELLS_GOLDEN", OWN)).resolve()
FILES = sorted(path.stem for path in GOLDEN.glob("*.npz"))


def reorder(a, theirs, ours="ifgo"):
    """The column blocks of a stacked weight, named by `theirs`, in our order."""
    blocks = dict(zip(theirs, tf.split(a, len(theirs), -1), strict=True))
    return tf.concat([blocks[gate] for gate in ours], -1)


def stacked(w, template, gates="ifgo"):
    """One weight of each gate side by side, or vectors end to end."""
    return tf.concat([w[template.format(gate)] for gate in gates], -1)


def rows(matrix, gates=4):
    """A kernel of [x; h], divided."""
    units = matrix.shape[1] // gates
    return tf.split(matrix, [matrix.shape[0] - units, units])


def forget(bias):
    """With the 1.0 that the reference adds to the forget gate at run time."""
    return bias + np.repeat([0.0, 1.0, 0.0, 0.0], bias.shape[0] // 4)


def plain(prefix="", shift=forget):
    """Kernel, recurrent kernel and bias of supercell's LSTMs, gates i, j, f, o."""
    return lambda w: {
        f"{prefix}kernel": reorder(w["W_xh"], "igfo"),
        f"{prefix}recurrent_kernel": reorder(w["W_hh_i" if "W_hh_i" in w else "W_hh"], "igfo"),
        f"{prefix}bias": shift(reorder(w["bias"], "igfo")),
    }


def supercell_norm(w, prefix, joint, cell):
    return {
        f"{prefix}gain": reorder(w[f"{joint}/ln_gamma"], "igfo"),
        f"{prefix}shift": forget(reorder(w[f"{joint}/ln_beta"], "igfo")),
        f"{prefix}cell_gain": w[f"{cell}/ln_gamma"],
        f"{prefix}cell_shift": w[f"{cell}/ln_beta"],
    }


def lstm_supercell_ln(w):
    return plain(shift=tf.identity)(w) | supercell_norm(w, "", "ln", "ln_c")


def lstm_asahi(w, shift=forget):
    x, h = rows(reorder(w["linear/kernel"], "igfo"))
    return {"kernel": x, "recurrent_kernel": h, "bias": shift(reorder(w["linear/bias"], "igfo"))}


def kvp_asahi(w):
    parts = {
        ("context_vector", "w_y"): "key",
        ("context_vector", "w_h"): "query",
        ("context_vector", "w"): "score",
        ("weighted_output", "w_r"): "read",
        ("weighted_output", "w_h"): "predict",
    }
    inner = "rnn_cell/custom_lstm_cell/"
    found = lstm_asahi({name.removeprefix(inner): w[name] for name in w if name.startswith(inner)})
    return found | {f"{ours}_kernel": w[f"attention/{scope}/{name}"] for (scope, name), ours in parts.items()}


def lstm_asahi_ln(w):
    gain, shift = (stacked(w, f"layer_norm_{{}}/{name}", "ifjo") for name in ("gain", "shift"))
    return lstm_asahi(w, shift=tf.identity) | {"gain": gain, "shift": forget(shift)}


def lstm_lamb(w):
    theirs, ours = ("gofi", "ifgo") if "tiled_linear/B_i" in w else ("gof", "fgo")
    x, h = rows(reorder(w["tiled_linear/W"], theirs, ours), len(ours))
    return {"kernel": x, "recurrent_kernel": h, "bias": stacked(w, "tiled_linear/B_{}", ours.replace("g", "j"))}


def lstm_lamb_ln(w):
    return {
        "kernel": stacked(w, "tiled_linear/W_x_{}", "ifjo"),
        "recurrent_kernel": stacked(w, "tiled_linear/W_h_{}", "ifjo"),
        "bias": stacked(w, "tiled_linear/B_{}", "ifjo"),
        "kernel_gain": reorder(w["tiled_linear/ln_x/gain"][0], "gofi"),
        "recurrent_gain": reorder(w["tiled_linear/ln_h/gain"][0], "gofi"),
        "cell_gain": w["ln_c/gain"][0],
        "cell_shift": w["ln_c/bias"][0],
    }


def lstm_layernorm_tfa(w):
    """Its three shifts (bias, and one of each norm) are our bias."""
    return {
        "kernel": w["kernel"],
        "recurrent_kernel": w["recurrent_kernel"],
        "bias": w["bias"] + w["kernel_norm/beta"] + w["recurrent_norm/beta"],
        "kernel_gain": w["kernel_norm/gamma"],
        "recurrent_gain": w["recurrent_norm/gamma"],
        "cell_gain": w["state_norm/gamma"],
        "cell_shift": w["state_norm/beta"],
    }


def haste(w, gates=4):
    """Its TensorFlow cells stack the kernels of x and h, its PyTorch functions keep them apart."""
    if "recurrent_kernel" in w:
        return w["kernel"], w["recurrent_kernel"]
    return rows(w["kernel"], gates)


def lstm_haste(w):
    x, h = haste(w)
    found = {"kernel": x, "recurrent_kernel": h, "bias": w["bias"]}
    if "gamma" in w:
        found |= {"kernel_gain": w["gamma"][0], "recurrent_gain": w["gamma"][1]}
    found = {name: reorder(a, "igfo") for name, a in found.items()}
    return found | ({"cell_gain": w["gamma_h"], "cell_shift": w["beta_h"]} if "gamma" in w else {})


def gru_haste(w):
    x, h = haste(w, gates=3)
    both = tf.split(w["bias"], 2) if "recurrent_bias" not in w else [w["bias"], w["recurrent_bias"]]
    return {"kernel": x, "recurrent_kernel": h, "bias": tf.stack(both)}


def gru_haste_norm(w):
    return gru_haste(w) | {"kernel_gain": w["gamma"][0], "recurrent_gain": w["gamma"][1]}


def simplernn_layernorm_tfa(w):
    """Its norm has no shift, our bias is one."""
    given = {"gain": "gamma", "kernel": "kernel", "recurrent_kernel": "recurrent_kernel"}
    return {ours: w[theirs] for ours, theirs in (given | {"bias": "bias"}).items()}


def peephole_tfa(w):
    return {
        name: w[name if "peephole" not in name else f"{name.split('_')[0]}_gate_peephole_weights"] for name in PEEPHOLE
    }


def peephole_torchrecurrent(w):
    peepholes = zip(PEEPHOLE[3:], tf.split(w["weight_ph"], 3), strict=True)
    return dict(peepholes) | torchrecurrent(w)


PEEPHOLE = (
    *("kernel", "recurrent_kernel", "bias"),
    *("input_peephole", "forget_peephole", "output_peephole"),
)


def hyperlstm(w):
    normed = "ln_all/ln_gamma" in w
    inner = {name.removeprefix("LSTMCell/"): w[name] for name in w if name.startswith("LSTMCell/")}
    shift = tf.identity if normed else forget
    found = plain(shift=shift)(w) | plain("hyper_", shift=shift)(inner)
    scales = [f"hyper_{gate}{of}/" for of in "xh" for gate in "ifjo"]
    biases = [f"hyper_{gate}b/" for gate in "ifjo"]
    embed = [w[f"{name}zw/super_linear_w"] for name in scales]
    embed += [w[f"{name}zb/super_linear_w"] for name in biases]
    generate = [w[f"{name}alpha/super_linear_w"] for name in scales]
    generate += [w[f"{name}beta/super_linear_w"] for name in biases]
    found["embedding_kernel"] = tf.concat(embed, -1)
    found["embedding_bias"] = tf.concat([w[f"{name}zw/super_linear_b"] for name in scales], 0)
    found["scale_kernel"] = tf.stack(generate)
    if normed:
        found |= supercell_norm(w, "", "ln_all", "ln_c")
        found |= supercell_norm(inner, "hyper_", "ln", "ln_c")
    return found


def rhn(kernel, bias, gates="ht", first=0):
    """Level by level, one weight a gate."""

    def weights(w):
        found = {}
        for level in itertools.count():
            names = [text.format(level + first, "{}") for text in (kernel, bias)]
            if names[0].format(gates[0]) not in w:
                return found
            matrix, found[f"bias_{level}"] = (stacked(w, name, gates) for name in names)
            if level == 0:
                found["kernel"], matrix = rows(matrix, len(gates))
            found[f"recurrent_kernel_{level}"] = matrix

    return weights


rhn_jzilly = rhn("{1}_{0}/Linear/Matrix", "{1}_{0}/Linear/Bias")
ASAHI = "recurrent_depth_{0}/{1}/kernel", "recurrent_depth_{0}/{1}/bias"
LAMB = "layer{0}/{1}", "layer{0}/tiled_linear/B_{1}"


def hsg(gates):
    def weights(w):
        gate = {ours: w[f"highway_state_gate/{theirs}"] for ours, theirs in GATE.items()}
        return rhn(*ASAHI, gates=gates, first=1)(w) | gate

    return weights


GATE = {"gate_kernel": "kernel", "gate_shift": "bias"}


def rhn_lamb(gates):
    """Its gates are h, the carry c, and untied t. Tied, s(t) = 1 - s(c), so t is minus c."""

    def weights(w):
        w = dict(w)
        for level in range(sum(name.endswith("tiled_linear/W") for name in w)):
            w |= zip(
                [f"layer{level}/{gate}" for gate in gates],
                tf.split(w[f"layer{level}/tiled_linear/W"], len(gates), -1),
                strict=True,
            )
            if "t" not in gates:
                for name in ("layer{}/{}", "layer{}/tiled_linear/B_{}"):
                    w[name.format(level, "t")] = -w[name.format(level, "c")]
        return rhn(*LAMB, gates="htc"[: len(gates)])(w)

    return weights


def torchrecurrent(w):
    """Its weights lie the other way, and have two biases; an MGU's blocks are f, g."""
    return {
        "kernel": tf.transpose(w["weight_ih"]),
        "recurrent_kernel": tf.transpose(w["weight_hh"]),
        "bias": w["bias_ih"] + w["bias_hh"],
    }


def torch(theirs, ours, recurrent="", ours_recurrent=""):
    """The same with other blocks; those of the recurrent weights and their bias may be fewer."""
    recurrent, ours_recurrent = recurrent or theirs, ours_recurrent or ours

    def weights(w):
        given = dict(zip(recurrent, tf.split(w["bias_hh"], len(recurrent)), strict=True))
        added = [given.get(gate, tf.zeros_like(given[recurrent[0]])) for gate in ours]
        return {
            "kernel": reorder(tf.transpose(w["weight_ih"]), theirs, ours),
            "recurrent_kernel": reorder(tf.transpose(w["weight_hh"]), recurrent, ours_recurrent),
            "bias": reorder(w["bias_ih"], theirs, ours) + tf.concat(added, 0),
        }

    return weights


def janet_torchrecurrent(w):
    return torchrecurrent(w) | {"gate_offset": w["beta"][None]}


def minimalrnn_torchrecurrent(w):
    matrices = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "latent_kernel": "weight_mm"}
    found = {ours: tf.transpose(w[theirs]) for ours, theirs in matrices.items()}
    return found | {"input_bias": w["bias_ih"], "bias": w["bias_hh"]}


def ran_torchrecurrent(w):
    """Its blocks are g, i, f, where there is a g."""
    found = torchrecurrent(w)
    return found | {"kernel": reorder(found["kernel"], "gif", "ifg")}


def atr_torchrecurrent(w):
    return torchrecurrent(w) | {"bias": tf.stack([w["bias_ih"], w["bias_hh"]])}


def mut1_torchrecurrent(w):
    """Blocks z, r and that of tanh(x); of the recurrent weights r, g."""
    kernel, (b_z, b_r, p), (b_rh, b_g) = (
        tf.transpose(w["weight_ih"]),
        tf.split(w["bias_ih"], 3),
        tf.split(w["bias_hh"], 2),
    )
    units = p.shape[0]
    return {
        "kernel": kernel[:, : 2 * units],
        "projection_kernel": kernel[:, 2 * units :],
        "projection_bias": p,
        "recurrent_kernel": tf.transpose(w["weight_hh"]),
        "bias": tf.concat([b_z, b_r + b_rh, b_g], 0),
    }


def mut2_torchrecurrent(w):
    found = torchrecurrent(w)
    z, r, g = tf.split(found["kernel"], 3, -1)
    return found | {"kernel": tf.concat([z, g], -1), "projection_kernel": r}


def brc_torchrecurrent(w):
    found = torch("acg", "acg", "ac", "ac")(w | {"weight_hh": tf.transpose(w["weight_hh"][None])})
    return {"recurrent_vector" if name[0] == "r" else name: tf.squeeze(a) for name, a in found.items()}


def fastrnn_torchrecurrent(w):
    return torchrecurrent(w) | {"alpha": w["alpha"], "beta": w["beta"]}


def fastgrnn_torchrecurrent(w):
    found = torchrecurrent(w)
    return found | {"bias": tf.stack(tf.split(found["bias"], 2)), "zeta": w["zeta"], "nu": w["nu"]}


def edgeml(w):
    theirs = {"kernel": "W", "recurrent_kernel": "U"}
    theirs |= {f"{name}_{part}": f"{letter}{i}" for name, letter in theirs.items() for part, i in SIDES.items()}
    found = {ours: w[name] for ours, name in theirs.items() if name in w}
    found |= {name: tf.reshape(w[name], (1,)) for name in ("alpha", "beta", "zeta", "nu") if name in w}
    biases = tf.concat([w[name] for name in ("bias_gate", "bias_update") if name in w], 0)
    return found | {"bias": biases if "bias_gate" in w else biases[0]}


SIDES = {"right": 1, "left": 2}


def nas_tfa(w):
    return {"projection_kernel" if name == "projection_weights" else name: a for name, a in w.items()}


def nas(units, meta):
    """units: of what is put out, which may be projected."""
    made = tfcells.NASCell(meta["shapes"]["recurrent_kernel"][1] // 8, use_bias=bool(meta["use_bias"]), dtype="float64")
    return tfcells.Projection(made, units, dtype="float64") if meta["projection"] else made


def fastgrnn(units, meta):
    ranks = (meta["shapes"].get(name, [None, None])[1] for name in ("W1", "U1"))
    return tfcells.FastGRNNCell(units, *ranks, dtype="float64")


def multiplicative_torchrecurrent(w):
    """The first block of its input kernel is that of the factor."""
    units = w["weight_hh"].shape[0]
    kernel, bias = tf.transpose(w["weight_ih"]), w["bias_ih"]
    return {
        "factor_kernel": kernel[:, :units],
        "factor_recurrent_kernel": tf.transpose(w["weight_hh"]),
        "factor_bias": bias[:units],
        "factor_recurrent_bias": w["bias_hh"],
        "kernel": kernel[:, units:],
        "recurrent_kernel": tf.transpose(w["weight_mh"]),
        "bias": bias[units:] + w["bias_mh"],
    }


def mogrifier_lamb(w):
    theirs = {"_weight_a": "_right", "_weight_b": "_left", "/kernel": "", "_bias": None, "/bias": None}
    found = lstm_lamb(w)
    for name in w:
        if match := re.fullmatch(r"fm_(\d+)(\D.*)", name):
            i, part = match[1], theirs[match[2]]
            ours = f"mogrifier_bias_{i}" if part is None else f"mogrifier_kernel_{i}{part}"
            found[ours] = w[name]
    return found


def min_gru_keras(w):
    return {name: stacked(w, f"{{}}/{name}", ["gate", "candidate"]) for name in ("kernel", "bias")}


def ind_rnn_haste(w):
    return {"kernel": w["kernel"], "recurrent_vector": w["recurrent_scale"], "bias": w["bias"]}


def ind_rnn_haste_norm(w):
    """Its second gain is used by nothing."""
    return ind_rnn_haste(w) | {"gain": w["gamma"][0]}


def ind_rnn_torchrecurrent(w):
    bias = w["bias_ih"] + w["bias_hh"]
    return {"kernel": tf.transpose(w["weight_ih"]), "recurrent_vector": w["vector_u"], "bias": bias}


def gated_antisymmetric_torchrecurrent(w):
    """The recurrent bias is that of the candidate, the second block."""
    bias = w["bias_ih"] + tf.pad(w["bias_hh"], [[tf.size(w["bias_hh"]), 0]])
    return torchrecurrent(w | {"bias_ih": bias, "bias_hh": 0.0})


def cornn_rusch(w):
    """One kernel of [x, z, y]."""
    kernel = tf.transpose(w["i2h.weight"])
    units = kernel.shape[1]
    x, z, y = tf.split(kernel, [kernel.shape[0] - 2 * units, units, units])
    return {"kernel": x, "recurrent_kernel": y, "velocity_kernel": z, "bias": w["i2h.bias"]}


def cornn_torchrecurrent(w):
    w = w | {"bias_ih": w["bias_ih"] + w["bias_ch"]}
    return torchrecurrent(w) | {"velocity_kernel": tf.transpose(w["weight_ch"])}


def lem_rusch(w):
    """Gates e, d, then of the input y and z, of the state z."""
    bias = dict(zip("edyz", tf.split(w["inp2hid.bias"], 4), strict=True))
    for gate, add in zip("edz", tf.split(w["hid2hid.bias"], 3), strict=True):
        bias[gate] += add
    bias["y"] += w["transform_z.bias"]
    return {
        "kernel": reorder(tf.transpose(w["inp2hid.weight"]), "edyz", "dezy"),
        "recurrent_kernel": reorder(tf.transpose(w["hid2hid.weight"]), "edz", "dez"),
        "transform_kernel": tf.transpose(w["transform_z.weight"]),
        "bias": tf.concat([bias[gate] for gate in "dezy"], 0),
    }


def sru_taolei(w):
    """The gates of a unit stand side by side."""
    units = w["bias"].shape[0] // 2
    kernel = tf.reshape(w["weight"], (w["weight"].shape[0], units, -1))
    kernel = tf.reshape(tf.transpose(kernel, (0, 2, 1)), (kernel.shape[0], -1))
    return {"kernel": kernel, "recurrent_vector": w["weight_c"], "bias": w["bias"]}


def qrnn_salesforce(gates):
    """The second gate is the paper's 1 - f."""

    def weights(w):
        signs = np.repeat([1.0, -1.0, 1.0][:gates], w["linear.bias"].shape[0] // gates)
        return {"kernel": signs * tf.transpose(w["linear.weight"]), "bias": signs * w["linear.bias"]}

    return weights


def slstm_nxai(w):
    """The input is the sum of its products; the recurrent kernel is [head, gate and output, input]."""
    kernel = w["_recurrent_kernel_"]
    heads, _, rows = kernel.shape
    kernel = tf.transpose(tf.reshape(kernel, (heads, 4, rows, rows)), (3, 1, 0, 2))
    width = 4 * heads * rows
    return {
        "kernel": tf.eye(width, dtype="float64"),
        "recurrent_kernel": tf.reshape(kernel, (rows, width)),
        "bias": w["_bias_"],
    }


def apart_states(state, units):
    """One array of all states."""
    return tf.unstack(state)


def same(*state, units):
    return state


def swapped(c, h, units):
    """The references' order to ours."""
    return h, c


def hyper_states(c, h, units):
    """Each of theirs is that of the main LSTM, then that of the hyper LSTM."""
    (h, hyper_h), (c, hyper_c) = (tf.split(state, [units, state.shape[1] - units], -1) for state in (h, c))
    return h, c, hyper_h, hyper_c


META = {
    "depth": "depth",
    "hyper_units": "hyper_num_units",
    "embedding_units": "hyper_embedding_size",
    "rounds": "feature_mask_rounds",
    "rank": "feature_mask_rank",
    "leak": "leaky",
    "heads": "num_heads",
} | {name: name for name in ("epsilon", "gamma", "dt", "window", "highway_bias", "rescale")}
"""Arguments of ours, and where a file has them."""


def cell(name, **arguments):
    """A function of the units and the file's `meta` that makes the cell."""

    def make(units, meta):
        made = getattr(tfcells, name)
        found = {ours: meta[theirs] for ours, theirs in META.items() if theirs in meta}
        found = {ours: value for ours, value in found.items() if ours in made.arguments()}
        found |= {"rank": None} if found.get("rank") == 0 else {}
        return made(units, dtype="float64", **arguments | found)

    return make


def wrapped(wrapper, inner, *rates):
    """rates: numbers, or functions of the file's `meta`."""

    def make(units, meta):
        given = [rate(meta) if callable(rate) else rate for rate in rates]
        return wrapper(inner(units, meta), *given, dtype="float64")

    return make


def sru_rescaled(units, meta):
    """With the file's scale, which has single precision."""
    bias = math.log((meta["scale_x"] ** 2 - 1) / 2)
    return cell("SRUCell")(units, meta | {"highway_bias": bias})


def kvp(units, meta):
    """units: of the prediction, one of the parts of the LSTM's output."""
    mode = meta["mode"]
    options = {"include_current": True, "partial_window": False, "dtype": "float64"}
    return tfcells.KVPAttention(LSTM(units * len(mode), meta), meta["window"], mode, **options)


LSTM, GRU = cell("LSTMCell"), cell("GRUCell")
norm = functools.partial(cell, "LayerNormLSTMCell")
hyper = functools.partial(cell, "HyperLSTMCell")
COUPLED, UNCOUPLED = (cell("RHNCell", coupled=coupled) for coupled in (True, False))
HASTE, HASTE_GRU = norm(epsilon=1e-5), cell("LayerNormGRUCell", joint=True, epsilon=1e-5)
HSG = functools.partial(cell, "HighwayStateGateRHNCell")
PEEPHOLES, HYPER, GATE_NORM = cell("PeepholeLSTMCell"), hyper(), norm(norm="gate")
MASKED_RHN = wrapped(tfcells.VariationalDropout, COUPLED, 0.4, 0.3)
MOGRIFIER = functools.partial(cell, "MogrifierLSTMCell", round_biases=True)
IND_RNN = cell("IndRNNCell", activation="tanh")
NORM_IND_RNN = cell("LayerNormIndRNNCell", activation="tanh", epsilon=1e-5)
ESN, CORNN = cell("EchoStateCell"), cell("CoRNNCell")
SRU, QRNN, SLSTM = cell("SRUCell"), cell("QRNNCell"), cell("SLSTMCell")
MULTIPLICATIVE = cell("MultiplicativeLSTMCell", factor_biases=True)


def zoneout(meta):
    return {"h": meta["zoneout_prob"]}


def dropout(meta):
    return 1 - meta["dropout_keep_prob"]


ZONED = [
    (f"hastept_{name}_zoneout_{how}", wrapped(tfcells.Zoneout, inner, zoneout), weights, same)
    for name, inner, weights in (
        ("lstm", LSTM, lstm_haste),
        ("layernormlstm", HASTE, lstm_haste),
        ("gru", GRU, gru_haste),
        ("layernormgru", HASTE_GRU, gru_haste_norm),
        ("indrnn", IND_RNN, ind_rnn_haste),
        ("layernormindrnn", NORM_IND_RNN, ind_rnn_haste_norm),
    )
    for how in ("train", "eval")
]
DROPPED = [
    (f"{name}_recdrop", wrapped(tfcells.RecurrentDropout, inner, dropout), weights, states)
    for name, inner, weights, states in (
        ("lstm_supercell", LSTM, plain(), swapped),
        ("lstm_supercell_ln", GATE_NORM, lstm_supercell_ln, swapped),
        ("hyperlstm_supercell", HYPER, hyperlstm, hyper_states),
        ("hyperlstm_supercell_ln", hyper(layer_norm=True), hyperlstm, hyper_states),
    )
]
ROWS = [
    *ZONED,
    *DROPPED,
    ("ugrnn_torchrecurrent", cell("UGRNNCell"), torch("cg", "gc"), same),
    ("janet_torchrecurrent", cell("JANETCell", train_beta=True), janet_torchrecurrent, same),
    ("minimalrnn_torchrecurrent", cell("MinimalRNNCell"), minimalrnn_torchrecurrent, same),
    ("intersectionrnn_torchrecurrent", cell("IntersectionRNNCell", project=False), torch("ycpq", "pqyc"), same),
    ("cfn_torchrecurrent", cell("CFNCell"), torch("fig", "fig", "fi", "fi"), same),
    ("ran_torchrecurrent", cell("RANCell"), ran_torchrecurrent, same),
    ("atr_torchrecurrent", cell("ATRCell"), atr_torchrecurrent, same),
    ("mut1_torchrecurrent", cell("MUT1Cell", project=True), mut1_torchrecurrent, same),
    ("mut2_torchrecurrent", cell("MUT2Cell", project=True), mut2_torchrecurrent, same),
    ("mut3_torchrecurrent", cell("MUT3Cell"), torchrecurrent, same),
    ("ligru_torchrecurrent", cell("LiGRUCell"), torchrecurrent, same),
    ("lightru_torchrecurrent", cell("LightRUCell"), torch("gf", "fg", "f", "f"), same),
    ("star_torchrecurrent", cell("STARCell"), torch("zk", "kz", "k", "k"), same),
    ("fastrnn_torchrecurrent", cell("FastRNNCell"), fastrnn_torchrecurrent, same),
    ("fastrnn_edgeml", cell("FastRNNCell"), edgeml, same),
    ("fastgrnn_edgeml", fastgrnn, edgeml, same),
    ("fastgrnn_edgeml_lowrank", fastgrnn, edgeml, same),
    ("fastgrnn_sigmoid_torchrecurrent", fastgrnn, fastgrnn_torchrecurrent, same),
    ("brc_torchrecurrent", cell("BRCCell"), brc_torchrecurrent, same),
    ("nbrc_torchrecurrent", cell("NBRCCell"), torch("acg", "acg", "ac", "ac"), same),
    ("originallstm_torchrecurrent", cell("OriginalLSTMCell", doubled=False), torchrecurrent, same),
    *((f"nas_tfa{kind}", nas, nas_tfa, swapped) for kind in ("", "_nobias", "_proj", "_proj_nobias")),
    ("lstm_lamb_cap", cell("LSTMCell", input_gate="capped"), lstm_lamb, swapped),
    ("lstm_lamb_tied", cell("LSTMCell", input_gate="coupled"), lstm_lamb, swapped),
    ("mogrifier_lamb_r5_cap", MOGRIFIER(input_gate="capped"), mogrifier_lamb, swapped),
    ("mogrifier_lamb_r5_tied", MOGRIFIER(input_gate="coupled"), mogrifier_lamb, swapped),
    (
        "simplernn_layernorm_tfa",
        cell("LayerNormElmanCell", epsilon=1e-5),
        simplernn_layernorm_tfa,
        same,
    ),
    ("mgu_torchrecurrent", cell("MGUCell"), torchrecurrent, same),
    ("mingru_keras", cell("MinGRUCell"), min_gru_keras, same),
    ("mogrifier_lamb_r5", MOGRIFIER(), mogrifier_lamb, swapped),
    ("mogrifier_lamb_r4_rank2", MOGRIFIER(), mogrifier_lamb, swapped),
    ("multiplicativelstm_torchrecurrent", MULTIPLICATIVE, multiplicative_torchrecurrent, same),
    ("hastept_indrnn", IND_RNN, ind_rnn_haste, same),
    ("hastept_layernormindrnn", NORM_IND_RNN, ind_rnn_haste_norm, same),
    ("indrnn_torchrecurrent", IND_RNN, ind_rnn_torchrecurrent, same),
    ("indrnn_relu_torchrecurrent", cell("IndRNNCell"), ind_rnn_torchrecurrent, same),
    ("antisymmetricrnn_torchrecurrent", cell("AntisymmetricRNNCell"), torchrecurrent, same),
    (
        "gatedantisymmetricrnn_torchrecurrent",
        cell("GatedAntisymmetricRNNCell"),
        gated_antisymmetric_torchrecurrent,
        same,
    ),
    ("cornn_rusch", CORNN, cornn_rusch, same),
    ("cornn_torchrecurrent", CORNN, cornn_torchrecurrent, same),
    ("lem_rusch", cell("LEMCell"), lem_rusch, same),
    ("esn_tfa", ESN, dict, same),
    ("esn_tfa_leaky", ESN, dict, same),
    ("sru_taolei", SRU, sru_taolei, same),
    ("sru_tanh_taolei", cell("SRUCell", activation="tanh"), sru_taolei, same),
    ("sru_sq_taolei", SRU, sru_taolei, same),
    ("sru_sq_rescale_taolei", sru_rescaled, sru_taolei, same),
    ("qrnn_w1_salesforce", QRNN, qrnn_salesforce(3), same),
    ("qrnn_w2_salesforce", QRNN, qrnn_salesforce(3), same),
    ("qrnn_w2_f_salesforce", cell("QRNNCell", pooling="f"), qrnn_salesforce(2), same),
    ("slstm_nxai_heads1", SLSTM, slstm_nxai, apart_states),
    ("slstm_nxai_heads2", SLSTM, slstm_nxai, apart_states),
    ("slstm_nxai_heads1_zerostate", SLSTM, slstm_nxai, apart_states),
    ("slstm_nxai_heads2_zerostate", SLSTM, slstm_nxai, apart_states),
    ("lstm_peephole_tfa", PEEPHOLES, peephole_tfa, same),
    ("peepholelstm_torchrecurrent", PEEPHOLES, peephole_torchrecurrent, same),
    ("gru_layernorm_haste", HASTE_GRU, gru_haste_norm, same),
    ("hastept_layernormgru", HASTE_GRU, gru_haste_norm, same),
    ("rhn_asahi_hsg", HSG(), hsg("ht"), same),
    ("rhn_asahi_hsg_uncoupled", HSG(coupled=False), hsg("htc"), same),
    ("lstm_supercell", LSTM, plain(), swapped),
    ("lstm_asahi", LSTM, lstm_asahi, swapped),
    *((f"kvp_asahi_{mode}_softmaxfixed", kvp, kvp_asahi, swapped) for mode in ("k", "kv", "kvp")),
    ("lstm_lamb", LSTM, lstm_lamb, swapped),
    ("hastept_lstm", LSTM, lstm_haste, same),
    ("lstm_supercell_ln", GATE_NORM, lstm_supercell_ln, swapped),
    ("lstm_asahi_ln", norm(norm="gate", cell_norm=None, epsilon=1e-4), lstm_asahi_ln, swapped),
    ("lstm_lamb_ln", norm(epsilon=1e-9), lstm_lamb_ln, swapped),
    ("lstm_layernorm_tfa", norm(cell_norm="carry"), lstm_layernorm_tfa, same),
    ("lstm_layernorm_haste", HASTE, lstm_haste, swapped),
    ("hastept_layernormlstm", HASTE, lstm_haste, same),
    ("gru_haste", GRU, gru_haste, same),
    ("hastept_gru", GRU, gru_haste, same),
    ("hyperlstm_supercell", HYPER, hyperlstm, hyper_states),
    ("hyperlstm_supercell_ln", hyper(layer_norm=True), hyperlstm, hyper_states),
    ("rhn_jzilly_ones", COUPLED, rhn_jzilly, same),
    ("rhn_jzilly_masks", MASKED_RHN, rhn_jzilly, same),
    ("rhn_asahi", COUPLED, rhn(*ASAHI, first=1), same),
    ("rhn_asahi_uncoupled", UNCOUPLED, rhn(*ASAHI, gates="htc", first=1), same),
    ("rhn_lamb_tied", COUPLED, rhn_lamb("hc"), same),
    ("rhn_lamb_untied", UNCOUPLED, rhn_lamb("hct"), same),
]

DEFECTS = [
    ("nas_torchrecurrent", cell("NASCell"), torchrecurrent, same),  # adds x_3 and u_3
    ("fastgrnn_default_torchrecurrent", fastgrnn, fastgrnn_torchrecurrent, same),  # the gate is a tanh
]
"""Files whose code is not what the paper and its authors' code say: our numbers must differ."""


def read(file, kind):
    """The arrays under a name, by what follows it; the scope that all weights share is left out."""
    found = {name.removeprefix(kind): file[name] for name in file.files if name.startswith(kind)}
    scopes = {name.split("/")[0] for name in found}
    if kind.endswith("weight/") and len(scopes) == 1:
        found = {name.split("/", 1)[1]: a for name, a in found.items()}
    return found


def test_every_file_has_a_row():
    names = [name for name, *_ in ROWS + DEFECTS]
    assert len(set(names)) == len(names)
    assert FILES, f"no files in {GOLDEN}"
    assert GOLDEN != OWN or FILES == sorted(names)


@pytest.mark.parametrize("name", FILES)
def test_numbers_of_the_reference(name, monkeypatch):
    row = next((row for row in ROWS + DEFECTS if row[0] == name), None)
    if row is None and GOLDEN != OWN:
        pytest.skip(f"no row for {name}")
    _, make_cell, weights_of, states_of = row
    file = np.load(GOLDEN / f"{name}.npz")
    features, units = file["input/x"].shape[-1], file["output/y"].shape[-1]
    meta = {key: value.item() for key, value in read(file, "meta/").items()}
    states_of = functools.partial(states_of, units=units)
    x, weights = tf.constant(file["input/x"]), read(file, "weight/")
    meta["shapes"] = {key: value.shape for key, value in weights.items()}
    weights = {key: tf.constant(value) for key, value in weights.items()}
    # From zeros the reference's gradient is that of a branch; there the cell begins with its own state.
    starts = () if name.endswith("_zerostate") else read(file, "input/state/").values()
    states = [tf.constant(a) for a in starts]
    drawn = list(read(file, "mask/").values())

    def mask_of(shape, rate, *_, axis=0):
        same = [place for place, a in enumerate(drawn) if a.shape == tuple(map(int, shape))]
        mask = drawn.pop(same[0])  # as the file has them: of the inputs, then of the state
        return mask if mask.max() > 1 else mask / (1 - rate)

    monkeypatch.setattr("tfcells.masks.dropout_mask", mask_of)
    monkeypatch.setattr("tfcells.masks.keep_mask", lambda *given, axis=0: mask_of(*given) != 0)
    options = {"return_sequences": True, "return_state": True, "dtype": "float64", "jit_compile": False}
    layer = tfcells.RNN(make_cell(units, meta), **options)
    layer.build((None, None, features))
    training = meta.get("training", True)
    with tf.GradientTape() as tape:
        tape.watch([x, *states, *weights.values()])
        ours, given = weights_of(weights), list(states_of(*states)) if states else None
        assert len(ours) == len(layer.weights)
        if given:  # what a reference has no state for begins as the cell has it
            given += layer.get_initial_state(len(x))[len(given) :]
        with keras.StatelessScope([(v, ours[v.name]) for v in layer.weights]):
            y, *final = layer(x, initial_state=given, training=training)
        loss = tf.reduce_sum(y * file["R"])
    if row in DEFECTS:
        assert np.abs(y - file["output/y"]).max() > 1e-3
        return
    found = tape.gradient(loss, [x, *states, *weights.values()])
    wanted = [file["grad/input/x"], *[*read(file, "grad/input/state/").values()][: len(states)]]
    wanted += [read(file, "grad/weight/")[key] for key in weights]
    last = states_of(*map(tf.constant, read(file, "output/state/").values()))
    for a, b in zip([y, *final[: len(last)], *found], [file["output/y"], *last, *wanted], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
