"""What ended a stage that wrote no outcome, in words: from the engine's errors and a container's end."""

import re

import dagger

from ml_pipeline.common.lines import last_line

READ_LOG = "read the stage's log above"
NOTHING = "printed nothing"
# Calls of one engine share results, also those of folders with other names but the same files. Until 0.19 a
# result names the folder of the call that made it, and is looked for there when that call has ended.
ANOTHER_FOLDER = "get full root path"
ENDED = "another call on this engine, with the same files in another folder, ended meanwhile"


def reason(error: dagger.DaggerError) -> str:
    """Return an engine's error as one line, without the number of its trace; of a command, its last words."""
    text = error.stderr if isinstance(error, dagger.ExecError) else str(error)
    line = last_line(re.sub(r"\s*\[traceparent:[^]]*]", "", text))
    return line or f"the command {NOTHING}"


def told(error: dagger.DaggerError, hint: str) -> tuple[str, str]:
    """Return an engine's error as one line, and what to do: `hint`, unless there is something better."""
    return (ENDED, "call again") if ANOTHER_FOLDER in str(error) else (reason(error), hint)


async def explain(container: dagger.Container, error: dagger.QueryError | None = None) -> tuple[str, str]:
    """Return why a stage in `container` ended without an outcome, and what to do.

    `error` is what reading the outcome came to; asking for the exit code gives the cause in more detail.
    """
    try:
        code = await container.exit_code()
        line = last_line(await container.stderr())
    except dagger.ExecError as failure:
        if failure.exit_code == 137:
            return "ran out of memory or was killed (exit 137)", "give the engine more memory"
        return f"could not be prepared: {reason(failure)} (exit {failure.exit_code})", READ_LOG
    except dagger.QueryError as failure:
        return _not_started(error or failure)
    if not line:
        return f"exited with code {code} and {NOTHING}", READ_LOG
    return f"exited with code {code}: {line}", READ_LOG


def _not_started(error: dagger.QueryError) -> tuple[str, str]:
    cause, hint = told(error, READ_LOG)
    if "GPU support is not enabled" in cause:
        cause = "a GPU was asked for (--gpu=on), but the engine has no GPU support"
        return cause, "run the engine with it on a machine that has a GPU, or pass --gpu=off"
    return (cause, hint) if cause == ENDED else (f"could not be started: {cause}", hint)
