"""`setup_logging`: what the SDK and its nodes say, on stderr."""

from __future__ import annotations

import logging

from ..errors import VALUE_NOT_ACCEPTABLE, ConfigurationError, near

__all__ = ["setup_logging"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def setup_logging(
    level: str = "INFO", format_string: str | None = None, include_timestamp: bool = True
) -> None:
    """Shows the messages of the logger ``remotemedia`` and those below it.

    Parameters
    ----------
    level : str
        DEBUG, INFO, WARNING, ERROR or CRITICAL; the case does not matter.
    format_string : str or None
        As of `logging.Formatter`; None: name, level and message.
    include_timestamp : bool
        Whether the time comes first, where ``format_string`` is None.

    Raises
    ------
    ConfigurationError
        ``level`` is not known.
    """
    name = str(level).upper()
    if name not in LEVELS:
        raise ConfigurationError(
            f"level is {level!r}, want one of {', '.join(LEVELS)}",
            code=VALUE_NOT_ACCEPTABLE,
            help=near(name, LEVELS, "levels"),
        )
    text = format_string or "%(name)s - %(levelname)s - %(message)s"
    if format_string is None and include_timestamp:
        text = f"%(asctime)s - {text}"
    logger = logging.getLogger("remotemedia")
    for old in [h for h in logger.handlers if getattr(h, "is_ours", False)]:
        logger.removeHandler(old)  # called again it changes what is there
    handler = logging.StreamHandler()
    handler.is_ours = True  # type: ignore[attr-defined]
    handler.setFormatter(logging.Formatter(text))
    logger.addHandler(handler)
    logger.setLevel(name)
