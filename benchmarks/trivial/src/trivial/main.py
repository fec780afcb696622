"""One function that does nothing, so that its call is what any call costs."""

from dagger import function, object_type


@object_type
class Trivial:
    """The least that a module can be."""

    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    def answer(self) -> str:
        """Return the answer."""
        return "42"
