"""What commands write to: one console for answers, stderr for complaints."""

from rich.console import Console
from rich.text import Text

from tuner.inert import InertConsole

console = InertConsole()


def say(text: str) -> None:
    """Print a line as it is: nothing highlighted, no path broken."""
    console.print(Text(text), soft_wrap=True)


def can_be_drawn_over(console: Console) -> bool:
    """Whether it shows a terminal. With FORCE_COLOR rich takes a pipe for one too: colours are fine there, no more."""
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def complain(message: str) -> None:
    """Print an error to stderr."""
    InertConsole(stderr=True).print(Text("error: ", style="red").append(message, style="default"), soft_wrap=True)
