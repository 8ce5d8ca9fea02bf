"""What `help()` shows: arguments under their own names, exceptions, shapes, and where a part of a network is from."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Union

import pytest
from paddle import nn

import paddleseg_ext
from paddleseg_ext.config.train import TrainConfig
from paddleseg_ext.registry import HEADS, REGISTRIES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "paddleseg_ext"
AT_RUN_TIME = {"TrainConfig": TrainConfig}  # classes whose docstrings are made from their fields
FEW = 3  # arguments that a sentence tells of by itself

ENTRY = re.compile(r"^ {4}(?:- )?(\*{0,2}\w+(?:, \w+)*):", re.M)
IMPORT = re.compile(r"^from (paddleseg_ext[\w.]*) import (\w+(?:, \w+)*)", re.M)
SHAPE = re.compile(r"\(.+,.*\)|any shape|scalar")

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
Parent = Union[ast.Module, ast.ClassDef]


def section(text: str, name: str) -> str:
    """What a section of a docstring holds; ``""`` where there is none."""
    found = re.search(rf"^{name}:\n((?: .*\n?|\n)+)", text, re.M)
    return found[1] if found else ""


def entries(text: str, name: str) -> list[str]:
    """The names that a section tells of."""
    return [entry for line in ENTRY.findall(section(text, name)) for entry in line.split(", ")]


def is_told(text: str, taken: list[str]) -> bool:
    """Whether all arguments stand under Args, in their order and no others; or, if they are tensors, under Shape."""
    told = entries(text, "Args")
    return told == taken or not told and set(taken) <= set(entries(text, "Shape"))


# Every file: what docstrings tell is true of the code, and what the code raises is told.


def public(parent: Parent) -> Iterator[ast.ClassDef | Function]:
    for node in parent.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node


def arguments_of(node: Function, of_class: bool) -> list[str]:
    taken = node.args
    names = [entry.arg for entry in (*taken.posonlyargs, *taken.args)]
    names = names[1:] if of_class and names[:1] in (["self"], ["cls"]) else names
    names += [f"*{taken.vararg.arg}"] if taken.vararg and taken.vararg.arg != "_" else []
    names += [entry.arg for entry in taken.kwonlyargs]
    return [*names, f"**{taken.kwarg.arg}"] if taken.kwarg else names


def fields_of(node: ast.ClassDef) -> list[str]:
    """Fields of a dataclass; none of any other class."""
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    targets = [item.target for item in node.body if is_dataclass and isinstance(item, ast.AnnAssign)]
    return [item.id for item in targets if isinstance(item, ast.Name) and not item.id.startswith("_")]


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> set[str]:
    """Exceptions that a function makes and lets out; those of functions that are defined in it are not its own."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        name = node.exc.func.attr if isinstance(node.exc.func, ast.Attribute) else getattr(node.exc.func, "id", "")
        return {name} - caught if name[:1].isupper() else set()
    found: set[str] = set()
    for item in ast.iter_child_nodes(node):
        if isinstance(item, (ast.stmt, ast.ExceptHandler)) and not isinstance(item, ast.FunctionDef):
            inside = isinstance(node, ast.Try) and item in node.body
            found |= raised(item, caught | handled(node) if inside else caught)
    return found


def handled(node: ast.Try) -> set[str]:
    kinds = [item for handler in node.handlers if handler.type for item in ast.walk(handler.type)]
    return {item.id for item in kinds if isinstance(item, ast.Name)}


def lacking(text: str, taken: list[str], raised: set[str]) -> Iterator[str]:
    told = entries(text, "Args")
    if (told or len(taken) > FEW) and not is_told(text, taken):
        yield f"Args are {', '.join(told) or 'missing'}, not {', '.join(taken)}"
    if left := raised - set(entries(text, "Raises")):
        yield f"no Raises of {', '.join(sorted(left))}"


def lacking_in_class(node: ast.ClassDef, text: str) -> Iterator[str]:
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    made, checked = methods.get("__init__"), methods.get("__post_init__")
    own, attributes = fields_of(node), entries(text, "Attributes")
    needed = not entries(text, "Args") and (attributes or len(own) > FEW and node.name not in AT_RUN_TIME)
    if needed and attributes[: len(own)] != own:
        yield f"Attributes are {', '.join(attributes) or 'missing'}, not {', '.join(own)}"
    taken = arguments_of(made, True) if made else own if entries(text, "Args") else []
    yield from lacking(text, taken, raised(made or checked or ast.Pass()))


def lacking_in(parent: Parent, where: str) -> Iterator[str]:
    for node in public(parent):
        text, name = ast.get_docstring(node) or "", f"{where}: {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from (f"{name}: {line}" for line in lacking_in_class(node, text))
            yield from lacking_in(node, name)
        elif text:
            taken = arguments_of(node, isinstance(parent, ast.ClassDef))
            yield from (f"{name}: {line}" for line in lacking(text, taken, raised(node)))
        elif node.name != "forward":  # what it takes and gives stands at the class
            yield f"{name}: no docstring"


def test_docstrings_tell_what_the_code_takes_and_raises() -> None:
    files = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    found = [line for path, text in files.items() for line in lacking_in(ast.parse(text), path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", AT_RUN_TIME)
def test_fields_are_told_where_docstrings_are_made(name: str) -> None:
    found = AT_RUN_TIME[name]
    assert entries(inspect.cleandoc(found.__doc__), "Attributes") == [field.name for field in fields(found)]


# What users meet: all arguments are told of what is exported, registered, a part of networks, or imported by a page.


def exported() -> list[Any]:
    return [getattr(paddleseg_ext, name) for name in paddleseg_ext.__all__]


def registered() -> list[Any]:
    """Components of this package; of heads the classes, which the registered functions only bind."""
    found = {name: item for registry in REGISTRIES.values() for name, item in registry.components_dict.items()}
    return [item for item in {**found, **HEADS}.values() if item.__module__.startswith("paddleseg_ext.")]


def parts() -> list[Any]:
    """Classes and functions of the rooms that networks are made of."""
    found = []
    for room in ("layers", "heads", "backbones"):
        for _, name, _ in pkgutil.iter_modules([str(PACKAGE / room)], f"paddleseg_ext.{room}."):
            members = vars(importlib.import_module(name)).items()
            found += [item for key, item in members if not key.startswith("_") and is_of(item, name)]
    return found


def is_of(item: Any, module: str) -> bool:
    return (inspect.isclass(item) or inspect.isroutine(item)) and item.__module__ == module


def imported() -> list[Any]:
    """What pages and examples import."""
    paths = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    lines = sorted({line for path in paths for line in IMPORT.findall(path.read_text("utf-8"))})
    items = [getattr(importlib.import_module(module), name) for module, names in lines for name in names.split(", ")]
    return [item for item in items if callable(item)]


def named(items: list[Any]) -> dict[str, Any]:
    return {f"{item.__module__.partition('.')[2]}.{item.__qualname__}": item for item in items}


PARTS = named(parts())
PUBLIC = {**named([*exported(), *registered(), *imported()]), **PARTS}
LAYERS = [name for name, item in PARTS.items() if inspect.isclass(item) and issubclass(item, nn.Layer)]


def test_the_lists_of_what_users_meet_are_not_empty() -> None:
    assert min(map(len, (exported(), imported()))) >= 8
    assert len(registered()) >= 20 and len(LAYERS) >= 30
    assert {"layers.aspp.ASPP", "heads.psp.PSPHead", "inference.Segmentor", "api.load"} <= set(PUBLIC)


def taken_by(item: Any) -> list[str]:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [stars.get(found.kind, "") + found.name for found in inspect.signature(item).parameters.values()]
    return names[1:] if names[:1] == ["self"] else names


def functions(item: Any) -> Iterator[tuple[Any, str]]:
    """The function itself, or the constructor and the public methods of a class, with their docstrings."""
    if not inspect.isclass(item):
        yield item, inspect.getdoc(item) or ""
        return
    if "__init__" in vars(item) and not hasattr(item, "__dataclass_fields__"):  # whose fields are compared above
        yield item, inspect.cleandoc(item.__doc__)
    for name in vars(item):
        method = getattr(item, name)
        if isinstance(method, (FunctionType, MethodType)) and not name.startswith("_") and name != "forward":
            yield method, inspect.getdoc(method) or ""


@pytest.mark.parametrize("name", PUBLIC)
def test_all_arguments_are_told(name: str) -> None:
    for item, text in functions(PUBLIC[name]):
        short = name in PARTS and "\n" not in text and len(taken_by(item)) <= FEW  # a helper of layers
        assert short or is_told(text, taken_by(item)), item.__qualname__


@pytest.mark.parametrize("name", PARTS)
def test_shapes_of_tensors_are_told(name: str) -> None:
    item, text = PARTS[name], inspect.cleandoc(PARTS[name].__doc__ or "")
    if name in LAYERS:
        assert "output" in entries(text, "Shape")
    elif not inspect.isclass(item) and "Tensor" in str(inspect.signature(item)):
        assert SHAPE.search(text)
    for line in section(text, "Shape").split("    - ")[1:]:
        assert SHAPE.search(line) or re.search(r": (as x|that of )", line), line


@pytest.mark.parametrize("name", LAYERS)
def test_layers_name_their_source(name: str) -> None:
    assert re.search(r"^Reference: \S", inspect.cleandoc(PARTS[name].__doc__), re.M)
