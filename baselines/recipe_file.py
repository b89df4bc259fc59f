"""Reading a recipe, and refusing what nobody would look at or what would fail after hours of training."""

import json
import tomllib
from pathlib import Path
from typing import Any

from memgym.baselines.recipe import TRAINERS, Axis, Recipe, RecipeInvalid, check_seeds

__all__ = ["RECIPES", "load_recipe", "recipe_names"]

RECIPES = Path(__file__).parent / "recipes"
FIGURE_AXES = ("x", "line", "rows", "columns")
MAX_BYTES = 1 << 20
KEYS = {
    "title": str,
    "trainer": str,
    "seeds": list,
    "env": dict,
    "train": dict,
    "grid": dict,
    "settings": list,
    "axes": list,
    "evaluate": dict,
    "select": str,
    "figure": dict,
}
NEEDED = ("title", "trainer", "seeds", "env", "train")


def recipe_names() -> list[str]:
    """Recipes that memgym ships."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe by name, or from a TOML file of one's own.

    Raises:
        RecipeInvalid: no such recipe, or one that cannot be read; the message names the entry.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        raise RecipeInvalid(
            f"no recipe {name_or_path!r}: there are {', '.join(recipe_names())}; or give a file."
        )
    if path.stat().st_size > MAX_BYTES:
        raise RecipeInvalid(f"{path} is larger than {MAX_BYTES} bytes: no recipe is.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeInvalid(f"{path} is no TOML: {error}.") from None
    return _checked(path, content)


def _checked(path: Path, content: dict[str, Any]) -> Recipe:
    for key, value in content.items():
        if key not in KEYS:
            raise RecipeInvalid(f"{path}: unknown entry {key!r}; there are {', '.join(KEYS)}.")
        if not isinstance(value, KEYS[key]):
            raise RecipeInvalid(f"{path}: {key} is a {KEYS[key].__name__}, not {value!r}.")
    for key in NEEDED:
        if key not in content:
            raise RecipeInvalid(f"{path}: {key} is missing.")
    if content["trainer"] not in TRAINERS:
        raise RecipeInvalid(
            f"{path}: trainer is {', '.join(map(repr, TRAINERS))}, not {content['trainer']!r}."
        )
    try:
        json.dumps(content)
    except TypeError as error:  # a date
        raise RecipeInvalid(f"{path}: {error}.") from None
    check_seeds(content["seeds"], str(path))
    if not isinstance(content["env"].get("id"), str):
        raise RecipeInvalid(f"{path}: env has an id, the name of an environment.")
    grid = {key: _choices(path, "grid", key, values) for key, values in content.get("grid", {}).items()}
    evaluate = dict(content.get("evaluate", {}))
    for key, values in evaluate.items():
        if key != "episodes":
            evaluate[key] = _choices(path, "evaluate", key, values)
        elif type(values) is not int or values < 1:
            raise RecipeInvalid(f"{path}: episodes is an integer from 1 on, not {values!r}.")
    axes = tuple(_axis(path, table) for table in content.get("axes", []))
    if axes and (content["trainer"] != "sequence" or set(evaluate) - {"episodes"}):
        raise RecipeInvalid(
            f"{path}: axes are of trainer 'sequence', and stand for the lists under evaluate."
        )
    select = content.get("select", "")
    if select and (select not in grid or content["trainer"] != "sequence"):
        raise RecipeInvalid(f"{path}: select is an entry of a grid of trainer 'sequence', not {select!r}.")
    for special in content.get("settings", []):
        _check_special(path, special, grid)
    recipe = Recipe(
        name=path.stem,
        title=content["title"],
        trainer=content["trainer"],
        seeds=tuple(content["seeds"]),
        env=content["env"],
        train=content["train"],
        grid=grid,
        settings=content.get("settings", []),
        evaluate=evaluate,
        figure=content.get("figure", {}),
        axes=axes,
        select=select,
    )
    _check_figure(path, recipe)
    try:
        recipe.runs(recipe.seeds[:1])
    except RecipeInvalid as error:
        raise RecipeInvalid(f"{path}: {error}") from None
    return recipe


def _choices(path: Path, table: str, key: str, values: Any) -> list[Any]:
    """A list of the grid or of the evaluations; lists in it as tuples, which other values can be found by."""
    parts = ("env",) if table == "evaluate" else ("env", "train")
    part, _, name = key.partition(".")
    if part not in parts or not name or not isinstance(values, list) or not values:
        allowed = " or ".join(f"'{part}.…'" for part in parts)
        raise RecipeInvalid(f"{path}: {table} holds lists named {allowed}, not {key!r}: {values!r}.")
    texts = [json.dumps(value, sort_keys=True) for value in values]
    if len(set(texts)) < len(texts) or any(isinstance(value, dict) for value in values):
        raise RecipeInvalid(f"{path}: values of {key!r} are different, and no tables, not {values!r}.")
    return [tuple(value) if isinstance(value, list) else value for value in values]


def _check_special(path: Path, special: Any, grid: dict[str, list[Any]]) -> None:
    if not isinstance(special, dict) or not isinstance(special.get("where"), dict):
        raise RecipeInvalid(f"{path}: each of settings has a table 'where', not {special!r}.")
    for key, value in special["where"].items():
        if value not in grid.get(key, ()):
            raise RecipeInvalid(f"{path}: settings where {key} = {value!r}, which is not in the grid.")
    for key in special:
        if key != "where" and not key.startswith(("env.", "train.")):
            raise RecipeInvalid(f"{path}: settings are named 'env.…' or 'train.…', not {key!r}.")


def _check_figure(path: Path, recipe: Recipe) -> None:
    """Refuse names that the recipe does not vary."""
    given = dict(recipe.figure)
    if not given:
        return
    known = {*recipe.grid, *(f"evaluate.{key}" for key in recipe.evaluate if key != "episodes")}
    kind = given.pop("kind", "lines")
    if kind == "table":
        if not recipe.axes or given.keys() != {"line"} or given["line"] not in recipe.grid:
            raise RecipeInvalid(f"{path}: a table has axes, and a line that is an entry of the grid.")
        return
    if kind != "lines":
        raise RecipeInvalid(f"{path}: the figure's kind is 'lines' or 'table', not {kind!r}.")
    for axis, value in given.items():
        names = value if isinstance(value, list) and axis in ("rows", "columns") else [value]
        if axis not in FIGURE_AXES or not all(isinstance(name, str) and name in known for name in names):
            raise RecipeInvalid(f"{path}: figure has no {axis} = {value!r}; there are {', '.join(known)}.")
    if not {"x", "line"} <= given.keys():
        raise RecipeInvalid(f"{path}: a figure of lines names x and line.")


def _axis(path: Path, table: Any) -> Axis:
    lists = (
        {key: value for key, value in table.items() if isinstance(value, list)}
        if isinstance(table, dict)
        else {}
    )
    lengths = {len(values) for values in lists.values()}
    if not lists or len(lengths) != 1 or 0 in lengths or not isinstance(table.get("name"), str):
        raise RecipeInvalid(f"{path}: each of axes has a name and lists of the same length, not {table!r}.")
    if not isinstance(table.get("train", True), bool):
        raise RecipeInvalid(f"{path}: train of an axis is true or false, not {table['train']!r}.")
    fixed = {key: v for key, v in table.items() if key not in lists and key not in ("name", "train")}
    (count,) = lengths
    changes = tuple({**fixed, **{key: values[i] for key, values in lists.items()}} for i in range(count))
    first = next(iter(lists.values()))
    labels = tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in first)
    return Axis(table["name"], labels, changes, table.get("train", True))
