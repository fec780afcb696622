"""Names that MLflow accepts, of any names; pure."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable

NAME_LENGTH = 250  # characters


def name_of(name: str) -> str:
    """Return a name that MLflow accepts: other characters become underscores."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:NAME_LENGTH]
    # MLflow takes names as paths, and refuses a path that has a shorter form.
    return "/".join(part if part.strip(".") else "_" for part in allowed.split("/"))


def path_of(path: str) -> str:
    """Return an artifact's path that MLflow accepts: other characters become underscores."""
    return re.sub(r"[^\w\-. /+=@,()]", "_", path)


def apart(names: Iterable[str], accepted: Callable[[str], str] = name_of) -> dict[str, str]:
    """Return each name as it is accepted; where two would become one, with a part of its digest."""
    taken = {name: accepted(name) for name in names}
    count = Counter(taken.values())
    return {
        name: own if count[own] == 1 or own == name else _marked(name, own) for name, own in taken.items()
    }


def _marked(name: str, own: str) -> str:
    stem, dot, ending = own.rpartition(".") if "." in own.rpartition("/")[2] else (own, "", "")
    mark = f"_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return f"{stem[: NAME_LENGTH - len(mark) - len(ending) - 1]}{mark}{dot}{ending}"
