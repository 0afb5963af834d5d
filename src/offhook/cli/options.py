"""Flags, made from the fields of `Config`: each said once, there."""

from collections.abc import Callable, Iterable
from dataclasses import Field, fields
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import click

from offhook.server.config import (
    ENVIRONMENT_PREFIX,
    Config,
    parse_ice_servers,
    parse_list,
    parse_udp_ports,
)

Command = Callable[..., Any]


def _each(parse: Callable[[str], Iterable[object]]) -> Callable[[Iterable[str]], object]:
    return lambda texts: tuple(value for text in texts for value in parse(text))


PARSERS: Final[dict[str, Callable[[Any], object]]] = {
    "ice_servers": _each(parse_ice_servers),
    "allowed_origins": _each(parse_list),
    "udp_ports": lambda text: parse_udp_ports(text) if text else None,
}
"""How the text of a flag becomes the value of a field, where click cannot know."""


def config_options(command: Command) -> Command:
    """Give a command a flag for every field of `Config`."""
    hints = get_type_hints(Config)
    for each in reversed(fields(Config)):
        command = _option(each, hints[each.name])(command)
    return command


def to_config(values: dict[str, Any]) -> Config:
    """Make the configuration of what click collected.

    Raises:
        UsageError: A value cannot be used.
    """
    parsed: dict[str, Any] = {
        name: PARSERS[name](value) if name in PARSERS else value for name, value in values.items()
    }
    return Config(**parsed)


def _option(each: Field[Any], hint: Any) -> Callable[[Command], Command]:  # noqa: ANN401 -- a type
    flags = each.metadata["flags"] or (f"--{each.name.replace('_', '-')}",)
    extra: dict[str, Any] = {"default": each.default, "show_default": True}
    choices = [get_args(one) for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
    if each.name == "verbose":
        extra |= {"count": True, "show_default": False}
    elif hint is bool:
        extra |= {"is_flag": True, "show_default": False}
    elif choices:
        extra |= {"type": click.Choice(choices[0]), "show_default": each.default is not None}
    elif each.name in PARSERS:
        is_list = isinstance(each.default, tuple)
        extra |= {"type": str, "multiple": is_list, "show_default": False}
    else:
        extra |= {"type": hint}
    return click.option(
        *flags,
        each.name,
        envvar=ENVIRONMENT_PREFIX + each.name.upper(),
        metavar=each.metadata["metavar"],
        help=each.metadata["help"],
        **extra,
    )
