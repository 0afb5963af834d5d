"""What the person at the terminal sees once a call can be answered."""

import click

from offhook.server.config import Config


def print_ready(url: str, config: Config) -> None:
    """Print where to go; the address itself is the one result, so it goes to standard output."""
    click.echo(f"{url}/client/")
    isolation = "one process for all" if config.isolation == "none" else "a process each"
    page = click.style(f"{url}/client/", fg="cyan", underline=True)
    lines = [
        "",
        f"  {click.style('Offhook', bold=True)} picks up at {page}",
        f"  up to {config.max_sessions} sessions, {isolation}, {config.warm} kept warm",
        "  Ctrl-C ends the live ones politely; twice, at once",
        "",
    ]
    if config.insecure:
        lines.insert(3, click.style("  anybody who reaches this address can start bots", fg="red"))
    for line in lines:
        click.echo(line, err=True)
