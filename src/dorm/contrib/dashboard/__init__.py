"""A live view of what this process sends: templates and their latency, slow plans, N+1, pools, rejections, migrations.

An ASGI application to mount (FastAPI, Litestar, Starlette or any other), or to run alone with ``dorm dashboard``. It
only reads, keeps bounded memory, shows templates and never values, and does not exist without a guard.
"""

from dorm.contrib.dashboard.app import Dashboard
from dorm.contrib.dashboard.guards import Guard, TokenGuard

__all__ = ["Dashboard", "Guard", "TokenGuard"]
