"""The functions and flags that the module has, to hold against what files and documents name."""

import inspect
import shlex

from ml_pipeline.main import MlPipeline


def kebab(name: str) -> str:
    return name.replace("_", "-")


FUNCTIONS = {
    kebab(name): {kebab(parameter) for parameter in inspect.signature(member).parameters} - {"self"}
    for name, member in inspect.getmembers(MlPipeline, inspect.isfunction)
    if not name.startswith("_")
}
OPTIONS = {kebab(name) for name in inspect.signature(MlPipeline).parameters}
CHAINED = {"export", "up"}  # what the command line offers on a returned object; their flags are its own


def calls(text: str) -> list[list[str]]:
    """Return the words of each `dagger call` in a text, without those two and what the shell adds."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [line.partition("dagger call ")[2] for line in lines if "dagger call " in line]
    return [shlex.split(call.partition("|")[0].partition(" > ")[0].rstrip(" &`")) for call in found]


def mistakes(words: list[str]) -> list[str]:
    """Return the words of one call that the module does not know."""
    if words[:1] == ["-m"]:
        words = words[2:]
    names = [word for word in words if not word.startswith("-")]
    function = names[0]
    if function not in FUNCTIONS:
        return [function]
    position = words.index(function)
    known = [(word, OPTIONS) for word in words[:position]]
    for word in words[position + 1 :]:
        if word in CHAINED:
            break
        known.append((word, FUNCTIONS[function]))
    return [word for word, flags in known if word.removeprefix("--").partition("=")[0] not in flags]
