/* The pause container of the test bed: holds the pod's namespaces, reaps what is left to it, ends when told to. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

static void reap(int signal) {
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int main(void) {
    struct sigaction on_child = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
    if (signal(SIGINT, end) == SIG_ERR || signal(SIGTERM, end) == SIG_ERR || sigaction(SIGCHLD, &on_child, NULL) != 0)
        return 1;
    for (;;)
        pause();
}
