# kill_after.pl STEP WATCHDOG PROGRAM ARGUMENT...: runs the installer, and kills it (SIGKILL) when all of STEP is done and
# nothing of the next step is begun; with "killed" for WATCHDOG, its watchdog before it. A STEP that ends in "..." is the
# first that begins so.
#
# The installer says each step on its standard error before it begins. Here that is a pipe with room for one line (pipe(7):
# one page, and each line a page of its own), so it waits with the next line until the one before is taken.
use strict;
use warnings;
use Fcntl;
use POSIX qw(WNOHANG);

my ($step, $watchdog, @command) = @ARGV;
my $said = '';
my $F_SETPIPE_SZ = 1031;
pipe(my $lines, my $stderr) or die "pipe: $!";
fcntl($stderr, $F_SETPIPE_SZ, 4096) or die "F_SETPIPE_SZ: $!";
fcntl($stderr, F_SETFL, O_WRONLY | O_DIRECT) or die "O_DIRECT: $!";

my $pid = fork() // die "fork: $!";
if ($pid == 0) {
    open(STDIN, '<', '/dev/null') or die "/dev/null: $!";
    open(STDERR, '>&', $stderr) or die "dup: $!";
    exec { $command[0] } @command or die "$command[0]: $!";
}
close($stderr);

# What the kernel says of it (proc(5)).
sub about {
    open(my $file, '<', "/proc/$pid/$_[0]") or return '';
    return <$file> // '';
}

# Whether it sleeps in a write() to the pipe while a line lies there. One that was let go and has not run yet is in that call,
# too, and has written nothing.
sub waits {
    my $ready = '';
    vec($ready, fileno($lines), 1) = 1;
    return select($ready, undef, undef, 0) == 1 && about('wchan') =~ /pipe_write/;
}

sub give_up {
    kill('KILL', $pid);
    die "the installer $_[0] before the end of \"$step\"; it said:\n$said\n";
}

my $wanted = $step =~ s/\.\.\.$// ? qr/ INFO \Q$step\E/ : qr/ INFO \Q$step\E$/;
my $deadline = time + 50;
while (1) {
    until (waits()) {
        if (waitpid($pid, WNOHANG) == $pid) {
            my $status = $?;
            $said .= $_ while (<$lines>);
            give_up("ended (status $status)");
        }
        give_up('hangs') if time > $deadline;
        select(undef, undef, undef, 0.001);
    }
    # It must not go on when its line is taken before that is looked at.
    kill('STOP', $pid);
    until (about('stat') =~ /\) T /) {
        give_up('does not stop') if time > $deadline;
    }
    sysread($lines, my $line, 4096);
    $said .= $line;
    chomp($line);
    last if $line =~ $wanted;
    kill('CONT', $pid);
}
# Before its installer: it begins as soon as that is gone.
system('pkill', '-KILL', '-f', 'slipway-node-installer watchdog ') if $watchdog eq 'killed';
kill('KILL', $pid);
waitpid($pid, 0);
