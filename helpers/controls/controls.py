"""Controls from the forms that :func:`helpers.explore` takes: ipywidgets, and where they stand."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping, Sequence

import ipywidgets as widgets

from helpers.controls.base import RESERVED, ExploreError

#: ipywidgets that are taken as they are.
KINDS = (
    widgets.SelectionSlider,
    widgets.ToggleButtons,
    widgets.RadioButtons,
    widgets.Dropdown,
    widgets.IntSlider,
    widgets.Checkbox,
)
#: So many names stand side by side as buttons; more go into a drop-down list.
BUTTONS_UP_TO = 3


def make_control(name: str, values) -> widgets.Widget:
    """Make the control of a list, a mapping, a range or a bool; see :func:`helpers.explore`.

    Raises
    ------
    TypeError
        If the name is taken, or the values are none of these forms.

    Examples
    --------
    >>> type(make_control("size", [1, 2, 5])).__name__
    'SelectionSlider'
    """
    _check_name(name)
    label = {"description": name.replace("_", " ")}
    if isinstance(values, KINDS):
        values.description = values.description or label["description"]
        return values
    if isinstance(values, bool):
        return widgets.Checkbox(value=values, indent=False, **label)
    if _is_range(values):
        return widgets.IntSlider(min=values[0], max=values[1], **label)
    options = list(values.items()) if isinstance(values, Mapping) else values
    if isinstance(options, str) or not isinstance(options, Sequence) or not len(options):
        raise TypeError(
            f"the control {name} is {values!r}; give a list of numbers or strings, a dict of "
            "labels to values, a tuple (low, high) of integers, a bool, or one of ipywidgets' "
            f"{', '.join(kind.__name__ for kind in KINDS)}."
        )
    inside = list(values.values() if isinstance(values, Mapping) else values)
    if all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in inside):
        return widgets.SelectionSlider(options=options, **label)
    kind = widgets.ToggleButtons if len(inside) <= BUTTONS_UP_TO else widgets.Dropdown
    return kind(options=options, **label)


def _check_name(name):
    if not name.isidentifier() or name in RESERVED or hasattr(widgets.DOMWidget, name):
        raise TypeError(
            f"a control cannot be named {name!r}: the chart or its widget has another use for "
            "that name. Choose another one."
        )


def _is_range(values):
    return (
        isinstance(values, tuple) and len(values) == 2 and all(type(end) is int for end in values)
    )


def set_defaults(made: Mapping[str, widgets.Widget], function, in_browser: Mapping) -> None:
    """Start each control where its chart's parameter or `function` has a default.

    Raises
    ------
    TypeError
        If neither has an argument of a control's name.
    """
    arguments = inspect.signature(function).parameters
    for name, control in made.items():
        if name in in_browser:
            set_position(control, in_browser[name].value)
        elif isinstance(control, widgets.IntSlider):
            raise TypeError(
                f"the control {name} is a range, but the chart has no parameter {name}. Add "
                f"alt.param(name={name!r}, value=...) to the chart, or give a list of values."
            )
        elif name not in arguments and not _takes_any(arguments):
            raise TypeError(
                f"neither {function.__name__} nor the chart has a parameter {name}; "
                f"{function.__name__} has {', '.join(arguments)}."
            )
        elif name in arguments and arguments[name].default in choices(control):
            control.value = arguments[name].default


def _takes_any(arguments):
    return any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values())


def choices(control: widgets.Widget) -> list:
    """Values that a control offers, in order; a range has none to list."""
    if isinstance(control, widgets.Checkbox):
        return [False, True]
    return [value for _, value in getattr(control, "_options_full", ())]


def linked_trait(control: widgets.Widget) -> str:
    """Name of the trait whose integer becomes the chart's signal."""
    return "index" if hasattr(control, "index") else "value"


def position(control: widgets.Widget) -> int:
    """Integer that a control now gives to the chart."""
    return int(getattr(control, linked_trait(control)))


def set_position(control: widgets.Widget, at: int) -> None:
    """Set the integer that a control gives to the chart."""
    setattr(control, linked_trait(control), bool(at) if choices(control) == [False, True] else at)


def strides(grid: Mapping[str, widgets.Widget]) -> dict[str, int]:
    """Tell for each control how far one of its steps moves in the row of all states."""
    sizes = [len(choices(control)) for control in grid.values()]
    return {name: math.prod(sizes[at + 1 :]) for at, name in enumerate(grid)}


def preset_settings(presets: Mapping[str, Mapping], made: Mapping) -> list[dict[str, int]]:
    """Positions that each preset gives its controls; the first preset is set.

    Raises
    ------
    ExploreError
        If a preset sets what the controls do not offer.
    """
    settings = [{}] if presets else []
    for name, values in presets.items():
        unknown = {key: value for key, value in values.items() if not _offers(made, key, value)}
        if unknown:
            raise ExploreError(
                f"the preset {name!r} sets {unknown}, which the controls do not offer. "
                f"The controls are {', '.join(made)}; add the value to its control."
            )
        settings.append({key: choices(made[key]).index(value) for key, value in values.items()})
    for name, chosen in settings[1].items() if presets else ():
        set_position(made[name], chosen)
    return settings


def _offers(made, name, value):
    return name in made and value in choices(made[name])


def preset_control(presets: Mapping[str, Mapping], widget: widgets.Widget) -> widgets.Dropdown:
    """Make the list of presets, linked to the widget that sets the controls."""
    widget.preset = 1
    control = widgets.Dropdown(
        options=["your own settings", *presets], index=1, description="preset"
    )
    widgets.jslink((control, "index"), (widget, "preset"))
    return control


def check_folds(folds: Mapping[str, Sequence[str]], made: Mapping) -> None:
    """See to it that folds name each control at most once.

    Raises
    ------
    TypeError
        If a fold names no control, or a control is in two folds.
    """
    named = [name for names in folds.values() for name in names]
    wrong = [name for at, name in enumerate(named) if name not in made or name in named[:at]]
    if wrong:
        raise TypeError(
            f"the folds name {', '.join(wrong)}, which is no control or is in two folds. "
            f"The controls are {', '.join(made)}; name each in one fold or in none."
        )


def names_chosen(made: Mapping[str, widgets.Widget]) -> list[str]:
    """List the controls that choose among names: on the others, sliders, a hand moves the marks."""
    sliders = (widgets.SelectionSlider, widgets.IntSlider)
    return [name for name, control in made.items() if not isinstance(control, sliders)]


def players(made: Mapping[str, widgets.Widget], specs: Sequence[dict]) -> dict[str, widgets.Play]:
    """Play buttons for the ranges; nothing moves before a reader presses one.

    The description is what a range's lowest value means, ``usermeta["lowest"]`` of a chart.
    """
    lowest = {}
    for spec in specs:
        lowest |= spec.get("usermeta", {}).get("lowest", {})
    buttons = {}
    for name, control in made.items():
        if isinstance(control, widgets.IntSlider):
            ends = {"min": control.min, "max": control.max, "value": control.value}
            step = max(1, (control.max - control.min) // 50)
            buttons[name] = widgets.Play(
                **ends,
                step=step,
                interval=40,
                show_repeat=False,
                description=lowest.get(name, str(control.min)),
            )
            widgets.jslink((buttons[name], "value"), (control, "value"))
    return buttons
