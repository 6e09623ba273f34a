"""A process that has imported everything and forks one child a command, to save the imports; run by :class:`Machine`.

Reads one JSON line a command on standard input and answers with one:

    {"arguments": [...], "folder": PATH, "log": PREFIX, "action": A, "at": N, "number": E, "after": SECONDS, "limit": B}

The child runs ``onebit ARGUMENTS``, or, where the first is ``module:function``, that function on the others. ``folder``
is watched by ``faults.c``, which does ``action`` at event ``at``; ``after`` kills by the clock instead; files may grow
to ``limit`` bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time

ACTIONS = ("nothing", "kill", "full", "read-only", "vanish", "interrupt")


def prepare() -> None:
    """Import what the commands import, and use what is slow to use for the first time."""
    import pooch
    import requests  # noqa: F401 - pooch imports it when it downloads
    import sklearn.datasets
    import torch
    import torch._dynamo
    from tests.kill import writers

    import onebit.cli.plot
    import onebit.evidence.page  # noqa: F401
    from onebit.cli.main import main
    from onebit.evidence import grid  # noqa: F401

    pooch.get_logger()
    torch.set_num_threads(1)
    digits = sklearn.datasets.load_digits()
    sklearn.datasets.load_digits = lambda *a, **k: digits
    # Not training: a process that has used autograd must not fork.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for command, file in (("pack", "a.onebit"), ("export", "a.onnx")):
            more = ["--to", "onnx"] if command == "export" else []
            main([command, "mlp", "--data", "digits", *more, "--samples", "0", "-o", f"{folder}/{file}"])
        writers.history(folder)


def child(command: dict, faults: ctypes.CDLL) -> int:
    if command.get("limit") is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["limit"], command["limit"]))
    faults.faults_arm(
        command["folder"].encode(), command.get("at") or 0, ACTIONS.index(command["action"]), command.get("number") or 0
    )
    name, *arguments = command["arguments"]
    if ":" in name:
        module, _, function = name.partition(":")
        getattr(importlib.import_module(module), function)(*arguments)
        return 0
    from onebit.cli.main import main

    return main([name, *arguments])


def main() -> None:
    faults = ctypes.CDLL(None)
    faults.faults_counter.restype = ctypes.POINTER(ctypes.c_long)
    faults.faults_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
    counter = faults.faults_counter()
    prepare()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print("ready", file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        counter.contents.value = 0
        began = time.monotonic()
        process = os.fork()
        if process == 0:
            status = 99
            try:
                os.setsid()
                for number, name in ((1, "out"), (2, "err")):
                    os.dup2(os.open(command["log"] + name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666), number)
                status = child(command, faults)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        after = command.get("after")
        while True:
            found, status = os.waitpid(process, os.WNOHANG if after is not None else 0)
            if found:
                break
            if time.monotonic() - began >= after:
                os.kill(process, command.get("number") or signal.SIGKILL)
                after = None
            time.sleep(0.0005)
        answer = {"status": os.waitstatus_to_exitcode(status), "events": counter.contents.value}
        print(json.dumps(answer | {"seconds": time.monotonic() - began}), file=answers)
    os._exit(0)  # taking everything apart takes longer than the tests


if __name__ == "__main__":
    main()
