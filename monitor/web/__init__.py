"""The face of the service over HTTP: API, metrics, health. Knows nothing of brokers, models and databases.

`create_app` puts the application together, `serve` runs it within the service's own event loop.
"""

from monitor.web.application import Access, create_app, document
from monitor.web.ports import AlertStore, Check, FleetView, Health
from monitor.web.server import ListenError, serve

__all__ = [
    "Access",
    "AlertStore",
    "Check",
    "FleetView",
    "Health",
    "ListenError",
    "create_app",
    "document",
    "serve",
]
