"""
Writing attrs classes and named tuples out, so that mypyc makes native classes of them.

To mypyc a class with `@attrs.frozen` is one like any other that Python makes: its attributes are
looked up by name, and interpreted code makes its objects, which takes twenty times as long. Here
what attrs adds is written into the source that is compiled: `__init__`, `__eq__`, `__hash__`,
`__repr__`, pickling, and that nobody changes a value. attrs and cattrs know the fields as before.
Named tuples become such classes as well; they can be iterated over, but are no tuples.
"""

from __future__ import annotations

import ast
from typing import NamedTuple, Optional

# The options of `attrs.field` that are understood.
_OPTIONS = {"default", "eq", "factory", "kw_only", "repr", "validator"}


class Field(NamedTuple):
    """One attribute of an attrs class; default, factory and options as its source has them."""

    name: str
    annotation: str
    default: Optional[str]
    factory: Optional[str]
    options: dict[str, str]

    def is_in(self, method: str) -> bool:
        """Whether it counts in `eq`, or in `repr`."""
        return self.options.get(method) != "False"

    @property
    def parameter(self) -> str:
        """How `__init__` takes it."""
        if self.factory is not None:
            return f"{self.name}: ({self.annotation}) | None = None"
        default = "" if self.default is None else f" = {self.default}"
        # A validator is to say what is wrong, before the type is found to be.
        annotation = "object" if "validator" in self.options else self.annotation
        return f"{self.name}: {annotation}{default}"


def written_out(source: str) -> str:
    """
    Give a module's source with its `@attrs.frozen` classes and its named tuples written out.

    Raises:
        ValueError: a class or a field has an option that is not understood.
    """
    module = _Changed().visit(ast.parse(source))
    body: list[ast.stmt] = []
    for node in module.body:
        body.append(node)
        if not isinstance(node, ast.ClassDef):
            continue
        decorator = _decorator_of(node)
        if decorator is not None:
            node.decorator_list.remove(decorator)
            body += _write_out(node, is_kw_only=_is_kw_only(node, decorator))
        elif [ast.unparse(base) for base in node.bases] == ["NamedTuple"]:
            node.bases = []
            body += _write_out(node, is_kw_only=False, is_tuple=True)
    module.body = body
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"


class _Changed(ast.NodeTransformer):
    """Lets values copy themselves with changes, which takes a quarter of `attrs.evolve`'s time."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func) == "attrs.evolve":
            value, *_ = node.args
            node.func, node.args = ast.Attribute(value, "__replace__", ast.Load()), []
        return node


def _decorator_of(node: ast.ClassDef) -> Optional[ast.expr]:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called) == "attrs.frozen":
            return decorator
    return None


def _is_kw_only(node: ast.ClassDef, decorator: ast.expr) -> bool:
    wrong = None
    if ast.unparse(decorator) not in ("attrs.frozen", "attrs.frozen(kw_only=True)"):
        wrong = f"{ast.unparse(decorator)} is not understood"
    elif node.bases:
        wrong = "it has a base, which is not understood"
    if wrong is not None:
        msg = f"class {node.name}: {wrong}"
        raise ValueError(msg)
    return isinstance(decorator, ast.Call)


def _write_out(node: ast.ClassDef, *, is_kw_only: bool, is_tuple: bool = False) -> list[ast.stmt]:
    """Give a class its methods; returns what follows it."""
    fields = [_take_field(node.name, each) for each in node.body if isinstance(each, ast.AnnAssign)]
    lines = [*_init(node, fields, is_kw_only=is_kw_only), *_methods(node.name, fields)]
    if is_tuple:
        values = "".join(f"self.{field.name}, " for field in fields)
        lines += [
            f"def _replace(self, **changes: object) -> {node.name}:",
            "    return self.__replace__(**changes)",
            "def _asdict(self) -> dict[str, object]:",
            f"    return {{{_items(fields)}}}",
            "def __iter__(self) -> Iterator[object]:",
            f"    return iter(({values}))",
        ]
    node.body += ast.parse("\n".join(lines)).body
    return ast.parse("\n".join(_rest(node, fields, is_kw_only=is_kw_only))).body


def _take_field(class_name: str, statement: ast.AnnAssign) -> Field:
    name = ast.unparse(statement.target)
    annotation = ast.unparse(statement.annotation)
    value, statement.value = statement.value, None
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "attrs.field"):
        default = None if value is None else ast.unparse(value)
        return Field(name, annotation, default, None, {})
    options = {str(each.arg): ast.unparse(each.value) for each in value.keywords}
    unknown = options.keys() - _OPTIONS
    if unknown:
        msg = f"{class_name}.{name}: {', '.join(sorted(unknown))} of attrs.field is not understood"
        raise ValueError(msg)
    default, factory = options.pop("default", None), options.pop("factory", None)
    return Field(name, annotation, default, factory, options)


def _init(node: ast.ClassDef, fields: list[Field], *, is_kw_only: bool) -> list[str]:
    named = [field for field in fields if is_kw_only or "kw_only" in field.options]
    parameters = ["self", *(field.parameter for field in fields if field not in named)]
    if named:
        parameters += ["*", *(field.parameter for field in named)]
    lines = [f"def __init__({', '.join(parameters)}) -> None:", "    pass"]
    validated = [field.name for field in fields if "validator" in field.options]
    if validated:
        lines.append(f"    _check_{node.name}({', '.join(f'{each}={each}' for each in validated)})")
    for field in fields:
        given = field.name
        if field.factory is not None:
            given = f"{field.factory}() if {given} is None else {given}"
        elif field.name in validated:
            given = f"cast({field.annotation!r}, {given})"
        lines.append(f"    self.{field.name} = {given}")
    if any(isinstance(e, ast.FunctionDef) and e.name == "__attrs_post_init__" for e in node.body):
        lines.append("    self.__attrs_post_init__()")
    return lines


def _methods(name: str, fields: list[Field]) -> list[str]:
    compared = [field.name for field in fields if field.is_in("eq")]
    shown = ", ".join(f"{f.name}={{self.{f.name}!r}}" for f in fields if f.is_in("repr"))
    return [
        "def __eq__(self, other: object) -> bool:",
        "    if self is other:",
        "        return True",
        f"    if not isinstance(other, {name}):",
        "        return NotImplemented",
        "    return "
        + (" and ".join(f"self.{each} == other.{each}" for each in compared) or "True"),
        "def __hash__(self) -> int:",
        f"    return hash(({name!r}, {''.join(f'self.{each}, ' for each in compared)}))",
        "def __repr__(self) -> str:",
        f"    return f'{name}({shown})'",
        "def __setattr__(self, name: str, value: object) -> None:",
        "    raise attrs.exceptions.FrozenInstanceError()",
        f"def __replace__(self, **changes: object) -> {name}:",
        f"    given: dict[str, object] = {{{_items(fields)}}}",
        "    given.update(changes)",
        f"    return {name}(**given)",
        "def __reduce__(self) -> tuple[object, ...]:",
        f"    return (_made_{name}, ({''.join(f'self.{f.name}, ' for f in fields)}))",
    ]


def _items(fields: list[Field]) -> str:
    return ", ".join(f"{field.name!r}: self.{field.name}" for field in fields)


def _rest(node: ast.ClassDef, fields: list[Field], *, is_kw_only: bool) -> list[str]:
    """Give the function that unpickles, and what tells attrs, cattrs and people of the class."""
    name = node.name
    known = []
    for field in fields:
        options = {"type": repr(field.annotation), **field.options}
        if field.default is not None:
            options["default"] = field.default
        if field.factory is not None:
            options["factory"] = field.factory
        arguments = ", ".join(f"{key}={value}" for key, value in options.items())
        known.append(f"{field.name!r}: attr.ib({arguments})")
    parameters = ", ".join(f"{field.name}: {field.annotation}" for field in fields)
    arguments = ", ".join(f"{field.name}={field.name}" for field in fields)
    annotations = {field.name: field.annotation for field in fields}
    return [
        "import attr",
        "import attrs",
        "import inspect",
        "from collections.abc import Iterator",
        "from typing import cast",
        f"def _made_{name}({parameters}) -> {name}:",
        f"    return {name}({arguments})",
        f"def _check_{name}(**values: object) -> None:",
        f"    for attribute in attrs.fields(_twin_{name}):",
        "        if attribute.validator is not None:",
        "            attribute.validator(None, attribute, values[attribute.name])",
        f"_twin_{name} = attr.make_class({name!r}, {{{', '.join(known)}}}, kw_only={is_kw_only})",
        f"setattr({name}, '__doc__', {ast.get_docstring(node, clean=False)!r})",
        f"setattr({name}, '__annotations__', {annotations!r})",
        f"setattr({name}, '__attrs_attrs__', attrs.fields(_twin_{name}))",
        f"setattr({name}, '__signature__', inspect.signature(_twin_{name}))",
    ]
