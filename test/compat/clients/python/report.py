"""How a program tells the test beside it what it found, and asks it to do something to the server. See ../programs.ts."""

import sys
import traceback


def scenario(name, run):
    try:
        run()
    except Exception as error:
        traceback.print_exc()
        print(f"not ok {name}: {type(error).__name__} {error}".replace("\n", " "), flush=True)
    else:
        print(f"ok {name}", flush=True)


def ask(action):
    """`pause`, `resume` or `restart` the server. Returns when that is done."""
    print(f"do {action}", flush=True)
    if sys.stdin.readline() != "done\n":
        raise EOFError("the test is gone")


def equal(found, wanted, what="it"):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def fails(call, error, text=None):
    """`call` must raise `error`, with `text` as what the server said about it."""
    try:
        found = call()
    except error as raised:
        # The library leaves codes that it has no exception for as they are, and hides the text of the others in their context.
        status = raised if hasattr(raised, "details") else raised.__context__
        if text is not None:
            equal(status.details(), text, "the error")
        return raised
    raise AssertionError(f"no {error.__name__} but {found!r}")
