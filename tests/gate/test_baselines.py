"""Images to compare with that this project did not build."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.calls import Dagger, Project
from tests.conftest import Lab

pytestmark = pytest.mark.engine

# All that it has is the Open Inference Protocol: a rule of thumb on one column.
SERVER = """
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        described = {"name": "thumb", "inputs": [{"name": "COLUMN", "datatype": "FP64", "shape": [-1]}]}
        said = {"/v2/health/ready": {}, "/v2/models/PROJECT": described}.get(self.path)
        if self.path == "/v2/models/thumb/infer":
            values = json.loads(body)["inputs"][0]["data"]
            labels = ["ABOVE" if value > LIMIT else "BELOW" for value in values]
            output = {"name": "label", "datatype": "BYTES", "shape": [len(labels)], "data": labels}
            said = {"outputs": [output]}
        text = json.dumps(said).encode()
        self.send_response(404 if said is None else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
"""


def rule(**words: str) -> str:
    """Return the server's program with its words put in."""
    program = SERVER
    for name, word in words.items():
        program = program.replace(name.upper(), word)
    return program


THUMB = rule(project="tumours", column="radius", limit="15", above="malignant", below="benign")


def publish(dagger: Dagger, address: str, program: str) -> str:
    """Build an image that runs a program, push it, and return its reference by digest."""
    words = [
        "from",
        "--address=python:3.13-slim",
        "with-new-file",
        "--path=/server.py",
        f"--contents={program}",
    ]
    words += ["with-exposed-port", "--port=9000", "with-entrypoint", "--args=python3,/server.py"]
    done = dagger.core(*words, "publish", f"--address={address}")
    assert done.code == 0, done.log
    return done.out.strip()


@pytest.mark.timeout(700)
def test_a_service_of_another_maker(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    other = publish(dagger, f"{lab.registry}/others/thumb:1", THUMB)
    bounds = "{min = 0.85, max_regression = 0}"
    tumours.replace("ml-pipeline.toml", "{min = 0.85}", f"{bounds}\nlatency_p95_ms = {{max_regression = 0}}")
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    assert answer.code == 0, answer.errors
    row = re.search(r"\| `accuracy` \| (0\.9\d*) .*\| (0\.[89]\d*) \((?:\+0|0)", answer.out)
    assert row, answer.out
    assert float(row[1]) > float(row[2]), "the rule of thumb is worse"
    assert "| `latency_p95_ms` | " in answer.out
    assert "no baseline to compare with" in answer.out, "it has no /predict to be timed"


@pytest.mark.timeout(700)
def test_a_service_that_speaks_no_protocol(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    other = publish(dagger, f"{lab.registry}/others/mute:1", THUMB.replace("/v2/", "/v9/"))
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    line = (
        "predict-baseline: the image has no /v2/health/ready; "
        "use an image that speaks this project's protocol or the Open Inference one"
    )
    assert (answer.code, answer.errors) == (1, [line])


def test_a_baseline_that_can_not_be_pulled(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    """The command line itself asks for it, before the module is called."""
    name = f"{lab.registry}/nobody/nothing:1"
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={name}")
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith(f'failed to get value for argument "baseline": failed to resolve image "{name}"')
    assert line.endswith(": not found")


def test_a_baseline_that_answers_another_number_of_rows(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    program = THUMB.replace("for value in values]", "for value in values[1:]]")
    other = publish(dagger, f"{lab.registry}/others/short:1", program)
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    line = (
        "predict-baseline: the baseline answered 113 rows with label BYTES [112], not with a label or a "
        "number for each row; use a baseline that reads the data's columns and follows the Open Inference "
        "Protocol v2"
    )
    assert (answer.code, answer.errors) == (1, [line])


def test_a_baseline_that_lies_about_its_classes(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    """It would be wrong in every row, and no candidate could be worse."""
    program = rule(project="tumours", column="radius", limit="15", above="cruel", below="kind")
    other = publish(dagger, f"{lab.registry}/others/liar:1", program)
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    assert answer.code == 1
    (line,) = answer.errors
    assert re.fullmatch(
        r"validate-gate: the baseline answers '(kind|cruel)', which is not one of the model's classes "
        r"\['benign', 'malignant'\]; use a baseline that was trained on the same target",
        line,
    )


@pytest.mark.timeout(700)
def test_recorded_requests_are_answered_by_both(dagger: Dagger, lab: Lab, tumours: Project) -> None:
    header, *rows = (tumours.path / "data/tumours.csv").read_text().splitlines()
    names = header.split(",")[:-1]
    recorded = [dict(zip(names, map(float, row.split(",")[:-1]), strict=True)) for row in rows[:200]]
    lines = [json.dumps({"instances": recorded[:50]}), *map(json.dumps, recorded[50:])]
    tumours.write("data/asked.jsonl", "\n".join(lines))
    tumours.replace(
        "ml-pipeline.toml", 'positive = "malignant"', 'positive = "malignant"\nrequests = "data/asked.jsonl"'
    )
    gate = "{min = 0.85}\nshadow_agreement = {min = 0.99}"
    tumours.replace("ml-pipeline.toml", "{min = 0.85}", gate)
    other = publish(dagger, f"{lab.registry}/others/thumb:1", THUMB)
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    assert answer.code == 1
    (line,) = answer.errors
    assert re.match(
        r"validate-gate: shadow_agreement 0\.\d+ on 200 recorded requests is below min 0\.99 ", line
    ), line
    tumours.write("data/asked.jsonl", lines[-1] + "\n" + json.dumps({"radius": "wide"}))
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={other}")
    (line,) = answer.errors
    assert line.startswith(
        "prepare-requests: data/asked.jsonl line 2: radius: expected a number, got 'wide'; "
    )
    answer = dagger.call(tumours.path, "validate-gate")
    assert answer.code == 0, "there is nothing to compare with"


@pytest.mark.timeout(600)
def test_a_candidate_that_is_worse_on_one_slice_only_is_stopped_and_the_slice_named(
    dagger: Dagger, lab: Lab, tmp_path: Path
) -> None:
    """In what it was trained on, the answers of one tenth of the rows, the south's, are turned round."""
    random = np.random.default_rng(0)
    header = "x,y,region,answer"
    for name, rows, turned in (("train", 4000, True), ("holdout", 2000, False)):
        x, y, south = random.normal(size=rows), random.normal(size=rows), random.random(rows) < 0.1
        right = (x > 0) ^ (south & turned)
        lines = [
            f"{a:.4f},{b:.4f},{'south' if c else 'north'},{'yes' if d else 'no'}"
            for a, b, c, d in zip(x, y, south, right, strict=True)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "ml-pipeline.toml").write_text(
        'name = "turned"\ntask = "classification"\n\n'
        '[data]\npath = "train.csv"\ntarget = "answer"\nholdout = "holdout.csv"\n\n'
        "[gates]\naccuracy = {min = 0.8, max_regression = 0.15}\n"
        "worst_slice_accuracy = {max_regression = 0.05}\n"
    )
    program = rule(project="turned", column="x", limit="0", above="yes", below="no")
    production = publish(dagger, f"{lab.registry}/others/turned:1", program)
    answer = dagger.call(tmp_path, "validate-gate", f"--baseline={production}")
    assert answer.code == 1
    (line,) = answer.errors
    named = r"worst_slice_accuracy [01]\S* worse than the baseline on region = south \(\d+ rows\), "
    assert re.match(f"validate-gate: {named}max_regression is 0.05", line), line
