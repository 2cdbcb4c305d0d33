"""One function per kind of measurement; figures are plain dictionaries."""

import json
import os
import re
import signal
import statistics
import subprocess
import time

from relays import LOAD_CORE, OUT, Failed, Process

# System calls that wait; how often is a matter of load, not of the relay.
WAITS = {'epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'poll', 'ppoll',
         'select', 'pselect6', 'rt_sigsuspend', 'restart_syscall'}

# As WebSockets.jl's benchmark: 1020 i^3 bytes, 200 samples each.
SWEEP_SIZES = [1020 * i ** 3 for i in range(1, 13)]
SWEEP_SAMPLES = 200


def argv_of(program, relay, options):
    """Options are letters; one that is None stands alone."""
    argv = [os.path.join(OUT, program),
            '-a', '127.0.0.1:%d' % relay.port]
    for pid in relay.pids():
        argv += ['-p', str(pid)]
    for key, value in options.items():
        argv += ['-' + key] + ([] if value is None else [str(value)])
    return argv


def load_argv(relay, options):
    argv = argv_of('load', relay, options) + ['-u', relay.path]
    for key, value in relay.load_options().items():
        argv += ['-' + key, value]
    return argv + ['-r'] if relay.stream else argv


def pin_to_load_core():
    os.sched_setaffinity(0, {LOAD_CORE})


def result_of(relay, argv, timeout=60):
    """Runs a load generator."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, preexec_fn=pin_to_load_core)
    except subprocess.TimeoutExpired:
        raise Failed('%s: the load did not end in %d s' %
                     (relay.name, timeout))
    if done.returncode != 0:
        raise Failed('%s: %s' % (relay.name, done.stderr.strip() or
                                 'load: status %d' % done.returncode))
    return json.loads(done.stdout)


def load(relay, **options):
    return result_of(relay, load_argv(relay, options))


def fan(relay, run, **options):
    """One publisher, many subscribers; every run has a channel of its own."""
    options.update(relay.fan_options(run))
    return result_of(relay, argv_of('fan', relay, options))


def echo(relay, scenario, warm, seconds):
    clients, size, in_flight = scenario
    return load(relay, c=clients, s=size, k=in_flight, w=warm, d=seconds)


def connects(relay, warm, seconds):
    return load(relay, M='connect', c=20, w=warm, d=seconds)


def sweep(relay):
    """One client, one message in flight, at every size."""
    results = []
    for size in SWEEP_SIZES:
        result = load(relay, c=1, k=1, s=size, W=50, n=SWEEP_SAMPLES)
        results.append({
            'size': size,
            'samples_us': result['samples_us'],
            'median_us': statistics.median(result['samples_us']),
            'cpu_us': result['cpu_us'] if relay.pids() else None})
    return results


# --- memory ----------------------------------------------------------------

def own_memory(relay):
    """Anonymous memory of all the relay's processes, in bytes."""
    total = 0
    for pid in relay.pids():
        with open('/proc/%d/smaps_rollup' % pid) as f:
            found = re.search(r'^Pss_Anon:\s+(\d+) kB', f.read(), re.M)
        total += int(found.group(1)) * 1024
    return total


def settled_memory(relay):
    """Waits until it has rested for 3 s, at most 10: relays tidy up later."""
    last, since = own_memory(relay), time.monotonic()
    until = since + 10
    while time.monotonic() < min(until, since + 3):
        time.sleep(0.5)
        now = own_memory(relay)
        if now != last:
            last, since = now, time.monotonic()
    return last


class Held:
    """Clients that stay connected until told otherwise."""

    def __init__(self, relay, clients, size):
        self.relay = relay
        self.popen = subprocess.Popen(
            load_argv(relay, {'M': 'hold', 'c': clients, 's': size}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            preexec_fn=pin_to_load_core)
        self.expect('open')

    def expect(self, word):
        # The load generator itself gives up when nothing moves.
        line = self.popen.stdout.readline().strip()
        if line != word:
            self.popen.kill()
            raise Failed('%s: %s' % (self.relay.name,
                                     self.popen.stderr.read().strip()))

    def burst(self):
        self.popen.stdin.write('burst\n')
        self.popen.stdin.flush()
        self.expect('done')

    def close(self):
        self.popen.communicate(timeout=60)
        if self.popen.returncode != 0:
            raise Failed('%s: idle clients failed' % self.relay.name)


def idle_memory(relay, backends, pairs, size=65536):
    """
    Own memory per idle pair, in bytes, of a relay started for this. Some
    pairs and a burst before the first reading take what is there once for
    all (scratch buffers, tables) out of the difference.
    """
    relay.start(backends)
    first = Held(relay, 100, size)
    first.burst()
    base = settled_memory(relay)
    held = Held(relay, pairs, size)
    before = settled_memory(relay)
    held.burst()
    after = settled_memory(relay)
    held.close()
    closed = settled_memory(relay)
    first.close()
    relay.stop()
    return {'pairs': pairs, 'base': base,
            'before_burst': (before - base) / pairs,
            'after_burst': (after - base) / pairs,
            'left_when_closed': (closed - base) / pairs}


# --- system calls ----------------------------------------------------------

def strace_table(text):
    """name -> calls, of the output of strace -c."""
    calls = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and re.match(r'[\d.]+$', fields[0]) and \
                fields[-1] != 'total':
            calls[fields[-1]] = int(fields[3])
    return calls


def traced(relay, size, messages):
    """System calls of the relay while a client sends so many messages."""
    file = os.path.join(OUT, 'work', 'strace.txt')
    argv = ['strace', '-c', '-f', '-o', file]
    pids = relay.pids()
    for pid in pids:
        argv += ['-p', str(pid)]
    tracer = Process('strace', argv, LOAD_CORE)
    until = time.monotonic() + 10
    attached = 0
    while attached < len(pids) and time.monotonic() < until:
        with open(tracer.log) as f:
            attached = f.read().count(' attached')
        time.sleep(0.02)
    if attached < len(pids):
        raise Failed('strace does not attach:\n' + open(tracer.log).read())
    load(relay, c=1, k=1, s=size, W=50, n=messages)
    tracer.signal(signal.SIGINT)
    tracer.popen.wait(10)
    tracer.stop()
    with open(file) as f:
        text = f.read()
    return strace_table(text), text


def system_calls(relay, size):
    """
    Per echoed message with one in flight: the difference of a long and a
    short run, so that connecting and closing do not count.
    """
    messages = 400 if size > 100000 else 2000
    short, _ = traced(relay, size, 100)
    long, table = traced(relay, size, 100 + messages)
    calls = {name: (count - short.get(name, 0)) / messages
             for name, count in long.items()}
    return {'size': size, 'calls': calls, 'table': table,
            'waits': sum(n for name, n in calls.items() if name in WAITS),
            'total': sum(n for name, n in calls.items()
                         if name not in WAITS)}


# --- allocations -----------------------------------------------------------

def allocations(relay, backends, scenarios, seconds):
    """Calls of malloc and its kin per message; a relay of its own."""
    file = os.path.join(OUT, 'work', 'allocations')
    if os.path.exists(file):
        os.remove(file)
    relay.start(backends, {
        'LD_PRELOAD': os.path.join(OUT, 'malloc_count.so'),
        'MALLOC_COUNT_FILE': file})
    results = []
    for clients, size, in_flight in scenarios:
        result = load(relay, c=clients, s=size, k=in_flight, w=0.5,
                      d=seconds, m=file)
        result['per_message'] = result['allocations'] / result['messages']
        results.append(result)
    relay.stop()
    return results
