"""`aumer serve`: run an HTTP service that spots in uploaded videos."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import signal
import sys
from pathlib import Path
from typing import Any

from aumer.cli.console import Console
from aumer.cli.options import POSITIVE, SECONDS, require_web, whole
from aumer.errors import EXIT_OK, UsageError

_EPILOG = """\
The page at the printed address takes videos, shows how far they are and gives the results; so do
`aumer.client` in Python, and anything that speaks HTTP (/openapi.json describes it). Results are
those of `aumer spot`. Jobs survive a restart, and each has a process of its own.

The loopback address needs no token; any other address does: --token-file FILE, or $AUMER_TOKEN.
Traffic is not encrypted: use an HTTPS proxy.

Videos of faces are personal data. Uploads are removed --keep-uploads hours after their job has
ended, jobs and results after --keep-results hours; --purge removes all at once, and ends.

exit codes:
    0  ended by Ctrl-C or SIGTERM; the next start runs interrupted jobs again
    2  an option, the folder, or the address cannot be used
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``serve`` to the command's parsers."""
    parser = commands.add_parser(
        "serve",
        parents=[common],
        help="run an HTTP service that spots in uploaded videos",
        description="Accepts videos over HTTP, spots in each, and stores the results for some "
        "time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, the loopback)")
    add("--port", type=_port, default=8000, metavar="N", help="(default: 8000; 0: any)")
    add("--token-file", metavar="FILE", help="holds the token (default: $AUMER_TOKEN)")
    add(
        "--state",
        metavar="DIR",
        help="where jobs are kept (default: $AUMER_STATE, or aumer/serve in the user's state)",
    )
    add(
        "--root",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of videos that may be named by path (repeatable; default: none)",
    )
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add("--max-upload", type=POSITIVE, default=2048, metavar="MIB", help="(default: 2048)")
    add("--max-minutes", type=POSITIVE, default=60, metavar="N", help="of a video (default: 60)")
    add("--max-frames", type=whole, default=500_000, metavar="N", help="(default: 500000)")
    add(
        "--max-pixels",
        type=whole,
        default=10_000_000,
        metavar="N",
        help="of a frame (default: 10000000, above 4K)",
    )
    add("--jobs", type=whole, default=1, metavar="N", help="at work at once (default: 1)")
    add("--queue", type=whole, default=100, metavar="N", help="that wait (default: 100)")
    add("--memory", type=POSITIVE, default=4096, metavar="MIB", help="of a job (default: 4096)")
    add("--job-hours", type=POSITIVE, default=6, metavar="N", help="of a job (default: 6)")
    kept = parser.add_argument_group("what is kept")
    add = kept.add_argument
    add("--keep-uploads", type=SECONDS, default=1, metavar="HOURS", help="(default: 1)")
    add("--keep-results", type=POSITIVE, default=168, metavar="HOURS", help="(default: 168)")
    add("--purge", action="store_true", help="remove all jobs, uploads and results, and end")
    parser.set_defaults(run=_run, parser=parser)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535; found {text!r}")
    return int(text)


def _run(args: argparse.Namespace, console: Console) -> int:
    folder = _folder(args.state)
    if args.purge:
        from aumer.serve.service import purge

        console.data(f"{purge(folder)} jobs removed from {folder}\n")
        return EXIT_OK
    require_web("the service", "serve")

    from aumer.serve.application import listen
    from aumer.serve.job_options import Limits
    from aumer.serve.service import Service, retention
    from aumer.web import Listener

    limits = Limits(
        upload_bytes=int(args.max_upload * 2**20),
        length_s=args.max_minutes * 60,
        frames=args.max_frames,
        pixels=args.max_pixels,
        jobs=args.jobs,
        queue=args.queue,
        memory_bytes=int(args.memory * 2**20),
        job_s=args.job_hours * 3600,
        keep_upload_s=args.keep_uploads * 3600,
        keep_result_s=args.keep_results * 3600,
    )
    token = _token(args.token_file, args.host)
    roots = [Path(root) for root in args.root]
    Listener(args.host, args.port).close()  # a port in use is told before a folder is made
    service = Service(folder.absolute(), limits, roots=roots, plugins=args.plugin)
    try:
        listener = listen(service, host=args.host, port=args.port, token=token)
        name = f"[{args.host}]" if ":" in args.host else args.host
        console.data(f"http://{name}:{listener.port}/\n")
        for one in retention(limits, service.folder):
            console.note(f"keeps {one['what']}: in {one['where']}, {one['how_long']}")
        console.note("Ctrl-C ends it")
        # The server raises the interrupt again after it has ended, which is the normal way to stop.
        # SIGTERM, which it also raises again, must not end this process before the jobs are saved.
        if sys.platform != "win32":
            signal.signal(signal.SIGTERM, lambda *_: None)
        with contextlib.suppress(KeyboardInterrupt):
            listener.run()
    finally:
        service.stop()
    return EXIT_OK


def _folder(given: str | None) -> Path:
    from aumer.names import expanded

    given = given or os.environ.get("AUMER_STATE")
    if given:
        return expanded(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "aumer" / "serve"


def _token(path: str | None, host: str) -> str | None:
    """The required token; None for no token.

    Raises:
        UsageError: it cannot be read, is too short, or is required but missing.
    """
    token = os.environ.get("AUMER_TOKEN") or None
    if path is not None:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read the token from {path}: {error}") from error
    if token is None:
        if _loopback(host):
            return None
        raise UsageError(
            f"other machines can reach {host}, so the service needs a token. Write one to a file "
            "(python -c 'import secrets; print(secrets.token_urlsafe(32))' > token.txt) and "
            "give it "
            "with --token-file"
        )
    if len(token) < 16 or not token.isascii() or any(c.isspace() for c in token):
        raise UsageError("a token has 16 or more ASCII characters, and no blanks")
    return token


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
