"""An alert and its explanation, as the API answers them → a PNG. The command line's side of `monitor.drawing`."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.alerts import Alert
from monitor.drawing import draw
from monitor.explanations import AlertExplanation


class PictureError(Exception):
    """A picture that cannot be drawn or written, in one line."""


def draw_alert(alert: dict[str, Any], explanation: dict[str, Any], file: Path) -> None:
    """Draw what the API answered.

    Raises:
        PictureError: the answers are of another version, or the file cannot be written.
    """
    try:
        known, told = Alert.model_validate(alert), AlertExplanation.model_validate(explanation)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PictureError(
            f"the service answers in another version than this command reads ({where}: {first['msg']}); use the same"
        ) from None
    try:
        draw(known, told, file)
    except OSError as error:
        raise PictureError(f"{file}: cannot be written: {error.strerror}") from None
