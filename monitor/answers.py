"""What the API answers of an alert → a PNG file. Checks the answers; `monitor.alertfigure` draws them."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from monitor.alertfigure import draw
from monitor.alerts import Alert
from monitor.explanations import AlertExplanation


class PictureError(Exception):
    """A picture that cannot be drawn or written, in one line."""


def draw_answers(alert: dict[str, Any], explanation: dict[str, Any], file: Path) -> None:
    """Draw an alert and its explanation as the API answered them.

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
