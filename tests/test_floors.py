"""The house: what may import what. Imports point down, and nothing imports itself by a detour."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fastmix

PACKAGE = Path(fastmix.__file__).parent
# The floor of each room and of each module at the top, as docs/architecture.md has them.
FLOORS = {
    "__main__": 12,
    "__init__": 11,
    **dict.fromkeys(("cli", "profiling"), 10),
    **dict.fromkeys(("estimators", "backend", "conditional"), 9),
    "fitting": 8,
    "starts": 7,
    "engines": 6,
    "families": 5,
    "data": 4,
    "kernels": 3,
    "files": 2,
    **dict.fromkeys(("exceptions", "_version", "datasets"), 1),
}
MOST_LINES = 400


def sources(package: Path) -> dict[str, Path]:
    """The files of a package by module name; that of a folder is its ``__init__``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {whole[name] if whole[name] in modules else str(node.module) for name in whole}
    return found & modules.keys()


def room(module: str) -> str:
    """The folder, or file, at the top of the package that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def upward(package: Path, floors: dict[str, int]) -> list[str]:
    """The imports that point up."""
    modules = sources(package)
    return [
        f"{module} imports {imported}"
        for module, path in modules.items()
        for imported in sorted(imports(path, modules))
        if floors[room(imported)] > floors[room(module)]
    ]


def in_a_circle(package: Path) -> list[str]:
    """Modules that import each other in a circle, if there are any."""
    modules = sources(package)
    try:
        TopologicalSorter({module: imports(path, modules) for module, path in modules.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_everything_at_the_top_has_its_floor():
    assert {room(module) for module in sources(PACKAGE)} == FLOORS.keys()


def test_imports_point_down():
    assert upward(PACKAGE, FLOORS) == []


def test_no_circle():
    assert in_a_circle(PACKAGE) == []


@pytest.mark.parametrize("name", ["import", "from", "member", "lazy"])
def test_an_import_that_points_up_is_found(tmp_path, name):
    """Each way of saying it; the other module is in a room of its own."""
    said = {
        "import": "import house.roof.tiles",
        "from": "from house.roof.tiles import red",
        "member": "from house.roof import tiles",
        "lazy": "def f():\n    from house.roof.tiles import red",
    }
    for folder in ("roof", "cellar"):
        (tmp_path / "house" / folder).mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "roof" / "__init__.py").touch()
    (tmp_path / "house" / "cellar" / "__init__.py").touch()
    (tmp_path / "house" / "roof" / "tiles.py").write_text("import house.cellar.coal\n")
    (tmp_path / "house" / "cellar" / "coal.py").write_text(said[name] + "\n")
    package = tmp_path / "house"
    assert upward(package, {"__init__": 3, "roof": 2, "cellar": 1}) == ["house.cellar.coal imports house.roof.tiles"]
    assert {"house.cellar.coal", "house.roof.tiles"} <= set(in_a_circle(package))


def test_no_module_is_long():
    lengths = {module: len(path.read_text().splitlines()) for module, path in sources(PACKAGE).items()}
    assert {module: n for module, n in lengths.items() if n > MOST_LINES} == {}


def test_type_checkers_see_the_names_that_the_package_imports():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: "" if node.module == "fastmix" else node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == fastmix._MODULES
    for name in fastmix.__all__:
        assert getattr(fastmix, name) is not None
    assert set(fastmix.__all__) <= set(dir(fastmix))
    with pytest.raises(AttributeError, match="no attribute 'Gaussian'"):
        _ = fastmix.Gaussian
