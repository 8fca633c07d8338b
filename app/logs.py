"""Sets up logging: lines of text for people, or JSON for machines."""

import json
import logging
from datetime import UTC, datetime

from app.edge.request_ids import current_request_id
from app.settings import Settings

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# These log every step at INFO.
_NOISY = ("httpx", "httpcore", "alembic", "uvicorn.access", "uvicorn.websockets")


def configure_logging(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It names whom it writes to. What fails is told without that by ourselves.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` in UTC, `level`, `logger`, `message`, and where there are any
    `requestId` and `error`, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current_request_id.get()) is not None:
            line["requestId"] = request_id
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # In ASCII, so that no text of a sender can break a line or a terminal.
        return json.dumps(line)
