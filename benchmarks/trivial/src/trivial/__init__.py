"""The least that a module can be: what any call costs before it does anything."""

from typing import Annotated

import dagger
from dagger import Doc, function, object_type


@object_type
class Trivial:
    """One function."""

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def entries(self, source: Annotated[dagger.Directory, Doc("Any folder")]) -> int:
        """Count what stands in a folder."""
        return len(await source.entries())
