"""FastAPI over torch, as services are mostly written: a pydantic model of the request, a plain function."""

import os
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

from rivals.model import CENTRE, CLASSES, LAYERS, NUMBERS, SCALE, TEXTS, WORDS


class Network(torch.nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        arrays = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
        tables = [torch.nn.Embedding.from_pretrained(arrays[f"table {name}"]) for name in TEXTS]
        self.tables, layers = torch.nn.ModuleList(tables), []
        for at in range(LAYERS + 1):
            matrix = arrays[f"matrix {at}"]
            layers.append(torch.nn.Linear(*matrix.shape))
            layers[-1].weight.data, layers[-1].bias.data = matrix.T.contiguous(), arrays[f"bias {at}"]
        self.layers = torch.nn.ModuleList(layers)

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        parts = [(numbers - CENTRE) / SCALE, *[table(codes[:, i]) for i, table in enumerate(self.tables)]]
        values = torch.cat(parts, dim=1)
        for layer in self.layers[:-1]:
            values = torch.relu(layer(values))
        return torch.softmax(self.layers[-1](values), dim=1)


Row: Any = create_model("Row", **dict.fromkeys(NUMBERS, (float, ...)), **dict.fromkeys(TEXTS, (str, ...)))


class Rows(BaseModel):
    instances: list[Row]


torch.set_num_threads(1)
app, network = FastAPI(), Network(f"{os.environ['ML_MODEL']}/weights.npz").eval()
codes = {word: code for code, word in enumerate(WORDS, 1)}


@app.post("/predict")
def predict(request: Rows) -> dict[str, Any]:
    rows = [row.model_dump() for row in request.instances]
    numbers = torch.tensor([[row[name] for name in NUMBERS] for row in rows])
    texts = torch.tensor([[codes.get(row[name], 0) for name in TEXTS] for row in rows])
    with torch.inference_mode():
        probabilities = network(numbers, texts)
    labels = [CLASSES[index] for index in probabilities.argmax(dim=1).tolist()]
    return {"predictions": labels, "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["ML_PORT"]), log_level="warning", access_log=False)
