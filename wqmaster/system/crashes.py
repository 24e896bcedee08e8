"""Let a command outlive a fault in a library that ends its process.

The managers of ndcctools run in the master's process, and some of their faults end it (F33). What
such a process has done is in the spool and the database, so that another one can continue at once.
"""

import contextlib
import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable

from wqmaster.system.restarts import Pace, Restarts

# Signals by which a fault in a program ends it.
_CRASHES = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}
)
_PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# A start costs seconds of one core, and what makes a manager crash usually passes soon.
_PACE = Pace(longest_pause_seconds=30.0, steady_seconds=10.0)
# A command whose processes all crash earlier than that does not begin at all, after this many.
_MAX_FALSE_STARTS = 5
# systemd's watchdog listens to the process with this number (sd_watchdog_enabled(3)).
_WATCHDOG_VARIABLE = "WATCHDOG_PID"


def die_with_parent(parent: int) -> None:
    """End this process with SIGKILL as soon as `parent`, which has started it, ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def outlive_crashes(say: Callable[[str], None], passing: frozenset[int] = frozenset()) -> None:
    """Go on in a child process, which is replaced at increasing intervals whenever it crashes.

    Only the child returns from here. This process passes signals on, ends as the last child ends,
    and takes the child with it if it is killed. It must have neither threads nor open files that
    matter. The child leads a separate process group, so that a signal to this process's group,
    such as that of Ctrl-C, reaches it once. `say` receives what happens, as a sentence.

    A child that crashes after a request to end is not replaced. Nor is the last of a few that crash
    soon after their starts, if none has ever lived longer: then the command itself is at fault.

    After a crash, a child that ends with one of the exit codes in `passing` is replaced, too: what
    made the library crash, such as a full disk, can also keep the next child from its start.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    watched = {*_PASSED_ON, signal.SIGCHLD, signal.SIGTSTP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    restarts = Restarts(_PACE)
    crashed, false_starts = False, 0.0
    while True:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            die_with_parent(parent)
            if os.environ.get(_WATCHDOG_VARIABLE) == str(parent):
                os.environ[_WATCHDOG_VARIABLE] = str(os.getpid())
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        restarts.started(began)
        status, asked_to_end = _waited(child, watched)
        now = time.monotonic()
        if os.WIFSIGNALED(status):
            number = signal.Signals(os.WTERMSIG(status))
            if number not in _CRASHES:
                _end_by(number)
            if asked_to_end is not None:
                os._exit(128 + asked_to_end)
            if now - began >= _PACE.steady_seconds:
                false_starts = -math.inf
            false_starts += 1
            if false_starts >= _MAX_FALSE_STARTS:
                say(f"a fault in a library ends this process at each start ({number.name})")
                _end_by(number)
            crashed = True
            what = f"a fault in a library ended this process ({number.name})"
        else:
            code = os.WEXITSTATUS(status)
            if not crashed or code not in passing or asked_to_end is not None:
                os._exit(code)
            what = "it cannot go on yet"
        pause = restarts.died(now, now - began) - now
        say(f"{what}; next start in {pause:.0f} s")
        # A request to end that arrives meanwhile.
        found = signal.sigtimedwait(_PASSED_ON - {signal.SIGHUP}, max(0.0, pause))
        if found is not None:
            os._exit(128 + found.si_signo)


def _waited(child: int, watched: set[signal.Signals]) -> tuple[int, int | None]:
    """Wait for `child`, and pass signals on to it.

    Return its status as of waitpid(2), and the first signal that asked it to end, if any did.
    """
    asked_to_end: int | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, asked_to_end
        number = signal.sigwait(watched)
        if number == signal.SIGTSTP:  # Ctrl-Z; `fg` continues both
            os.kill(child, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)
        elif number != signal.SIGCHLD:
            if number != signal.SIGHUP and asked_to_end is None:
                asked_to_end = number
            os.kill(child, number)


def _end_by(number: signal.Signals) -> None:
    """End this process by a signal, as its child."""
    with contextlib.suppress(OSError, ValueError):  # SIGKILL cannot be set
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)
