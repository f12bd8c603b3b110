"""The language models of recipes/penn_treebank.py, of the target `lstm`, as a user of PyTorch has them."""

import numpy as np
import torch

from benchmarks.peers.layers import BuiltIn


class Network(torch.nn.Module):
    """(tokens, state) -> (logits, state), both sequences time-major."""

    def __init__(self, recipe, weights: list[np.ndarray]):
        super().__init__()
        embedding, *layers, kernel, bias = weights
        self.embedding = torch.nn.Embedding.from_pretrained(torch.tensor(embedding), freeze=False)
        self.drop = torch.nn.Dropout(recipe.dropout)
        self.layers = BuiltIn("LSTM", layers)
        self.layers.net.dropout = recipe.dropout
        self.output = torch.nn.Linear(*kernel.shape)
        self.output.weight.data = torch.tensor(kernel.T.copy())
        self.output.bias.data = torch.tensor(bias)

    def forward(self, tokens, state=None):
        x, state = self.layers.net(self.drop(self.embedding(tokens)), state)
        return self.output(self.drop(x)), state


class Training:
    """Trains in a loop. x, y: (batches, rows, steps)."""

    def __init__(self, recipe, x, y, weights):
        self.network, self.clip_norm = Network(recipe, weights), recipe.clip_norm
        # tfcells and Keras have one bias a gate: of PyTorch's two, train but one.
        fixed = [p for name, p in self.network.named_parameters() if "bias_hh" in name]
        for parameter in fixed:
            parameter.requires_grad_(False)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, recipe.learning_rate)
        self.x, self.y = (torch.tensor(np.ascontiguousarray(part.swapaxes(1, 2)), dtype=torch.long) for part in (x, y))

    def epoch(self, batches: int | None = None) -> float:
        """Train on so many batches, or all, from the zero state; the mean loss."""
        state, losses = None, []
        for x, y in zip(self.x[:batches], self.y[:batches], strict=True):
            logits, state = self.network(x, state)
            state = tuple(part.detach() for part in state)
            loss = len(x) * torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    def weights(self) -> list[np.ndarray]:
        network = self.network
        return [
            network.embedding.weight.detach().numpy().copy(),
            *(array.copy() for array in network.layers.arrays()),
            network.output.weight.detach().numpy().T.copy(),
            network.output.bias.detach().numpy().copy(),
        ]
