"""Tells systemd that the event loop is running: a datagram, as in sd_notify(3) and sd_watchdog_enabled(3)."""

import asyncio
import os
import socket

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def feed() -> None:
    """Notify systemd twice per WatchdogSec; return if systemd doesn't ask for it."""
    address, allowed = os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("WATCHDOG_USEC", "")
    pid = str(os.getpid())
    if not address or not allowed.isdecimal() or os.environ.get("WATCHDOG_PID", pid) != pid:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        while True:
            try:
                sender.sendto(b"WATCHDOG=1", address)
            except OSError as error:
                log.warning("watchdog.not_fed", error=error.strerror)
            await asyncio.sleep(max(int(allowed), 1000) / 2e6)
