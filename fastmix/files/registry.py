"""Classes by their names: what a file may name, and where such a class says so itself."""

from __future__ import annotations

from collections.abc import Iterator


class Registry:
    """Classes that files know by name; each is added where it is defined.

    Parameters
    ----------
    what : what the classes are, for messages.
    """

    def __init__(self, what: str):
        self._what = what
        self._classes: dict[str, dict[tuple[str, str], type]] = {}  # by name, then by module and qualified name

    def add(self, cls: type) -> type:
        """Add a class, which may be used as a decorator; one that is defined again takes the place of what it was."""
        self._classes.setdefault(cls.__name__, {})[cls.__module__, cls.__qualname__] = cls
        return cls

    def __contains__(self, cls: object) -> bool:
        """Whether the class itself, not another one of its name, was added."""
        known = self._classes.get(getattr(cls, "__name__", ""), {})
        return any(each is cls for each in known.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def named(self, name: object) -> type:
        """The class of a name.

        Raises
        ------
        ValueError : where there is none of that name, or several.
        """
        known = list(self._classes.get(name, {}).values()) if isinstance(name, str) else []
        if not known:
            raise ValueError(f"no {self._what} is called {name!r} here: import the module that defines it first")
        if len(known) > 1:
            modules = " and ".join(sorted(each.__module__ for each in known))
            raise ValueError(
                f"{name!r} is the name of several classes, in {modules}: give each {self._what} its own name"
            )
        return known[0]
