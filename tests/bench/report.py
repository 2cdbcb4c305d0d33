"""Tables for people, and plots of the same figures."""

import os
import statistics

from relays import OUT


def spread(values):
    """median, least, greatest"""
    return statistics.median(values), min(values), max(values)


def number(value):
    """About three significant digits, without an exponent."""
    if value is None:
        return '-'
    if 0 < abs(value) < 0.1:
        return '%.5f' % value
    if abs(value) >= 100:
        return '%.0f' % value
    return '%.*f' % (1 if abs(value) >= 10 else 2, value)


def span(values):
    middle, least, greatest = spread(values)
    return '%s [%s..%s]' % (number(middle), number(least),
                            number(greatest))


def bytes_text(size):
    if size >= 1 << 20 and size % (1 << 20) == 0:
        return '%d MiB' % (size >> 20)
    if size >= 1024 and size % 1024 == 0:
        return '%d KiB' % (size >> 10)
    return '%d B' % size


def scenario_text(scenario):
    clients, size, in_flight = scenario
    text = '%d connection%s, %s' % (clients, 's' if clients > 1 else '',
                                    bytes_text(size))
    return text + (', %d in flight' % in_flight if in_flight > 1 else '')


def verdict(values, goal, at_least=False):
    """A goal is met by the median, or when it lies within the spread."""
    sign = -1 if at_least else 1
    middle, best, _ = spread([sign * value for value in values])
    if middle <= sign * goal:
        return 'met'
    return 'met (in spread)' if best <= sign * goal else 'MISSED'


def table(title, columns, rows):
    """Prints a table that is Markdown, too; the first column is text."""
    rows = [columns] + rows
    widths = [max(len(row[i]) for row in rows)
              for i in range(len(columns))]
    print('\n### %s\n' % title)
    for line, row in enumerate(rows):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print('| ' + ' | '.join(cells) + ' |')
        if line == 0:
            print('|' + '|'.join(
                ('-' * (width + 1) + ('-' if i == 0 else ':'))
                for i, width in enumerate(widths)) + '|')


def ratios(runs, ours, peer, key='cpu_us'):
    """Ours by theirs, per round."""
    return [a[key] / b[key] for a, b in zip(runs[ours], runs[peer])
            if b[key] > 0]


def echo_table(title, runs, labels, ours='wsrelayd'):
    rows = []
    for name, results in runs.items():
        ratio = ''
        if ours in runs and name != ours:
            ratio = span(ratios(runs, ours, name))
        rows.append([
            labels[name],
            span([r['cpu_us'] for r in results]),
            number(statistics.median(r['rate'] for r in results))] + [
            number(statistics.median(r['latency_us'][p] for r in results))
            for p in ('p50', 'p90', 'p99', 'p99.9', 'max')] + [ratio])
    table(title, ['relay', 'CPU µs/message', 'messages/s', 'p50 µs', 'p90',
                  'p99', 'p99.9', 'max', 'wsrelayd : it'], rows)


def connect_table(runs, labels, ours='wsrelayd'):
    rows = []
    for name, results in runs.items():
        ratio = ''
        if ours in runs and name != ours:
            ratio = span(ratios(runs, ours, name))
        rows.append([
            labels[name], span([r['cpu_us'] for r in results]),
            number(statistics.median(r['rate'] for r in results)),
            number(statistics.median(r['latency_us']['p50']
                                     for r in results)),
            number(statistics.median(r['latency_us']['p99']
                                     for r in results)), ratio])
    table('Connects: connect, upgrade, one echo, closing handshake',
          ['relay', 'CPU µs/connect', 'connects/s', 'to the 101 p50 µs',
           'p99', 'wsrelayd : it'], rows)


def syscall_table(results, labels):
    rows = []
    for name, sizes in results.items():
        for figure in sizes:
            shown = ', '.join('%s %s' % (call, number(count))
                              for call, count in
                              sorted(figure['calls'].items(),
                                     key=lambda item: -item[1])
                              if count >= 0.01)
            rows.append([labels[name], bytes_text(figure['size']),
                         '%.2f' % figure['total'],
                         '%.2f' % figure['waits'], shown])
    table('System calls per echoed message, one in flight',
          ['relay', 'message', 'calls', 'waits', 'all of them'], rows)


def memory_table(results, labels, over=''):
    rows = [[labels[name], str(figure['pairs'])] + [
        '%.2f' % (figure[key] / 1024)
        for key in ('before_burst', 'after_burst', 'left_when_closed')]
        for name, figure in results.items()]
    table('Own memory per idle pair%s, KiB (burst: 64 KiB on every pair)' %
          over,
          ['relay', 'pairs', 'fresh', 'after a burst', 'all closed'], rows)


def allocation_table(results):
    rows = [[scenario_text((r['clients'], r['size'], r['in_flight'])),
             str(r['messages']), str(r['allocations']),
             '%.5f' % r['per_message']] for r in results]
    table('Allocations of wsrelayd',
          ['scenario', 'messages', 'allocations', 'per message'], rows)


def sweep_table(results, labels):
    names = list(results)
    rows = [['%d B' % results[names[0]][i]['size']] +
            [number(results[name][i]['median_us']) for name in names]
            for i in range(len(results[names[0]]))]
    table('Round trip by size, median µs (1 connection, 1 in flight)',
          ['message'] + [labels[name] for name in names], rows)


def goal_table(goals):
    table('Goals', ['goal', 'wanted', 'measured', 'verdict'], goals)


# --- plots -----------------------------------------------------------------

def save(figure, name):
    for kind in ('png', 'svg'):
        figure.savefig(os.path.join(OUT, '%s.%s' % (name, kind)), dpi=120)


def plot_sizes(plt, results, labels):
    for key, title, name in (
            ('median_us', 'Round trip, µs (line: median, band: 10–90 %)',
             'latency-by-size'),
            ('cpu_us', "Relay's CPU per echoed message, µs",
             'cpu-by-size')):
        figure, axes = plt.subplots(figsize=(9, 6), layout='constrained')
        for relay, points in results.items():
            if points[0][key] is None:
                continue
            sizes = [p['size'] for p in points]
            line, = axes.plot(sizes, [p[key] for p in points], 'o-',
                              markersize=3, label=labels[relay])
            if key == 'median_us':
                deciles = [statistics.quantiles(p['samples_us'], n=10)
                           for p in points]
                axes.fill_between(sizes, [d[0] for d in deciles],
                                  [d[-1] for d in deciles], alpha=0.12,
                                  color=line.get_color())
        axes.set(xscale='log', yscale='log', title=title,
                 xlabel='message, bytes', ylabel='µs')
        axes.grid(True, which='both', alpha=0.2)
        axes.legend()
        save(figure, name)
        plt.close(figure)


def plot_samples(plt, results, labels):
    """Every sample in the order of time: pauses show as spikes."""
    count = len(next(iter(results.values())))
    chosen = [0, count // 3, 2 * count // 3, count - 1]
    figure, axes = plt.subplots(
        len(results), len(chosen), figsize=(13, 1.7 * len(results)),
        squeeze=False, sharex=True, sharey='col', layout='constrained')
    for row, (relay, points) in zip(axes, results.items()):
        for axis, i in zip(row, chosen):
            axis.plot(points[i]['samples_us'], linewidth=0.7)
            axis.set_yscale('log')
            axis.grid(True, alpha=0.2)
        row[0].set_ylabel(labels[relay].replace(', ', ',\n'), fontsize=7)
    for axis, i in zip(axes[0], chosen):
        axis.set_title('%d B' % next(iter(results.values()))[i]['size'],
                       fontsize=9)
    figure.suptitle('Round trip of every sample in order, µs')
    save(figure, 'samples')
    plt.close(figure)


def plot_echo(plt, runs_by_scenario, labels):
    count = len(runs_by_scenario)
    figure, axes = plt.subplots(
        count, 1, figsize=(9, 2.1 * count), squeeze=False,
        layout='constrained')
    for axis, (scenario, runs) in zip(axes[:, 0], runs_by_scenario):
        names = list(runs)[::-1]
        spreads = [spread([r['cpu_us'] for r in runs[n]]) for n in names]
        axis.barh(
            [labels[n] for n in names], [s[0] for s in spreads],
            xerr=[[s[0] - s[1] for s in spreads],
                  [s[2] - s[0] for s in spreads]],
            color=['#2a7' if n.startswith('wsrelayd') else '#89a'
                   for n in names], capsize=2)
        axis.set_title(scenario_text(scenario), fontsize=9)
        axis.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("relay's CPU, µs per echoed message")
    save(figure, 'cpu-by-scenario')
    plt.close(figure)


def plots(results_echo, results_sweep, labels):
    """Returns whether there were any: matplotlib is optional."""
    try:
        import matplotlib
        matplotlib.use('Agg')
        import matplotlib.pyplot as plt
    except ImportError:
        return False
    if results_echo:
        plot_echo(plt, results_echo, labels)
    if results_sweep:
        plot_sizes(plt, results_sweep, labels)
        plot_samples(plt, results_sweep, labels)
    return bool(results_echo or results_sweep)
