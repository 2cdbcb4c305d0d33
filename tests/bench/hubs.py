"""
The parts about hubs and workers: one publisher and many subscribers beside
nchan and a Node server, clients that never read, one link for many clients.
"""

import itertools
import os
import statistics

import measure
import relays
import report
from relays import OUT, Nginx, Relay, Wsrelayd, free_port

PARTS = ['fan', 'batch', 'stalled', 'workers', 'tagged']

SMALL, LARGER = 125, 1024
DELIVERIES = 100000     # a second
SUBSCRIBERS = (1000, 5000)
BURST = 10
# Pictures a second to clients of which some never read.
LIVE, STALLED, PICTURE, PICTURES = 100, 100, 16384, 100

# wsrelayd's deliveries per CPU second by a peer's
FAN_GOALS = {SMALL: {'nchan': 1.15, 'node-ws': 1.5},
             LARGER: {'nchan': 1.0, 'node-ws': 1.5}}
BURST_GOAL = 4          # by the figure for single messages
STALLED_GOAL = 1.5      # p99 with stalled clients by that without
STALLED_MEMORY = 2      # messages per stalled client: under way, and newest
WORKERS_GOAL = 1.05     # CPU per message with two by that with one
TAGGED_GOAL = 0.65      # CPU per message by nginx's
ECHO = [(50, SMALL, 1), (1000, SMALL, 1)]

NCHAN = '''load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
''' + relays.NGINX_HTTP + '''    location /sub {{
      nchan_subscriber websocket;
      nchan_channel_id $arg_id;
      nchan_subscriber_first_message newest;
    }}
    location /pub {{
      nchan_publisher websocket;
      nchan_channel_id $arg_id;
    }}
  }}
}}
'''

WSRELAYD_HUB = relays.WSRELAYD_SERVER + '''[route fan]
path = /sub/{{id}}
backend = tcp://127.0.0.1:{trunk}
framing = len32
mode = hub
slow = latest
queue_limit = 16M
{route}
'''

WSRELAYD_TAGGED = relays.WSRELAYD_SERVER + '''[route tagged]
path = /ws
backend = ws://127.0.0.1:{tagged}/
mode = hub
addressing = tagged
{route}
'''


class Nchan(Nginx):
    def fan_options(self, run):
        """How the load generator reaches the channel of that run."""
        return {'u': '/sub?id=%d' % run, 'U': '/pub?id=%d' % run}


class NodeWs(Relay):
    package = '/usr/share/nodejs'

    def available(self):
        return os.path.exists('/usr/bin/node') and \
            os.path.exists(self.package + '/ws')

    def start(self, backends, env=None):
        super().start(backends, dict(env or {}, NODE_PATH=self.package))

    def argv(self, work, backends):
        return ['/usr/bin/node', os.path.join(
            os.path.dirname(os.path.abspath(__file__)), 'broadcast.js'),
            str(self.port)]

    fan_options = Nchan.fan_options


class Floor(Relay):
    """No relay: one send per delivery, and hardly anything else."""

    def argv(self, work, backends):
        return [os.path.join(OUT, 'backend'), '--floor', str(self.port)]

    def fan_options(self, run):
        return {'u': '/', 'U': '/'}


class Hub(Wsrelayd):
    """Its trunk is opened anew for every run: a path of its own."""

    template = WSRELAYD_HUB

    def configure(self, work, text, backends, **more):
        self.trunk = free_port()
        return super().configure(work, text, backends, trunk=self.trunk,
                                 **more)

    def fan_options(self, run):
        return {'u': '/sub/%d' % run, 'l': self.trunk}


class TwoWorkers(Wsrelayd):
    workers = 2


class Tagged(Wsrelayd):
    template = WSRELAYD_TAGGED


def hub_relays():
    return [
        Nchan('nchan', 'nchan (nginx)', NCHAN,
              module='ngx_nchan_module.so'),
        NodeWs('node-ws', 'Node, package ws'),
        Floor('floor', 'one send per delivery'),
        Hub('wsrelayd-hub', 'wsrelayd, hub'),
        TwoWorkers('wsrelayd-2', 'wsrelayd, 2 workers'),
        Tagged('wsrelayd-tagged', 'wsrelayd, tagged hub'),
    ]


# --- tables -----------------------------------------------------------------

def fan_table(title, runs, labels, ours='wsrelayd-hub'):
    rows = []
    for name, results in runs.items():
        ratio = ''
        if ours in runs and name != ours:
            ratio = report.span(report.ratios(runs, ours, name,
                                              'per_cpu_second'))
        rows.append([
            labels[name],
            report.span([r['per_cpu_second'] / 1000 for r in results]),
            report.number(statistics.median(r['rate'] for r in results))] + [
            report.number(statistics.median(
                r['latency_us'][p] for r in results) / 1000)
            for p in ('p50', 'p99', 'max')] + [ratio])
    report.table(title, ['relay', '1000 deliveries per CPU second',
                         'deliveries/s', 'delay p50 ms', 'p99', 'max',
                         'wsrelayd : it'], rows)


def stalled_table(runs):
    rows = [[text] + [
        report.span([r['latency_us'][p] / 1000 for r in runs[name]])
        for p in ('p50', 'p99', 'max')] + [
        report.span([r['cpu_us'] for r in runs[name]]),
        '%.0f' % statistics.median(r['skipped'] for r in runs[name]),
        report.span([r['own_memory'] / 1024 for r in runs[name]])]
        for text, name in (('all read', 'without'),
                           ('%d more do not' % STALLED, 'with'))]
    report.table(
        'slow = latest: %d clients that read, %d pictures of %s a second' %
        (LIVE, PICTURES, report.bytes_text(PICTURE)),
        ['clients', 'delay p50 ms', 'p99', 'max', 'CPU µs/delivery',
         'left out', 'own memory KiB'], rows)


# --- parts ------------------------------------------------------------------

class HubParts:
    """The parts of a Bench that are about hubs and workers."""

    run_ids = itertools.count(1)

    def fan_run(self, relay, **options):
        return measure.fan(relay, next(self.run_ids), w=self.options.warm,
                           d=self.options.seconds, **options)

    def fan(self):
        self.data['fan'] = []
        with self.started('nchan', 'node-ws', 'floor',
                          'wsrelayd-hub') as running:
            for count, size in itertools.product(SUBSCRIBERS,
                                                 (SMALL, LARGER)):
                if self.wanted(size):
                    self.fan_scenario(running, count, size)

    def fan_scenario(self, running, count, size):
        title = '%d subscribers, %s' % (count, report.bytes_text(size))
        runs = self.over_relays(title, running, lambda relay: self.fan_run(
            relay, c=count, s=size, i=DELIVERIES / count))
        self.data['fan'].append([count, size, runs])
        fan_table('Fan-out: ' + title, runs, self.labels)
        for peer, goal in FAN_GOALS[size].items():
            if peer in runs and 'wsrelayd-hub' in runs:
                self.goal('%s: deliveries per CPU second by those of %s' %
                          (title, peer), goal, report.ratios(
                              runs, 'wsrelayd-hub', peer, 'per_cpu_second'),
                          at_least=True)

    def batch(self):
        with self.started('wsrelayd-hub') as running:
            for relay in running:
                runs = self.interleaved('batch', {
                    'single': lambda: self.fan_run(
                        relay, c=1000, s=SMALL, i=DELIVERIES / 1000),
                    'burst': lambda: self.fan_run(
                        relay, c=1000, s=SMALL, b=BURST,
                        i=DELIVERIES / 2000)})
                self.batch_report(runs)

    def batch_report(self, runs):
        self.data['batch'] = runs
        fan_table('Bursts: 1000 subscribers, %s' % report.bytes_text(SMALL),
                  runs, {'single': 'one at a time',
                         'burst': '%d at once' % BURST})
        self.goal('%d messages at once: deliveries per CPU second by those '
                  'of single ones' % BURST, BURST_GOAL,
                  report.ratios(runs, 'burst', 'single', 'per_cpu_second'),
                  at_least=True)

    def stalled(self):
        with self.started('wsrelayd-hub') as running:
            for relay in running:
                options = {'c': LIVE, 's': PICTURE, 'i': PICTURES, 'g': None}
                runs = self.interleaved('stalled', {
                    'without': lambda: self.fan_run(relay, **options),
                    'with': lambda: self.fan_run(relay, x=STALLED,
                                                 **options)})
                self.stalled_report(runs)

    def stalled_report(self, runs):
        self.data['stalled'] = runs
        stalled_table(runs)
        self.goal('%d stalled clients: p99 delay by that without' % STALLED,
                  STALLED_GOAL,
                  [a['latency_us']['p99'] / b['latency_us']['p99']
                   for a, b in zip(runs['with'], runs['without'])])
        self.goal('own memory per stalled client, in messages',
                  STALLED_MEMORY, [r['own_memory_grown'] / STALLED / PICTURE
                                   for r in runs['with']])

    def workers(self):
        with self.started('wsrelayd', 'wsrelayd-2') as running:
            runs = self.over_relays(
                'workers', running, lambda relay: measure.echo(
                    relay, ECHO[0], self.options.warm,
                    self.options.seconds))
        self.data['workers'] = runs
        report.echo_table('Workers: ' + report.scenario_text(ECHO[0]), runs,
                          self.labels, 'wsrelayd-2')
        if len(runs) == 2:
            self.goal('CPU per message with 2 workers by that with 1',
                      WORKERS_GOAL,
                      report.ratios(runs, 'wsrelayd-2', 'wsrelayd'))

    def tagged(self):
        self.data['tagged'] = []
        with self.started('nginx-64k', 'wsrelayd',
                          'wsrelayd-tagged') as running:
            for scenario in ECHO:
                runs = self.over_relays(
                    report.scenario_text(scenario), running,
                    lambda relay: measure.echo(
                        relay, scenario, self.options.warm,
                        self.options.seconds))
                self.tagged_report(scenario, runs)

    def tagged_report(self, scenario, runs):
        title = report.scenario_text(scenario)
        self.data['tagged'].append([scenario, runs])
        report.echo_table('One link for all: ' + title, runs, self.labels,
                          'wsrelayd-tagged')
        if 'nginx-64k' in runs and 'wsrelayd-tagged' in runs:
            self.goal('one link for all, %s: CPU by that of nginx-64k' %
                      title, TAGGED_GOAL,
                      report.ratios(runs, 'wsrelayd-tagged', 'nginx-64k'))
