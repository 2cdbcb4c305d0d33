"""For tests whose times are short: a machine that is slow, or busy with other
things, is given longer ones.

    @unhurried
    def test_idle(relay, pace):
        r = relay(f"idle_timeout = {600 * pace}ms")

runs with pace 1 first, which any quiet machine keeps up with. When that fails
it runs again with the others: what is wrong with the daemon, and not with the
machine, fails at all of them. That it had to is a warning at the end.
"""
import functools
import inspect
import warnings

PACES = 1, 4, 12


def unhurried(test):
    @functools.wraps(test)
    def patient(**fixtures):
        for pace in PACES:
            try:
                return test(pace=pace, **fixtures)
            except (AssertionError, OSError, EOFError) as error:
                if pace == PACES[-1]:
                    raise
                warnings.warn(f"{test.__name__} fails at pace {pace}: "
                              f"{type(error).__name__}: {str(error)[:200]}")

    signature = inspect.signature(test)
    patient.__signature__ = signature.replace(parameters=[
        p for name, p in signature.parameters.items() if name != "pace"])
    return patient
