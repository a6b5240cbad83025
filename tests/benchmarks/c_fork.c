/* Create processes for a while: socket pair, fork, _exit in the child, end of file, wait.
 *
 * The loop of bare_fork.py, in C. Build with: cc -O2 -shared -fPIC -o c_fork.so c_fork.c
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEAST 3
#define MOST_IN_FLIGHT 1024

struct process {
    double began;
    pid_t pid;
    int ours;
};

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

static int start(struct process *process)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    process->ours = pair[0];
    process->pid = fork();
    if (process->pid == 0)
        _exit(0);
    close(pair[1]);
    return process->pid < 0 ? -1 : 0;
}

static int finish(const struct process *process)
{
    char byte;
    int status;
    ssize_t size = read(process->ours, &byte, 1);

    close(process->ours);
    if (waitpid(process->pid, &status, 0) != process->pid)
        return -1;
    return size == 0 && status == 0 ? 0 : -1;
}

/* Gives how many were created, and the seconds that each took in `latencies`; -1 for a failure. */
long create(int window, double seconds, double *latencies, long room)
{
    static struct process ring[MOST_IN_FLIGHT];
    long started = 0, finished = 0;
    double end = now() + seconds;

    if (window < 1 || window > MOST_IN_FLIGHT)
        return -1;
    for (;;) {
        double moment = now();
        int is_over = (moment > end && started >= LEAST) || started == room;

        if (is_over && finished == started)
            return finished;
        if (!is_over) {
            ring[started % window].began = moment;
            if (start(&ring[started % window]) != 0)
                return -1;
            started++;
        }
        if (is_over || started - finished >= window) {
            struct process *oldest = &ring[finished % window];
            if (finish(oldest) != 0)
                return -1;
            latencies[finished++] = now() - oldest->began;
        }
    }
}
