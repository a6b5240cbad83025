#!/usr/bin/perl
# The original, AnyEvent::Fork: create a process, let it exit, see its socket close.
#
# Run as: anyevent_fork.pl new|new_exec MEGABYTES SECONDS WINDOWS
# Prints the same JSON as the Python drivers. Debian has it in libanyevent-fork-perl.
use strict;
use warnings;

use AnyEvent;
use AnyEvent::Fork;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use POSIX ();

use constant { LEAST => 3, WARM_UP => 0.1 };

my ($method, $megabytes, $seconds, $windows) = @ARGV;
my $memory = "x" x ($megabytes << 20);    # written, and so touched

sub now { clock_gettime(CLOCK_MONOTONIC) }

sub slurp {
    my ($path) = @_;
    open my $file, "<", $path or return "";
    local $/;
    my $text = <$file>;
    return defined $text ? $text : "";
}

# CPU seconds of this process and of all below it, with the children that each has reaped.
sub tree_cpu {
    my ($pid) = @_;
    my ($stat) = slurp("/proc/$pid/stat") =~ /.*\) (.*)/s or return 0;
    my @fields = split " ", $stat;
    my $ticks  = $fields[11] + $fields[12] + $fields[13] + $fields[14];
    my $cpu    = $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK());
    $cpu += tree_cpu($_) for split " ", slurp("/proc/$pid/task/$pid/children");
    return $cpu;
}

# Create processes for a while, so many in flight; gives the seconds that each took.
sub create_for {
    my ($window, $for) = @_;
    my ($end, $running, @latencies) = (now() + $for, 0);
    my $done = AE::cv;
    my $start;
    $start = sub {
        my $began = now();
        if ($began > $end && @latencies + $running >= LEAST) {
            $done->send if !$running;
            return;
        }
        $running++;
        AnyEvent::Fork->$method->run(
            "CORE::exit",
            sub {
                my ($socket) = @_;
                my $watcher;
                $watcher = AE::io $socket, 0, sub {
                    undef $watcher;
                    close $socket;
                    $running--;
                    push @latencies, now() - $began;
                    $start->();
                };
            }
        );
    };
    $start->() for 1 .. $window;
    $done->recv;
    undef $start;
    return sort { $a <=> $b } @latencies;
}

sub measure {
    my ($window) = @_;
    create_for($window, WARM_UP);
    my ($cpu, $began) = (tree_cpu($$), now());
    my @latencies = create_for($window, $seconds);
    my $wall = now() - $began;
    # Its server reaps when the next command comes, so that a few children are always missing.
    $cpu = tree_cpu($$) - $cpu;
    my $count = @latencies;
    my %found = (
        count       => $count,
        rate        => $count / $wall,
        cpu         => $cpu / $count,
        latency     => $latencies[ $count / 2 ],
        latency_p95 => $latencies[ $count * 0.95 ],
    );
    return join ", ", map { qq("${_}_w$window": $found{$_}) } sort keys %found;
}

print "{", join(", ", map { measure($_) } split /,/, $windows), "}\n";
