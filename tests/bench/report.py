#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""report.py - tables and plots from the results of scripts/bench.sh.

report.py RESULTS [STAGE...]   prints the tables of these stages (or all)
report.py RESULTS --write      also writes docs/performance.md and the plots

RESULTS has lines of stage, column, x, metric, value; one value a repetition.
"""
import os
import statistics
import sys
from collections import defaultdict

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    '..', '..', 'docs')
COLOURS = {'plain': '#888888', 'one cache line': '#d4a6c8',
           'bare lookup': '#bab0ac',
           'conntrack': '#b07aa1', 'iptables': '#e15759', 'nft': '#f28e2b',
           'old': '#9c755f', 'masqbpf': '#4e79a7', 'old+fast': '#edc948',
           'masqbpf+fast': '#59a14f',
           'masqbpf+conntrack': '#76b7b2',
           'masqbpf+fast+conntrack': '#8cd17d'}
COLUMNS = list(COLOURS)
MARK = '<!-- written by scripts/bench.sh below this line -->\n'


class Results:
    def __init__(self, path):
        self.values = defaultdict(list)
        self.about = {}
        with open(path, encoding='utf-8') as f:
            for line in f:
                stage, column, x, metric, value = line.rstrip('\n').split('\t')
                if stage == 'about':
                    self.about[x] = value
                elif value:
                    self.values[stage, column, x, metric].append(float(value))

    def get(self, stage, column, x, metric):
        return self.values.get((stage, column, x, metric), [])

    def columns(self, stage):
        have = {k[1] for k in self.values if k[0] == stage}
        return [c for c in COLUMNS if c in have] + \
            sorted(have - set(COLUMNS))

    def xs(self, stage):
        return list(dict.fromkeys(k[2] for k in self.values if k[0] == stage))


def middle(values, digits=0, spread=True):
    """Median with least and greatest value."""
    if not values:
        return '-'
    text = f'{statistics.median(values):,.{digits}f}'
    if spread and len(values) > 1:
        text += f' ({min(values):,.{digits}f}..{max(values):,.{digits}f})'
    return text


def added(r, column, x, stage='packets'):
    """What a column adds to plain forwarding, by pairs of one repetition."""
    pairs = zip(r.get(stage, column, x, 'ns'), r.get(stage, 'plain', x, 'ns'))
    return [a - b for a, b in pairs]


def part(r, column, x, stage='packets'):
    """Of what iptables adds, what a column adds."""
    ours, theirs = (added(r, c, x, stage) for c in (column, 'iptables'))
    if not ours or not theirs:
        return None
    return statistics.median(ours) / statistics.median(theirs)


def table(head, rows):
    """GitHub's table, readable as it stands."""
    rows = [[str(c) for c in row] for row in [head] + rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    out = []
    for n, row in enumerate(rows):
        out.append('| ' + ' | '.join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths))) + ' |')
        if n == 0:
            out.append('|' + '|'.join(
                '-' * (w + 2) if i == 0 else '-' * (w + 1) + ':'
                for i, w in enumerate(widths)) + '|')
    return '\n'.join(out) + '\n'


def flows_of(x):
    return int(x.split()[0])


def packets(r, stage='packets'):
    out = []
    for order, how in (('random', 'in random order'), ('seq', 'in turn')):
        xs = [x for x in r.xs(stage) if x.endswith(order)]
        columns = r.columns(stage)
        if not xs:
            continue
        out.append(f'Nanoseconds per packet, the whole way, flows {how}:\n')
        out.append(table(['flows'] + columns, [
            [f'{flows_of(x):,}'] + [middle(r.get(stage, c, x, 'ns'))
                                    for c in columns] for x in xs]))
        out.append(f'Added to plain forwarding, flows {how} (pairs of one '
                   'repetition), and masqbpf\'s and the old program\'s part of '
                   'what iptables adds:\n')
        rows = []
        for x in xs:
            row = [f'{flows_of(x):,}'] + [middle(added(r, c, x, stage))
                                          for c in columns[1:]]
            for who in ('masqbpf', 'old'):
                ratio = part(r, who, x, stage)
                row.append('-' if ratio is None else f'{ratio:.2f}')
            rows.append(row)
        out.append(table(['flows'] + columns[1:] + ['part', 'old part'], rows))
        out.append(f'Packets per second of one processor, flows {how}, '
                   'millions:\n')
        out.append(table(['flows'] + columns, [
            [f'{flows_of(x):,}'] +
            [middle([1e3 / v for v in r.get(stage, c, x, 'ns')], 2, False)
             for c in columns] for x in xs]))
        fast = [c for c in columns if r.get(stage, c, xs[0], 'share')]
        if fast:
            out.append(f'Packets that take the fast path, of a hundred, flows '
                       f'{how}:\n')
            out.append(table(['flows'] + fast, [
                [f'{flows_of(x):,}'] +
                [middle(r.get(stage, c, x, 'share'), 1) for c in fast]
                for x in xs]))
    return '\n'.join(out)


def tcp(r):
    return packets(r, 'tcp')


def programs(r):
    rows, lines, sizes = [], [], []
    for x in r.xs('programs'):
        if x.startswith('masq_'):
            sizes.append([x] + [middle(r.get('programs', c, x, 'insns'))
                                for c in ('old', 'masqbpf')])
            continue
        flows, way = x.split()
        hook = 'egress' if way == 'out' else 'ingress'
        empty, bare, old, masq = (r.get('programs', c, x, 'ns')
                                  for c in ('empty', 'bare', 'old', 'masqbpf'))
        if not (empty and bare and old and masq):
            continue
        e, b, o, m = (statistics.median(v) for v in (empty, bare, old, masq))
        rows.append([f'{int(flows):,}', hook, middle(empty, 1), middle(bare, 1),
                     middle(old, 1), middle(masq, 1), f'{o - e:.0f}',
                     f'{m - e:.0f}', f'{o / b:.2f}', f'{m / b:.2f}'])
        lines.append([f'{int(flows):,}', hook] +
                     [middle(r.get('programs', f'line {n}', x, 'ns'), 1)
                      for n in (8, 32, 128)] + [middle(masq, 1)])
    return ('Run time per packet by the kernel\'s accounting (bpf_stats), ns, '
            'flows in random order:\n\n' +
            table(['flows', 'hook', 'empty program', 'bare lookup', 'old',
                   'masqbpf', 'old above empty', 'masqbpf above empty',
                   'old / bare', 'masqbpf / bare'], rows) +
            '\nThe same for a program that touches one line of a direct-mapped '
            'array for each flow, with no bucket, no look at the key and no '
            'second place, by the size of the array that the lines are '
            'scattered over:\n\n' +
            table(['flows', 'hook', '8 MB', '32 MB', '128 MB', 'masqbpf'],
                  lines) +
            '\nInstructions of the programs, all paths:\n\n' +
            table(['program', 'old', 'masqbpf'], sizes))


def newflows(r):
    columns = r.columns('newflows')
    out = ['New UDP flows per second of one processor, thousands (20,000 at a '
           'time; every packet opens a flow):\n']
    out.append(table(['live flows'] + columns, [
        [f'{int(x):,}'] + [middle([1e6 / v for v in r.get('newflows', c, x, 'ns')], 0)
                           for c in columns] for x in r.xs('newflows')]))
    out.append('Nanoseconds per new flow:\n')
    out.append(table(['live flows'] + columns, [
        [f'{int(x):,}'] + [middle(r.get('newflows', c, x, 'ns'))
                           for c in columns] for x in r.xs('newflows')]))
    return '\n'.join(out)


def ports(r):
    columns = r.columns('ports')
    out = ['New UDP flows towards one destination, thousands of packets per '
           'second, while its ports run out:\n']
    out.append(table(['state'] + columns, [
        [x] + [middle([1e6 / v for v in r.get('ports', c, x, 'ns')], 0)
               for c in columns] for x in r.xs('ports')]))
    return '\n'.join(out)


def connect(r):
    columns = r.columns('connect')
    rows = []
    for x in r.xs('connect'):
        rows.append([f'{int(x):,}'] + [middle(r.get('connect', c, x, 'per_s'))
                                       for c in columns])
        rows.append(['... failed'] + [middle(r.get('connect', c, x, 'failed'))
                                      for c in columns])
    return ('TCP connections opened and closed per second (client and server '
            'on one processor):\n\n' +
            table(['live flows'] + columns, rows))


def bulk(r):
    columns = r.columns('bulk')
    return ('TCP bulk transfer, Gbit/s, one stream, both ends on one '
            'processor:\n\n' +
            table([''] + columns, [['Gbit/s'] + [
                middle(r.get('bulk', c, '1', 'gbit'), 1) for c in columns]]))


def latency(r):
    columns = r.columns('latency')
    return ('TCP request and response of 64 bytes, microseconds:\n\n' +
            table([''] + columns, [
                [m[:3]] + [middle(r.get('latency', c, '1', m), 1)
                           for c in columns] for m in ('p50_us', 'p99_us')]))


def policy(r):
    rows = []
    few = r.get('policy', 'masqbpf', '12', 'bytes')
    for x in r.xs('policy'):
        size = r.get('policy', 'masqbpf', x, 'bytes')
        n = int(x)
        per = f'{(size[0] - few[0]) / (n - 12):.0f}' if n > 12 and size else '-'
        rows.append([f'{n:,}',
                     middle(r.get('policy', 'masqbpf', x, 'established_ns'), 1),
                     middle(r.get('policy', 'masqbpf', x, 'new_ns')),
                     f'{size[0] / 1e6:.2f}' if size else '-', per])
    out = ['Policy size: egress program by the kernel\'s accounting, memory of '
           'tries, descriptors and counters:\n',
           table(['prefixes', 'established, ns', 'new flow, ns', 'MB',
                  'bytes a prefix'], rows)]
    def at_100000(metric, digits=1):
        return middle(r.get('policy', 'masqbpf', '100000', metric), digits)

    if r.get('policy', 'masqbpf', '100000', 'apply_ms'):
        out.append('Applying a change of 10,000 prefixes (5,000 go, 5,000 '
                   'come) inside 100,000, under traffic, ms:\n')
        out.append(table(['', 'by the clock', 'processor time'], [
            [what, at_100000(f'{m}_ms'), at_100000(f'{m}_cpu_ms')]
            for what, m in (('reading the file', 'load'),
                            ('config to policy', 'build'),
                            ('applying, history included', 'apply'),
                            ('then, for the next change: the other half',
                             'settle'))]) + '\n')
    if r.get('policy', 'masqbpf', '100000', 'stall_other_quiet_max_us'):
        out.append('A packet every half millisecond, every second one of a '
                   'new flow: from when it was due to when the far side had '
                   'it, microseconds, while such changes are applied and in '
                   'as long pauses between them:\n')
        out.append(table(['applied on', 'meanwhile', 'p50', 'p99', 'p99.9',
                          'greatest', 'packets', 'lost'], [
            [f'the {where} processor', when] +
            [at_100000(f'stall_{where}_{phase}_{m}', d)
             for m, d in (('p50_us', 1), ('p99_us', 1), ('p999_us', 1),
                          ('max_us', 0), ('packets', 0), ('lost', 0))]
            for where in ('other', 'same')
            for when, phase in (('nothing', 'quiet'),
                                ('changes', 'applying'))]))
    return '\n'.join(out)


def cost(r):
    columns = r.columns('cost')
    return ('The programs\' time (bpf_stats), ns, as the mean over a flood of a '
            'thousand packets of a thousand new flows; maxFlows 262,144, '
            'maxFlowsPerPod 65,536, and how many of the thousand got '
            'through:\n\n' +
            table([''] + columns + [f'{c} through' for c in columns], [
                [x] + [middle(r.get('cost', c, x, 'ns')) for c in columns] +
                [middle(r.get('cost', c, x, 'seen'), 0, False)
                 for c in columns]
                for x in r.xs('cost')]))


def memory(r):
    def cell(column, x):
        v = r.get('memory', column, x, 'bytes')
        return '-' if not v else f'{int(v[0]):,}' if v[0] > 1e4 \
            else f'{v[0]:.0f}'

    return ('Memory, bytes, maxFlows 262,144; maps above a megabyte, the sum of '
            'all, and what a flow is:\n\n' +
            table(['', 'old', 'masqbpf'],
                  [[x, cell('old', x), cell('masqbpf', x)]
                   for x in sorted(r.xs('memory'),
                                   key=lambda x: (not x.startswith('masq_'), x))]) +
            '\n"masqueraded flow" is its two records\' share of the table, of '
            'what lies aside and of the locks, at the load that the table is '
            'made for, two thirds: the table has room for a kept and an inbound '
            'flow beside each masqueraded one, which the old table had not. So '
            'the sum of all maps for each of maxFlows is more than twice that: '
            'the budgets of kept, inbound and the node\'s own flows come on '
            'top, whether there are such flows or not, and IPv6.\n')


def listing(r):
    x = r.xs('listing')[-1]
    return (f'Processor time of `flows` with {int(x):,} live flows, seconds:\n\n' +
            table([''] + r.columns('listing'), [
                ['flows'] + [middle(r.get('listing', c, x, 's'), 2)
                             for c in r.columns('listing')]]))


def load(r):
    rows = []
    for x in r.xs('load'):
        records, slots = (int(n) for n in x.split('/'))

        def of(metric, digits, percent=False):
            value = r.get('load', 'masqbpf', x, metric)[-1]
            return f'{value:.{digits}%}' if percent else f'{value:.{digits}f}'

        rows.append([f'{records / slots:.3f}', f'{records:,}',
                     of('home', 1, True), of('lines_hit', 2),
                     of('lines_most', 0), of('lines_miss', 2),
                     of('spilled', 4, True), of('overflowed', 5, True)])
    return (f'Where records lie, and lines of the table that a lookup reads, by '
            f'a walk over a table of {slots:,} slots (a million absent keys for '
            'the misses):\n\n' +
            table(['load', 'records', 'in their first place', 'lines a hit',
                   'at most', 'lines a miss', 'not in their first page',
                   'in the overflow page'], rows))


def fill(r):
    def m(column, x, metric='ns', digits=0):
        return middle(r.get('fill', column, x, metric), digits)

    columns = [c for c in ('plain', 'old', 'masqbpf') if c in r.columns('fill')]
    return ('8,000,000 UDP flows:\n\n' +
            table([''] + columns, [
                ['attach, s'] + [m(c, 'attach', 's', 2) for c in columns],
                ['live flows then'] + [m(c, 'flows', 'count') for c in columns],
                ['first packet of each, ns'] +
                [m(c, 'fill out') for c in columns],
                ['its answer, ns'] + [m(c, 'fill in') for c in columns],
                ['established, in random order, ns'] +
                [m(c, 'random') for c in columns],
                ['... of that the egress program (bpf_stats)'] +
                [m(c, 'program') for c in columns]]))


def upgrade(r):
    names = {'masqbpf': 'another maxFlows', 'old': 'from layout 3'}
    rows = [[names[c], f'{int(x):,}', middle(r.get('upgrade', c, x, 's'), 2),
             middle(r.get('upgrade', c, x, 'flows'))]
            for c in r.columns('upgrade') for x in r.xs('upgrade')
            if r.get('upgrade', c, x, 's')]
    return ('From the command to its end; packets are carried all the while:\n\n' +
            table(['take-over', 'flows', 's', 'flows afterwards'], rows))


def xdp(r):
    names = {'plain': 'plain', 'tc': 'tc ingress', 'xdp': 'XDP, to the stack',
             'xdp redirect': 'XDP, into the pod', 'tc fast path': 'tc, fast path'}
    ways = [w for w in names if w in r.columns('xdp')]

    def less(x, way, other):
        pairs = zip(r.get('xdp', way, x, 'ns'), r.get('xdp', other, x, 'ns'))
        return middle([a - b for a, b in pairs])

    def frames(proto):
        return [[f'{int(x.split()[1]):,}'] +
                [middle(r.get('xdp', w, x, 'ns')) for w in ways] +
                [less(x, 'xdp', 'tc'), less(x, 'xdp redirect', 'tc fast path')]
                for x in r.xs('xdp') if x.split()[0] == proto]

    def merged(x):
        seen, skbs = (r.get('xdp', 'tc', x, m) for m in ('seen', 'skbs'))
        return f'{sum(seen) / sum(skbs):.0f}' if seen and skbs else '-'

    head = ['flows'] + [names[w] for w in ways] + \
        ['to the stack - tc', 'into the pod - fast path']
    out = ['Replies as the uplink receives them, 64 bytes of UDP, flows in random '
           'order, ns per packet; differences by pairs of one repetition:\n',
           table(head, frames('udp'))]
    out += ['1,514 bytes of TCP, flows in turn, ns per frame on the wire; GRO '
            'makes one packet of so many for the stack and for tc:\n',
            table(head[:1] + ['merged'] + head[1:],
                  [row[:1] + [merged(f'tcp {row[0]}')] + row[1:]
                   for row in frames('tcp')])]
    ways = ways[:3]
    rows = []
    for kind, metric, what, digits in (
            ('bulk', 'gbit', 'bulk to the pod, Gbit/s', 2),
            ('bulk', 'per_cpu', '... per second of processor time', 2),
            ('rr', 'p50_us', 'request and response, p50, us', 1)):
        for place, how in (('veth', 'as veth comes'), ('wire', 'as from a wire')):
            rows.append([f'{what}, {how}'] + [
                middle(r.get('xdp', w, f'{kind} {place}', metric), digits)
                for w in ways])
    out += ['TCP connections of the pod, both ends on one processor. As veth '
            'comes: with TSO and unfinished checksums. As from a wire: neither, '
            'GRO on the node:\n', table([''] + [names[w] for w in ways], rows)]
    return '\n'.join(out)


def goals(r):
    """What is asked of it, what came out."""
    rows = []

    def med(stage, column, x, metric):
        values = r.get(stage, column, x, metric)
        return statistics.median(values) if values else None

    def row(what, goal, value, text, met, old=None):
        if value is not None:
            rows.append([what, goal, text.format(value),
                         '-' if old is None else text.format(old),
                         'yes' if met(value) else '**no**'])

    for way, hook, hot in (('out', 'egress', 60), ('in', 'ingress', 50)):
        e, b, o, m = ([med('programs', c, f'{n} {way}', 'ns')
                       for n in (64, 65536)]
                      for c in ('empty', 'bare', 'old', 'masqbpf'))
        if None in e + b + o + m:
            continue
        row(f'{hook} program above an empty one, hot', f'<= {hot} ns',
            m[0] - e[0], '{:.0f} ns', lambda v, hot=hot: v <= hot, o[0] - e[0])
        row(f'{hook} program, 64k flows at random, of a bare lookup',
            '<= 0.5', m[1] / b[1], '{:.2f}', lambda v: v <= 0.5, o[1] / b[1])
    for x in r.xs('packets'):
        ours = part(r, 'masqbpf', x)
        if ours is not None:
            order = 'at random' if x.endswith('random') else 'in turn'
            goal = 0.25 if flows_of(x) <= 10000 else \
                0.15 if flows_of(x) <= 65536 else 0.1
            row(f'added, of what iptables adds, {flows_of(x):,} flows {order}',
                f'<= {goal}', ours, '{:.2f}', lambda v, goal=goal: v <= goal,
                part(r, 'old', x))
    for stage, proto in (('packets', 'UDP'), ('tcp', 'TCP')):
        for x in r.xs(stage):
            order = 'at random' if x.endswith('random') else 'in turn'
            what = f'{flows_of(x):,} {proto} flows {order}'
            plain, iptables, old, fast, fast_ct = (
                med(stage, c, x, 'ns')
                for c in ('plain', 'iptables', 'old+fast', 'masqbpf+fast',
                          'masqbpf+fast+conntrack'))
            if flows_of(x) not in (64, 10000, 65536):
                continue
            if iptables and fast_ct and flows_of(x) > 64:
                least = 2 if flows_of(x) == 10000 else 2.5
                row(f'fast path with conntrack, of iptables\' rate, {what}',
                    f'>= {least}', iptables / fast_ct, '{:.2f}',
                    lambda v, least=least: v >= least)
            if plain and fast_ct and flows_of(x) > 64:
                row('fast path with conntrack, of plain forwarding\'s rate, '
                    f'{what}', '>= 0.85', plain / fast_ct, '{:.2f}',
                    lambda v: v >= 0.85)
            if plain and fast:
                least = 1 if flows_of(x) == 64 else 0.9
                row(f'fast path, of plain forwarding\'s rate, {what}',
                    f'>= {least}', plain / fast, '{:.2f}',
                    lambda v, least=least: v >= least,
                    plain / old if old else None)
    for column in 'masqbpf+fast', 'masqbpf+fast+conntrack':
        for stage, metric, what in (
                ('bulk', 'gbit', 'TCP bulk'),
                ('latency', 'p50_us', 'TCP request and response'),
                ('connect', 'per_s', 'TCP connections')):
            x = '0' if stage == 'connect' else '1'
            plain, ours = (med(stage, c, x, metric) for c in ('plain', column))
            if plain and ours:
                if stage == 'latency':
                    plain, ours = ours, plain
                row(f'{what}, {column}, of plain forwarding\'s rate', '>= 1',
                    ours / plain, '{:.2f}', lambda v: v >= 1)
    for x in r.xs('newflows'):
        theirs, old, ours = (med('newflows', c, x, 'ns')
                             for c in ('iptables', 'old', 'masqbpf'))
        if ours and theirs and old:
            least = 3.5 if x == '0' else 5
            row(f'new UDP flows/s, of iptables\' rate, {int(x):,} live',
                f'>= {least}', theirs / ours, '{:.2f}',
                lambda v, least=least: v >= least, theirs / old)
    for x in r.xs('connect'):
        theirs, old, ours = (med('connect', c, x, 'per_s')
                             for c in ('iptables', 'old', 'masqbpf'))
        if ours and theirs and old:
            row(f'TCP connections/s, of iptables\' rate, {int(x):,} live', '>= 1',
                ours / theirs, '{:.2f}', lambda v: v >= 1, old / theirs)
    for x in r.xs('cost')[1:]:
        made, ours = (med('cost', 'masqbpf', n, 'ns') for n in ('a record', x))
        old_made, old = (med('cost', 'old', n, 'ns') for n in ('a record', x))
        if made and ours:
            row(f'{x}: of what a record costs', '<= 1', ours / made, '{:.2f}',
                lambda v: v <= 1, old / old_made)
    row('a masqueraded flow, its share of the table', '<= 256 bytes',
        med('memory', 'masqbpf', 'masqueraded flow', 'bytes'), '{:.0f} bytes',
        lambda v: v <= 256, med('memory', 'old', 'masqueraded flow', 'bytes'))
    row('`flows` of 262,144, processor time', '<= 0.2 s',
        med('listing', 'masqbpf', '262144', 's'), '{:.2f} s',
        lambda v: v <= 0.2, med('listing', 'old', '262144', 's'))
    for column in 'masqbpf', 'iptables':
        free = med('ports', column, 'ports free', 'ns')
        none = med('ports', column, 'no port left', 'ns')
        if free and none:
            row(f'{column}: new flows/s with no port left, of the rate with '
                'free ports', 'no collapse (1/8)', free / none, '{:.2f}',
                lambda v: v >= 1 / 8)
    few, many = (med('policy', 'masqbpf', n, 'established_ns')
                 for n in ('12', '100000'))
    if few and many:
        row('100,000 prefixes, established packet', '+ 0 (within 10 ns)',
            many - few, '{:+.0f} ns', lambda v: v <= 10)
    few, many = (med('policy', 'masqbpf', n, 'new_ns')
                 for n in ('12', '100000'))
    if few and many:
        row('100,000 prefixes, new flow', '< + 1 us', many - few,
            '{:+.0f} ns', lambda v: v < 1000)
    row('changing 10,000 of 100,000 prefixes, under traffic', '< 50 ms',
        med('policy', 'masqbpf', '100000', 'apply_ms'), '{:.0f} ms',
        lambda v: v < 50)
    row('the same, processor time', '< 50 ms',
        med('policy', 'masqbpf', '100000', 'apply_cpu_ms'), '{:.0f} ms',
        lambda v: v < 50)
    return table(['', 'goal', 'measured', 'old', 'met'], rows)


STAGES = {'packets': packets, 'tcp': tcp, 'programs': programs, 'newflows': newflows,
          'cost': cost, 'connect': connect, 'memory': memory,
          'listing': listing, 'load': load, 'fill': fill,
          'upgrade': upgrade, 'ports': ports,
          'bulk': bulk, 'latency': latency, 'policy': policy, 'xdp': xdp}
TITLES = {'packets': 'Established packets',
          'tcp': 'Established packets of TCP',
          'programs': 'The programs alone',
          'newflows': 'New flows', 'cost': 'Room and refusals',
          'connect': 'TCP connections', 'memory': 'Memory',
          'listing': 'Listing', 'load': 'How full the table is',
          'fill': 'Eight million flows', 'upgrade': 'Take-over', 'ports': 'When ports run out',
          'bulk': 'TCP bulk', 'latency': 'Latency',
          'policy': 'Large policies', 'xdp': 'Ingress by XDP'}


def tick_step(top):
    step = 1
    while top / step > 6:
        step *= 2 if str(step)[0] in '15' else 2.5
    return step


def plot(path, title, xs, series, unit):
    """A line chart in SVG: xs as equal steps, one line a column."""
    width, height, left, right, upper, lower = 760, 400, 70, 180, 40, 50
    top = max(max(ys) for _, ys in series) * 1.05
    step = tick_step(top)

    def at(i, y):
        x = left + i * (width - left - right) / max(len(xs) - 1, 1)
        return x, height - lower - y / top * (height - upper - lower)

    s = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
         ' font-family="sans-serif" font-size="12">',
         f'<rect width="{width}" height="{height}" fill="white"/>',
         f'<text x="{left}" y="22" font-size="15">{title}</text>']
    tick = 0
    while tick <= top:
        _, y = at(0, tick)
        s.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" '
                 f'y2="{y:.1f}" stroke="#dddddd"/><text x="{left - 8}" '
                 f'y="{y + 4:.1f}" text-anchor="end">{tick:,.0f}</text>')
        tick += step
    for i, label in enumerate(xs):
        x, y = at(i, 0)
        s.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" '
                 f'text-anchor="middle">{label}</text>')
    s.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" '
             f'text-anchor="middle">flows</text>')
    s.append(f'<text x="14" y="{height / 2}" text-anchor="middle" '
             f'transform="rotate(-90 14 {height / 2})">{unit}</text>')
    ends = []
    for name, ys in series:
        points = ' '.join('%.1f,%.1f' % at(i, y) for i, y in enumerate(ys))
        s.append(f'<polyline points="{points}" fill="none" stroke-width="2" '
                 f'stroke="{COLOURS[name]}"/>')
        s += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>'
              for x, y in (at(i, v) for i, v in enumerate(ys))]
        ends.append([at(len(ys) - 1, ys[-1])[1], name])
    ends.sort()
    for i, end in enumerate(ends): # names must not lie on each other
        if i:
            end[0] = max(end[0], ends[i - 1][0] + 15)
        s.append(f'<text x="{width - right + 10}" y="{end[0] + 4:.1f}" '
                 f'fill="{COLOURS[end[1]]}">{end[1]}</text>')
    s.append('</svg>\n')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(s))


def plots(r):
    names = []
    for order, how in (('random', 'random order'), ('seq', 'in turn')):
        xs = [x for x in r.xs('packets') if x.endswith(order)]
        series = [(c, [statistics.median(r.get('packets', c, x, 'ns'))
                       for x in xs]) for c in r.columns('packets')
                  if all(r.get('packets', c, x, 'ns') for x in xs)]
        if not xs or not series:
            continue
        name = f'packets-{order}.svg'
        plot(os.path.join(DOCS, name),
             f'One established 64-byte UDP packet through the node, {how}',
             [f'{flows_of(x):,}' for x in xs], series, 'ns per packet')
        names.append(name)
    return names


def write(r):
    path = os.path.join(DOCS, 'performance.md')
    with open(path, encoding='utf-8') as f:
        words = f.read().split(MARK)[0]
    a = r.about
    out = [words, MARK,
           f'\nMeasured {a.get("date")} at {a.get("masqbpf")}: kernel '
           f'{a.get("kernel")}, {a.get("cpu")}, {a.get("iptables")}, '
           f'conntrack with {a.get("conntrack")}; medians of '
           f'{a.get("repeat")} interleaved runs (least..greatest), load '
           f'average then {a.get("load")}. GRO and checksum offload as veth '
           'has them by default.\n']
    out.append(f'\n### Goals\n\n{goals(r)}')
    images = plots(r)
    for stage, title in TITLES.items():
        if any(k[0] == stage for k in r.values):
            out.append(f'\n### {title}\n\n{STAGES[stage](r)}')
            if stage == 'packets':
                out += [f'\n![{i}]({i})\n' for i in images]
    with open(path, 'w', encoding='utf-8') as f:
        f.write(''.join(out))
    print(f'{os.path.relpath(path)}: written', file=sys.stderr)


def main():
    r = Results(sys.argv[1])
    stages = [s for s in sys.argv[2:] if s in STAGES] or list(STAGES)
    for stage in stages:
        if any(k[0] == stage for k in r.values):
            print(f'{TITLES[stage]}\n\n{STAGES[stage](r)}')
    if '--write' in sys.argv[2:]:
        write(r)


if __name__ == '__main__':
    main()
