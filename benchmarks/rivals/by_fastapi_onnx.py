"""FastAPI over ONNX Runtime, the least of it: nothing is validated, nothing counted."""

import os
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from rivals.session import Session

app, session = FastAPI(), Session()


@app.post("/predict")
async def predict(request: Request) -> Any:
    return JSONResponse(session.predict((await request.json())["instances"]))


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["ML_PORT"]), log_level="warning", access_log=False)
