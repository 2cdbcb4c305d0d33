"""
The parts about TLS: the same certificate, suite and curve for nginx, haproxy
and wsrelayd; their backends have none.
"""

import functools
import json
import os
import statistics
import subprocess

import measure
import relays
import report
from relays import OUT, Failed, Haproxy, Nginx, Wsrelayd

PARTS = ['tls-echo', 'tls-connects', 'tls-memory', 'tls-storm']

AES = 'ECDHE-ECDSA-AES128-GCM-SHA256'
CHACHA = 'ECDHE-ECDSA-CHACHA20-POLY1305'
CERTIFICATE = os.path.join(OUT, 'work', 'tls-certificate.pem')
KEY = os.path.join(OUT, 'work', 'tls-key.pem')
BOTH = os.path.join(OUT, 'work', 'tls-both.pem')

SMALL, MIDDLE, LARGE = 125, 16384, 262144
SCENARIOS = [(50, SMALL, 1), (50, SMALL, 16), (50, MIDDLE, 1),
             (50, LARGE, 1)]
# scenario -> wsrelayd's CPU per message by nginx's
GOALS = {SCENARIOS[0]: 1.0, SCENARIOS[1]: 1.2}
RESUMED_GOAL = 0.3      # CPU of one by that of nginx's full handshake
MEMORY_GOAL = 16 * 1024
# A storm: new clients a second beside messages a second of 50 clients.
STORM, MESSAGES, CLIENTS = 200, 1000, 50
STORM_GOAL_MS = 10
# How clients come, with TLS or without: name, more options of the load.
CONNECTS = {True: [('full', {}), ('resumed', {'e': None})],
            False: [('plain', {})]}

NGINX = relays.NGINX_PROXY.replace(
    'listen 127.0.0.1:{port} backlog=4096;',
    '''listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2;
    ssl_ciphers ''' + AES + ''';
    ssl_ecdh_curve prime256v1;''')

HAPROXY = relays.HAPROXY.replace(
    'backlog 4096', 'backlog 4096 ssl crt {both} ciphers ' + AES +
    ' curves P-256 ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2')

WSRELAYD = relays.WSRELAYD_PAIRS.replace(
    '[listen bench]\n', '''[certificate bench]
chain_file = {certificate}
key_file = {key}
[listen bench]
certificates = bench
''')


def make_certificate():
    """For localhost, P-256, signed by itself."""
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
         'ec_paramgen_curve:P-256', '-nodes', '-keyout', KEY, '-out',
         CERTIFICATE, '-days', '2', '-subj', '/CN=localhost', '-addext',
         'subjectAltName=DNS:localhost'], check=True, capture_output=True)
    with open(BOTH, 'w') as both:
        for name in (CERTIFICATE, KEY):
            with open(name) as file:
                both.write(file.read())


class OverTls:
    """A relay that speaks TLS: what its load generator has to be told."""

    suite = AES

    def configure(self, work, text, backends, **more):
        return super().configure(work, text, backends, both=BOTH, key=KEY,
                                 certificate=CERTIFICATE, **more)

    def load_options(self):
        return {'T': CERTIFICATE, 'S': self.suite}


class TlsNginx(OverTls, Nginx):
    pass


class TlsHaproxy(OverTls, Haproxy):
    template = HAPROXY


class TlsWsrelayd(OverTls, Wsrelayd):
    template = WSRELAYD


class ChachaWsrelayd(TlsWsrelayd):
    suite = CHACHA


def tls_relays():
    return [
        TlsNginx('nginx-tls', 'nginx, 64 KiB buffers', NGINX,
                 relays.NGINX_64K),
        TlsHaproxy('haproxy-tls', 'haproxy, http'),
        TlsWsrelayd('wsrelayd-tls', 'wsrelayd, AES-128-GCM'),
        ChachaWsrelayd('wsrelayd-chacha', 'wsrelayd, ChaCha20-Poly1305'),
    ]


# --- tables -----------------------------------------------------------------

def crypto_table(crypto, echoes):
    """What of an echo's CPU time is cryptography."""
    rows = []
    for scenario, runs in echoes:
        for name, suite in (('wsrelayd-tls', 'aes-128-gcm'),
                            ('wsrelayd-chacha', 'chacha20-poly1305')):
            if name not in runs or scenario[2] > 1:
                continue
            alone = crypto[suite][str(scenario[1])]
            whole = statistics.median(r['cpu_us'] for r in runs[name])
            rows.append([report.bytes_text(scenario[1]), suite,
                         report.number(alone), report.number(whole),
                         '%.0f %%' % (100 * alone / whole)])
    report.table('Cryptography in an echo: opening and sealing one message',
                 ['message', 'suite', 'alone, CPU µs',
                  'the whole echo, CPU µs', 'share'], rows)


def storm_table(results, labels):
    rows = []
    for name, runs in results.items():
        for text, key in (('calm', 'calm'), ('storm', 'storm')):
            rows.append([labels[name], text] + [
                report.span([r[key]['latency_us'][p] / 1000 for r in runs])
                for p in ('p50', 'p99', 'max')] + [
                '' if key == 'calm' else '%.0f' % statistics.median(
                    r['connects']['rate'] for r in runs),
                '' if key == 'calm' else report.span(
                    [r['connects']['latency_us']['p99'] / 1000
                     for r in runs])])
    report.table(
        '%d new TLS clients a second beside %d messages a second of %d' %
        (STORM, MESSAGES, CLIENTS),
        ['relay', '', 'round trip p50 ms', 'p99', 'max', 'connects/s',
         'to the 101 p99 ms'], rows)


# --- measuring --------------------------------------------------------------

def paced(relay, warm, seconds):
    """Messages on a schedule; one that is lost ends the benchmark."""
    return measure.load(relay, c=CLIENTS, s=SMALL, k=64, i=MESSAGES, w=warm,
                        d=seconds)


def storm(relay, warm, seconds):
    """The fifty are there before it, and measured while it lasts."""
    calm = paced(relay, warm, seconds)
    argv = measure.load_argv(relay, {
        'M': 'connect', 'c': STORM, 'i': STORM, 'w': 0.2,
        'd': warm + seconds + 3})
    popen = subprocess.Popen(
        ['sh', '-c', 'sleep 0.3; exec "$@"', 'storm'] + argv,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        preexec_fn=measure.pin_to_load_core)
    under = paced(relay, warm + 1, seconds)
    if popen.poll() is not None:
        raise Failed('%s: the storm was over too soon: %s' %
                     (relay.name, popen.communicate()[1].strip()))
    out, errors = popen.communicate(timeout=30)
    if popen.returncode != 0:
        raise Failed('%s: %s' % (relay.name, errors.strip()))
    return {'calm': calm, 'storm': under, 'connects': json.loads(out)}


def connects(relay, options, more):
    result = measure.load(relay, M='connect', c=20, w=options.warm,
                          d=options.seconds, **more)
    # Sessions are resumed from the second time on, before the window.
    if (result['resumed'] > 0.9 * result['connects']) != ('e' in more):
        raise Failed('%s: %d of %d TLS sessions were resumed' % (
            relay.name, result['resumed'], result['connects']))
    return result


class TlsParts:
    """The parts of a Bench that are about TLS."""

    def tls_echo(self):
        self.data['tls_echo'] = []
        with self.started('nginx-tls', 'haproxy-tls', 'wsrelayd-tls',
                          'wsrelayd-chacha') as running:
            for scenario in SCENARIOS:
                if self.wanted(scenario[1]):
                    self.tls_echo_scenario(running, scenario)
        done = subprocess.run(
            [os.path.join(OUT, 'crypto')] +
            sorted({str(s[1]) for s in SCENARIOS}), check=True, text=True,
            capture_output=True, preexec_fn=measure.pin_to_load_core)
        self.data['crypto'] = json.loads(done.stdout)
        crypto_table(self.data['crypto'], self.data['tls_echo'])

    def tls_echo_scenario(self, running, scenario):
        title = report.scenario_text(scenario)
        runs = self.over_relays(
            'TLS: ' + title, running, lambda relay: measure.echo(
                relay, scenario, self.options.warm, self.options.seconds))
        self.data['tls_echo'].append([scenario, runs])
        report.echo_table('Echo over TLS: ' + title, runs, self.labels,
                          'wsrelayd-tls')
        for name, text in (('wsrelayd-tls', 'the same suite'),
                           ('wsrelayd-chacha', 'ChaCha20')):
            if scenario in GOALS and {'nginx-tls', name} <= set(runs):
                self.goal('TLS, %s, %s: CPU by that of nginx' % (title, text),
                          GOALS[scenario],
                          report.ratios(runs, name, 'nginx-tls'))

    def tls_connects(self):
        """With plain ones, so that the handshakes alone can be told."""
        ways, labels = {}, {}
        with self.started('nginx-64k', 'nginx-tls', 'haproxy-tls', 'wsrelayd',
                          'wsrelayd-tls') as running:
            for relay in running:
                for text, more in CONNECTS[isinstance(relay, OverTls)]:
                    name = '%s, %s' % (relay.name, text)
                    labels[name] = '%s: %s' % (relay.label, text)
                    ways[name] = functools.partial(
                        connects, relay, self.options, more)
            runs = self.interleaved('TLS connects', ways)
        self.data['tls_connects'] = runs
        report.connect_table(runs, labels, None)
        wanted = ('nginx-tls, full', 'nginx-64k, plain',
                  'wsrelayd-tls, resumed', 'wsrelayd, plain')
        if set(wanted) <= set(runs):
            full, nginx, resumed, ours = (
                [r['cpu_us'] for r in runs[name]] for name in wanted)
            self.goal("a resumed handshake: CPU by that of nginx's full one, "
                      'both without the plain connect', RESUMED_GOAL,
                      [(r - o) / (f - n) for r, o, f, n in
                       zip(resumed, ours, full, nginx)])

    def tls_memory(self):
        results = {}
        for relay in self.fresh('nginx-tls', 'haproxy-tls', 'wsrelayd-tls'):
            results[relay.name] = measure.idle_memory(
                relay, self.backends, self.options.pairs)
        self.data['tls_memory'] = results
        report.memory_table(results, self.labels, ' over TLS')
        figure = results.get('wsrelayd-tls')
        if figure:
            self.goal('bytes per idle TLS client', MEMORY_GOAL,
                      [figure['before_burst']])
            self.goal('bytes per idle TLS client after a burst', MEMORY_GOAL,
                      [figure['after_burst']])

    def tls_storm(self):
        with self.started('nginx-tls', 'haproxy-tls',
                          'wsrelayd-tls') as running:
            runs = self.over_relays(
                'TLS storm', running, lambda relay: storm(
                    relay, self.options.warm, self.options.seconds))
        self.data['tls_storm'] = runs
        storm_table(runs, self.labels)
        if 'wsrelayd-tls' in runs:
            self.goal('%d new TLS clients a second: p99 round trip of '
                      'others, ms' % STORM, STORM_GOAL_MS,
                      [r['storm']['latency_us']['p99'] / 1000
                       for r in runs['wsrelayd-tls']])
