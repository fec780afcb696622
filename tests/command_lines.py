"""The functions and flags of the module, to compare with those that files and documents name."""

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
CHAINED = {"export", "up"}  # functions of Dagger on a returned object; their flags are not checked


def calls(text: str) -> list[list[str]]:
    """Return the words after `dagger call` of each call in a text, without pipes and redirections."""
    lines = text.replace("\\\n", " ").splitlines()
    commands = [line.partition("dagger call ")[2] for line in lines if "dagger call " in line]
    return [shlex.split(call.partition("|")[0].partition(" > ")[0].rstrip(" &`")) for call in commands]


def mistakes(words: list[str]) -> list[str]:
    """Return the words of one call that the module does not know."""
    if words[:1] == ["-m"]:
        words = words[2:]
    names = [word for word in words if not word.startswith("-")]
    function = names[0]
    if function not in FUNCTIONS:
        return [function]
    position = words.index(function)
    checked = [(word, OPTIONS) for word in words[:position]]
    for word in words[position + 1 :]:
        if word in CHAINED:
            break
        checked.append((word, FUNCTIONS[function]))
    return [word for word, flags in checked if word.removeprefix("--").partition("=")[0] not in flags]
