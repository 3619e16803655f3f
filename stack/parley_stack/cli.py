"""The command line: ``python -m parley_stack start|stop|status|reset|test``.

Exit codes: 0 done; 1 could not be done; 2 wrong arguments or configuration; `test`: its command's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# Configuration, keys and the supervisor take a second to load and are not needed for `status`,
# `stop` and the half of `start --detach` that waits: those who need them import them.
from .account import Account
from .errors import StackError
from .paths import Paths
from .ports import free_port, holder, is_free
from .state import Lock, State

if TYPE_CHECKING:
    from .config import Config
    from .keys import Keys

_STOP_SECONDS = 10.0
_DETACHED = "PARLEY_STACK_DETACHED"
_READY_MARK = "\x04\n"
"""What a detached stack prints last, once it is ready."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley_stack", description="A local Supabase without Docker."
    )
    commands = parser.add_subparsers(required=True, metavar="start|stop|status|reset|test")

    def command(name: str, run: object, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(command=run)
        made.add_argument(
            "--workdir",
            type=Path,
            default=Path.cwd(),
            help="folder that has the supabase/ folder (default: the current one)",
        )
        return made

    start = command("start", _start, "start the stack, apply migrations, seed once")
    start.add_argument("--detach", action="store_true", help="return when it is ready")
    start.add_argument("--api-port", type=_port, help="default: [api] port of config.toml")
    start.add_argument("--db-port", type=_port, help="default: [db] port of config.toml")
    start.add_argument(
        "--ephemeral", action="store_true", help="free ports, data thrown away at the end"
    )
    for made in (start, command("status", _status, "show addresses and keys")):
        made.add_argument("-o", "--output", choices=("pretty", "env", "json"), default="pretty")
    command("stop", _stop, "stop the stack; the data stays")
    command("reset", _reset, "stop the stack and delete its data")
    test = command("test", _test, "run tests on an ephemeral stack of their own")
    test.add_argument(
        "test_command",
        nargs="*",
        metavar="-- COMMAND",
        help="run in the workdir, the stack in its environment (default: pytest)",
    )

    serve = commands.add_parser("_serve")
    serve.set_defaults(command=_serve)
    serve.add_argument("--workdir", type=Path, required=True)
    serve.add_argument("--sockets", type=Path, required=True)
    serve.add_argument("--files", type=Path, required=True)
    serve.add_argument("--api-port", type=_port, required=True)
    serve.add_argument("--db-port", type=_port, required=True)
    serve.add_argument("--mail-port", type=_port, required=True)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _keys(config: Config, workdir: Path) -> Keys:
    from .keys import Keys

    auth = config.auth
    signing = []
    if auth.signing_keys_path:
        path = workdir / "supabase" / auth.signing_keys_path
        try:
            signing = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise StackError(f"[auth] signing_keys_path: cannot read {path}: {error}") from error
    given = {
        name: value
        for name in ("jwt_secret", "publishable_key", "secret_key")
        if (value := getattr(auth, name, None))
    }
    try:
        return Keys(signing_keys=signing, **given)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(f"[auth] signing_keys_path: {error}") from error


def _start(arguments: argparse.Namespace) -> int:
    workdir = arguments.workdir.resolve()
    paths = Paths.of(workdir, Account.current())
    running = _running(paths)
    if running is not None and (arguments.detach or not arguments.ephemeral):
        return _already_running(running, arguments)
    if arguments.detach and _DETACHED not in os.environ:
        return _start_detached(arguments)
    return _start_here(arguments, workdir)


def _already_running(running: State, arguments: argparse.Namespace) -> int:
    for name, wanted, actual in (
        ("API", arguments.api_port, running.api_port),
        ("database", arguments.db_port, running.db_port),
    ):
        if wanted not in (None, actual):
            raise StackError(
                f"a stack already runs for {running.workdir} (pid {running.pid}) with its "
                f"{name} on port {actual}, not {wanted}",
                hint="stop it first with `python -m parley_stack stop`",
            )
    print(f"Already running for {running.workdir} (pid {running.pid}).")
    _show(running, arguments.output)
    return 0


def _start_detached(arguments: argparse.Namespace) -> int:
    argv = [sys.executable, "-m", "parley_stack", *sys.argv[1:]]
    child = subprocess.Popen(  # noqa: S603 - ourselves
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, _DETACHED: "1"},
    )
    assert child.stdout is not None
    with child.stdout as output:
        for line in output:
            if line == _READY_MARK:
                return 0
            print(line, end="", flush=True)
    return child.wait()


def _start_here(arguments: argparse.Namespace, workdir: Path) -> int:
    from .binaries import Binaries
    from .config import load_config
    from .supervisor import Supervisor

    began = time.monotonic()
    config = load_config(workdir)
    keys = _keys(config, workdir)
    account = Account.for_server()
    binaries = Binaries.find(workdir)
    ephemeral = arguments.ephemeral
    api_port = arguments.api_port or (free_port() if ephemeral else config.api.port)
    db_port = arguments.db_port or (free_port() if ephemeral else config.db.port)
    for name, option, port in (("API", "--api-port", api_port), ("database", "--db-port", db_port)):
        _require_free(name, option, port)
    mail_ui = config.inbucket or config.local_smtp
    # Nobody's work depends on this one: beside a stack that has the usual port, another is as good.
    is_usual = api_port == config.api.port and is_free(mail_ui.port)
    mail_port = mail_ui.port if is_usual else free_port()
    paths = Paths.of(workdir, account, ephemeral=ephemeral, detached=arguments.detach)
    paths.make(account)
    lock = Lock(paths.lock)
    lock.take()
    quiet = arguments.output != "pretty"

    def tell(line: str) -> None:
        if not quiet:
            print(f"{time.monotonic() - began:6.2f} s  {line}", flush=True)

    def on_ready(state: State) -> None:
        tell("Ready")
        _show(state, arguments.output)
        if _DETACHED in os.environ:
            print(_READY_MARK, end="", flush=True)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (1, 2):
                os.dup2(nothing, stream)
        elif not quiet:
            print("Press Ctrl-C to stop.", flush=True)

    supervisor = Supervisor(
        config, keys, paths, binaries, account, api_port, db_port, mail_port, ephemeral, tell
    )
    try:
        asyncio.run(supervisor.run(on_ready))
    finally:
        lock.release()
    return 0


def _require_free(name: str, option: str, port: int) -> None:
    if not is_free(port):
        by = holder(port)
        raise StackError(
            f"port {port} for the {name} is taken" + (f" by {by}" if by else ""),
            hint=f"choose another with {option}, or in supabase/config.toml",
        )


def _running(paths: Paths) -> State | None:
    if not Lock(paths.lock).is_held():
        return None
    return State.read(paths.state)


def _require_running(arguments: argparse.Namespace) -> State | None:
    workdir = arguments.workdir.resolve()
    state = _running(Paths.of(workdir, Account.current()))
    if state is None:
        print(f"No stack is running for {workdir}.", file=sys.stderr)
    return state


def _status(arguments: argparse.Namespace) -> int:
    state = _require_running(arguments)
    if state is None:
        return 1
    _show(state, arguments.output)
    return 0


def _show(state: State, output: str) -> None:
    values = state.env()
    if output == "json":
        print(json.dumps(values, indent=2), flush=True)
        return
    if output == "env":
        print("\n".join(f'{name}="{value}"' for name, value in values.items()), flush=True)
        return
    width = max(map(len, values))
    rows = "\n".join(f"  {name:<{width}}  {value}" for name, value in values.items())
    print(f"{rows}\n  {'LOGS':<{width}}  {state.logs}", flush=True)


def _stop(arguments: argparse.Namespace) -> int:
    workdir = arguments.workdir.resolve()
    paths = Paths.of(workdir, Account.current())
    state = _running(paths)
    if state is None:
        print(f"No stack is running for {workdir}.")
        return 0
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _lives(state.pid):
        if time.monotonic() > deadline:
            raise StackError(f"the stack (pid {state.pid}) did not stop within {_STOP_SECONDS:g} s")
        time.sleep(0.02)
    data = f"its data stays in {state.data}" if state.data.exists() else "its data is gone"
    print(f"Stopped the stack of {workdir}; {data}.")
    return 0


def _lives(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return True


def _reset(arguments: argparse.Namespace) -> int:
    _stop(arguments)
    paths = Paths.of(arguments.workdir.resolve(), Account.for_server())
    for folder in (paths.data, paths.files):
        if folder.exists():
            shutil.rmtree(folder)
    print(f"Deleted {paths.data}.")
    return 0


def _test(arguments: argparse.Namespace) -> int:
    from .testing.command import run_tests

    return run_tests(arguments.workdir.resolve(), arguments.test_command)


def _serve(arguments: argparse.Namespace) -> int:
    from .config import load_config
    from .serve import ServeOptions, run

    config = load_config(arguments.workdir)
    run(
        ServeOptions(
            config=config,
            keys=_keys(config, arguments.workdir),
            sockets=arguments.sockets,
            files=arguments.files,
            api_port=arguments.api_port,
            db_port=arguments.db_port,
            mail_port=arguments.mail_port,
        )
    )
    return 0
